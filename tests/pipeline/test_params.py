"""A params file is taken whole and right, or refused with one line per key."""

import re
from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()


def load_changed(tmp_path: Path, old: str, new: str):
    assert old in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return load_params(path)


def test_the_shipped_file_is_read_with_its_types():
    params = load_params(ROOT / "params.yaml")
    assert params.data.videos == "data/sample"
    assert params.extract.size == (32, 32)
    assert params.model.lstm.recipe.learning_rate == 0.001
    assert params.model.selected is getattr(params.model, params.model.name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("context: 10", "context: ten", "tensorize.context: Input should be a valid integer (got 'ten')"),
        ("context: 10", "context: 0", "tensorize.context: Input should be greater than 0 (got 0)"),
        (
            "context: 10",
            "contxt: 10",
            "tensorize.context: is missing\nparams.yaml: tensorize.contxt: is no parameter (got 10)",
        ),
        ("speed: 2.0", "speed: .nan", "sample.speed: Input should be a finite number (got nan)"),
        ("size: [32, 32]", "size: [32]", "extract.size.1: is missing"),
        ("videos: data/sample", "videos: s3://bucket", "data.videos: DVC takes s3://bucket for an address; write ./s3"),
        (
            "videos: data/sample",
            "videos: s3:x",
            "data.videos: DVC takes s3:x for an address; write ./s3:x for a",
        ),
        ("videos: data/sample", "videos: ''", "data.videos: String should have at least 1 character (got '')"),
        ("roots: []", "roots: ['']", "data.roots.0: String should have at least 1 character (got '')"),
        ("roots: []", "roots: /videos", "data.roots: Input should be a valid array (got '/videos')"),
        ("kernel_size: 3", "kernel_size: 2", "model.convlstm.kernel_size: must be odd"),
        ("num_layers: 1", "num_layers: 1000000000", "model.rnn.num_layers: Input should be less than or equal to 1000"),
        ("digit_size: 16", "digit_size: 99", "sample: digit_size must be below frame_size"),
        ("timezone: UTC", "timezone: Berlin", "schedules.timezone: is no IANA name of a time zone, such as Europe/B"),
        ('retrain: "0 3 * * *"', 'retrain: "0 3 * *"', "schedules.retrain: is no cron expression (Wrong number of fie"),
        ('retrain: "0 3 * * *"', 'retrain: "99 3 * * *"', "schedules.retrain: is no cron expression (Bad minute); "),
    ],
)
def test_an_error_names_file_key_expectation_and_value(tmp_path, monkeypatch, old, new, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError) as error:
        load_changed(Path(), old, new)
    assert str(error.value).startswith(f"params.yaml: {message}")


def test_a_clip_has_more_than_one_step(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"\n  (context|horizon): \d+ ", r"\n  \1: 1 ", TEXT))
    with pytest.raises(ParamsError, match=r"tensorize: context \+ horizon must be at least 3 \(1 \+ 1\)"):
        load_params(path)


def test_two_wrong_keys_are_two_lines(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"stride: \d+", "stride: x", TEXT.replace("context: 10", "context: -1")))
    with pytest.raises(ParamsError) as error:
        load_params(path)
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("- a", "should hold sections"), ("", "should hold sections")]
)
def test_a_file_that_holds_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=message):
        load_params(path)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "params.yaml")
