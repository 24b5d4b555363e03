"""Tests of pipeline/comparison.py: rows are measured, not repeated without need, and come out as table and picture."""

import pandas as pd
import pytest
import torch

from pipeline import comparison
from pipeline.comparison import measure_baseline, train_one, write
from pipeline.errors import DataError
from pipeline.params import load_params


@pytest.fixture
def params(request):
    params = load_params(request.config.rootpath / "params.yaml")
    rnn = params.model.rnn.model_copy(update={"hidden_size": 8})
    return params.model_copy(
        update={
            "model": params.model.model_copy(update={"rnn": rnn}),
            "train": params.train.model_copy(update={"num_threads": 1}),
            "compare": params.compare.model_copy(update={"minutes": 0.005}),
        }
    )


def test_a_row_is_measured_once_for_the_same_code_parameters_and_clips(tiny, params, tmp_path, monkeypatch):
    row = train_one("rnn", "adversarial", params, tiny.frames, tiny.clips, tmp_path / "one")
    assert (row["generator"], row["objective"]) == ("rnn", "adversarial")
    # W_xh 8 x 64, W_hh 8 x 8, b_h 8, W_hy 64 x 8, b_y 64
    assert row["parameters"] == 512 + 64 + 8 + 512 + 64
    assert row["steps"] >= 1
    assert row["seconds_per_step"] > 0
    assert row["frames_per_second"] > 0
    assert 0 < row["mse"] < 64
    assert (tmp_path / "one/model/model.json").exists()

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "fit", lambda *_, **__: pytest.fail("trained again"))
        assert train_one("rnn", "adversarial", params, tiny.frames, tiny.clips, tmp_path / "one") == row
    longer = params.model_copy(update={"compare": params.compare.model_copy(update={"minutes": 0.006})})
    monkeypatch.setattr(comparison, "fit", lambda *_, **__: (_ for _ in ()).throw(DataError("trained")))
    with pytest.raises(DataError, match="trained"):
        train_one("rnn", "adversarial", longer, tiny.frames, tiny.clips, tmp_path / "one")


def test_a_baseline_has_the_errors_of_what_it_does(tiny, params):
    row = measure_baseline("last_frame", params, tiny.frames, tiny.clips)
    # the bar, 2 of 8 pixels wide, stands still while it moves: 2 columns of 8 pixels differ after one step, 4 later
    assert row["mse"] == pytest.approx((16 + 32 + 32 + 32) / 4, abs=1e-4)
    assert row["mse_last"] == pytest.approx(32, abs=1e-4)
    assert row["sharpness"] == pytest.approx(1, abs=0.35)


def test_the_table_is_sorted_by_error_and_drawn(tmp_path):
    errors = {"mae": 1.0, "psnr": 20.0, "ssim": 0.9, "mse_last": 3.0, "sharpness": 1.0}
    costs = {"parameters": 12345, "steps": 10, "seconds_per_step": 0.5, "frames_per_second": 200.0}
    rows = [
        {"generator": "last_frame", "objective": "", "mse": 9.0, **errors},
        {"generator": "b", "objective": "adversarial", "mse": 2.5, **errors, **costs},
        {"generator": "a", "objective": "pixel", "mse": 1.25, **errors, **costs},
    ]
    table = write(rows, tmp_path)
    assert table["generator"].tolist() == ["a", "b", "last_frame"]
    assert pd.read_csv(tmp_path / "comparison.csv")["mse"].tolist() == [1.25, 2.5, 9.0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (tmp_path / "comparison.md").read_text().splitlines()
    ]
    assert lines[0] == table.columns.tolist()
    assert lines[2][:4] == ["a", "pixel", "1.25", "1.0"]
    assert lines[2][-4:] == ["12,345", "10", "0.500", "200"]
    assert lines[4][-4:] == ["", "", "", ""], "a baseline costs nothing"
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_frames_per_second_counts_single_frames(tiny, monkeypatch):
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, frames, state=None):
            Counting.calls += frames.shape[1]
            return frames, ()

    from pipeline.model_dir import load_card

    assert comparison.frames_per_second(Counting(), load_card(tiny.model)) > 0
    assert Counting.calls == 3 + comparison.TIMED_FRAMES
