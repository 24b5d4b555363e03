"""Parameters for one run: checked, then written into params.yaml, whose comments stay."""

from pathlib import Path

import pytest

from flows.overrides import JOURNAL, are_in_force, prepared, set_params, take_back
from flows.prefect_dvc.guards import StageError
from pipeline.errors import ParamsError, PipelineError
from pipeline.params import load_params
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
    with pytest.raises(PipelineError, match=r"no stage nowhere"), prepared(["data.videos=elsewhere"], ["nowhere"]):
        pass
    assert Path("params.yaml").read_bytes() == before
    with prepared(["data.videos=elsewhere"]) as (params, stages):
        assert params.data.videos == "elsewhere"
        assert "elsewhere" in Path("params.yaml").read_text()
        assert stages
    assert "elsewhere" in Path("params.yaml").read_text()


@pytest.mark.parametrize("end", [StageError("count failed"), KeyboardInterrupt()])
def test_overrides_of_a_run_that_fails_or_is_stopped_leave_params_yaml(diamond, end):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(type(end)):
        fail(end, "")
    assert Path("params.yaml").read_bytes() == before


def test_what_somebody_writes_into_params_yaml_during_a_run_that_fails_stays(diamond):
    with pytest.raises(StageError):
        fail(StageError("count failed"), "# mine\n")
    assert Path("params.yaml").read_text().endswith("# mine\n")


def test_overrides_of_a_run_that_was_killed_leave_with_the_next_one(diamond):
    before = Path("params.yaml").read_bytes()
    killed = prepared(["train.seed=5"])
    killed.__enter__()  # and never left
    assert Path("params.yaml").read_bytes() != before
    assert are_in_force()
    with prepared([]) as (params, _):
        assert params.train.seed == 0
        assert not are_in_force()
    assert Path("params.yaml").read_bytes() == before
    assert not JOURNAL.exists()


def test_an_override_that_says_what_is_there_already_is_none(diamond):
    with prepared(["train.seed=0"]):
        assert not are_in_force()
    JOURNAL.write_text("{")  # damaged
    assert not are_in_force()
    assert not take_back()
    assert not JOURNAL.exists()


def test_a_damaged_note_of_a_killed_run_is_told_and_never_written_into_params(diamond, caplog):
    killed = prepared(["train.seed=5"])
    killed.__enter__()  # and never left
    with_override = Path("params.yaml").read_bytes()
    JOURNAL.write_text(JOURNAL.read_text().replace("seed: 0", "seed: 1", 1))  # one bit
    with prepared([]) as (params, _):
        assert params.train.seed == 5
    assert Path("params.yaml").read_bytes() == with_override
    assert f"{JOURNAL}: is damaged" in caplog.text


def test_nothing_but_the_value_is_written(diamond):
    path = Path("params.yaml")
    text = (
        path.read_text().replace("train:\n", "train:   # my own\n\n", 1).replace("\n  seed: 0 ", "\n  seed:    0 ", 1)
    )
    text = text.replace("size: [32, 32]", "size:   [ 32,32 ]").replace("\n", "\r\n").rstrip("\r\n")
    path.write_bytes(text.encode())
    set_params(["extract.size=[8, 8]", "model.name=lstm", "train.max_minutes=null"])
    changed = path.read_bytes().decode()
    different = [(old, new) for old, new in zip(text.split("\r\n"), changed.split("\r\n"), strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in different] == ["size:   [8, 8]", "name: lstm"]
    columns = [(old.find("#"), new.find("#")) for old, new in different]
    assert all(old == new for old, new in columns), columns


def fail(end, added):
    """A run with an override that ends so, while somebody adds a line to params.yaml."""
    with prepared(["train.seed=5"]) as (params, _):
        assert params.train.seed == 5
        with Path("params.yaml").open("a") as file:
            file.write(added)
        raise end


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My Videos", "My Videos"),
        ("Clips #2", "Clips #2"),
        ("#2", "#2"),
        ("2024", "2024"),
        ("true", "true"),
        ("*", "*"),
        ("{a}", "{a}"),
        ("./a: b", "./a: b"),
        ("-rf", "-rf"),
        ("x; touch FILE; true", "x; touch FILE; true"),
        ("a${x}b", "a${x}b"),
        ("back\\slash", "back\\slash"),
        ("  Übung 動画 ", "Übung 動画"),
        ("'null'", "null"),
        ('" lead"', " lead"),
    ],
)
def test_a_folder_is_named_as_it_is_called(diamond, text, value):
    assert set_params([f"data.videos={text}"]).data.videos == value
    assert load_params(Path("params.yaml")).data.videos == value
    both = [f"translate.source={text}", "translate.target=clean"]
    assert set_params(both).translate.source == value
    assert set_params(["translate.source=null", "translate.target=~"]).translate.source is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.videos='half", "data.videos='half: is not YAML: "),
        ("extract.size=[8", "extract.size=[8: is not YAML: "),
        ("data.videos=", "params.yaml: data.videos: Input should be a valid string (got None)"),
        ("data.videos=a\udcffb", "data.videos=a\\xffb: is not UTF-8"),
    ],
)
def test_a_value_that_cannot_be_read_is_one_line(diamond, override, said):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ParamsError) as error:
        set_params([override])
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1
    assert Path("params.yaml").read_bytes() == before


def test_a_folder_of_videos_that_is_not_there_is_said_with_its_key(diamond):
    Path("words.txt").unlink()
    before = Path("params.yaml").read_text()
    with pytest.raises(PipelineError, match=r"^params\.yaml: data\.videos: words\.txt: there is no such .* words"):
        prepared(["data.videos=words.txt"]).__enter__()
    assert Path("params.yaml").read_text() == before
