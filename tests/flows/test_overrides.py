"""Parameters for one run: checked, then written into params.yaml, whose comments stay."""

from pathlib import Path

import pytest

from flows.overrides import prepare, set_params
from pipeline.errors import ParamsError, PipelineError
from tests.flows.conftest import ROOT


def test_overrides_are_checked_before_anything_is_written(diamond):
    set_params(["model.name=lstm", "tensorize.horizon=3", "extract.size=[8, 8]"])
    changed = Path("params.yaml").read_text()
    lines = zip((ROOT / "params.yaml").read_text().splitlines(), changed.splitlines(), strict=True)
    assert [new.split("#")[0].strip() for old, new in lines if old != new] == [
        "size: [8, 8]",
        "horizon: 3",
        "name: lstm",
    ]  # all else is as it was, comments and all
    for wrong, said in {
        "model.name=nonsense": "model.name: Input should be",
        "tensorize.horizons=3": "tensorize.horizons=3: should be key=value with a key of params.yaml",
        "tensorize.horizon=0": "tensorize.horizon: Input should be greater than 0",
        "tensorize": "should be key=value",
    }.items():
        with pytest.raises(ParamsError, match=said):
            set_params(["train.seed=5", wrong])
    assert Path("params.yaml").read_text() == changed


def test_overrides_that_cannot_be_run_leave_the_parameters_as_they_were(diamond):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(PipelineError, match=r"no stage nowhere"):
        prepare(["data.videos=elsewhere"], ["nowhere"])
    assert Path("params.yaml").read_bytes() == before
    params, stages = prepare(["data.videos=elsewhere"])
    assert params.data.videos == "elsewhere"
    assert "elsewhere" in Path("params.yaml").read_text()
    assert stages
