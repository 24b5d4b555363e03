"""Damaged and hostile files that people may get from others: one line each, at once, and nothing is opened or made."""

import json

import numpy as np
import pytest

from pipeline import model_dir
from pipeline.data.clips import ClipDataset
from pipeline.errors import DataError, ModelError, ParamsError
from pipeline.pages.figures import read_summary
from pipeline.params import load_params
from pipeline.runtime.files import read_regular
from tests.conftest import moving_bar
from tests.damage import socket_at
from tests.pipeline.test_model_dir import CARD, edit

SIZES = CARD.sizes
TRANSLATION = {"source": None, "target": None, "degradation": "noise", "strength": 25.0, "seed": 0}


@pytest.fixture
def saved(tmp_path):
    model_dir.save(tmp_path / "model", CARD.build(), CARD)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "gan"}, "no generator is called 'gan'; there are rnn, lstm"),
        ({"sizes": SIZES | {"heads": 2}}, "sizes.heads: is no size of rnn"),
        ({"sizes": {}}, "sizes.hidden_size: is missing"),
        ({"sizes": SIZES | {"hidden_size": 10**9}}, r"sizes.hidden_size: .* 65536 \(got 1000000000\)"),
        ({"sizes": SIZES | {"num_layers": 10**9}}, "sizes.num_layers: "),
        ({"sizes": SIZES | {"num_layers": "1"}}, "sizes.num_layers: "),
        ({"sizes": SIZES | {"hidden_size": 60_000}}, "does not fit the rnn of this foreframe"),
        ({"frame_shape": [1, 10**6, 10**6]}, "frame_shape.1: "),
        ({"frame_shape": [1, 50_000, 50_000]}, "does not fit the rnn of this foreframe"),
        ({"frame_shape": [0, 4, 4]}, "frame_shape.0: "),
        ({"out_channels": 10**9}, "out_channels: "),
        ({"noise_channels": -1}, "noise_channels: "),
        ({"fps": 1e9}, "fps: "),
        ({"fps": float("nan")}, "fps: "),
        ({"fps": -1.0}, "fps: "),
        ({"horizon": 0}, "horizon: "),
        ({"context": 10**12}, "context: "),
        ({"metrics": {"val_mse": float("nan")}}, "metrics.val_mse: "),
        ({"task": "translate"}, "task and translation do not go together"),
        ({"task": "translate", "translation": TRANSLATION | {"degradation": "rain"}}, "there is no 'rain', but "),
        ({"task": "translate", "translation": TRANSLATION | {"strength": 1e30}}, "translation.strength: "),
        ({"format_version": 0}, "no format_version"),
        ({"format_version": True}, "no format_version"),
    ],
)
def test_a_model_card_beyond_all_ranges_is_refused_by_its_key(saved, fields, message):
    edit(saved, **fields)
    with pytest.raises(ModelError, match=message):
        model_dir.load(saved)


def test_a_field_that_was_changed_in_a_card_is_seen_and_a_card_without_a_checksum_is_as_it_was(saved):
    path = saved / "model.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"fps": 12.0}))
    with pytest.raises(ModelError, match=r"model\.json: is not as it was written \(its checksum differs\)"):
        model_dir.load(saved)
    del content["card_sha256"]
    path.write_text(json.dumps(content))
    assert model_dir.load(saved)[1] == CARD


@pytest.mark.parametrize("content", ["[" * 100_000, "\x00", "{}", '"' + "a" * (1 << 20) + '"'])
def test_a_card_that_is_nested_or_huge_is_refused(saved, content):
    (saved / "model.json").write_text(content)
    with pytest.raises(ModelError, match=r"model(\.json)?: (is|holds)"):
        model_dir.load(saved)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_what_is_no_regular_file_is_never_opened(saved, name):
    (saved / name).unlink()
    socket_at(saved / name)
    with pytest.raises(ModelError, match="is no regular file"):
        model_dir.load(saved)


def test_a_link_to_a_regular_file_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 3) == b"abc"
    with pytest.raises(OSError, match="larger than 2 bytes"):
        read_regular(tmp_path / "link", 2)


def test_memory_is_asked_before_weights_are_read(saved, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.memory.available", lambda device: 100)
    with pytest.raises(ModelError, match=r"model\.safetensors: needs about .* GiB of memory"):
        model_dir.load(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [1, 1]\nb: &b [*a, *a]\n" * 40, "stands for more|is not YAML"),
        ("a: &a [*a]\n", r"\*a is used in what it stands for"),
        ("[" * 40 + "]" * 40, "is nested more than 32 deep"),
        ("a: " + "x" * (1 << 18), "larger than 262,144 bytes"),
        ("a: \xff\n", "params.yaml: "),
        ("a: *b\n", "is not YAML"),
    ],
)
def test_parameters_that_are_more_than_they_look_are_refused(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ParamsError, match=message):
        load_params(path)


def test_aliases_of_aliases_count_as_what_they_stand_for(tmp_path):
    path = tmp_path / "params.yaml"
    # written out: 10 * 40 * 40 * 40 values, few enough to do no harm where they are not counted
    lines = ["a: &a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{last}'] * 40)}]" for last, name in ("ab", "bc", "cd")]
    path.write_text("\n".join(lines))
    with pytest.raises(ParamsError, match="stands for more than 100,000 values"):
        load_params(path)


@pytest.fixture
def clips(tiny, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("clips.csv", "clips.json"):
        (folder / name).write_bytes((tiny.clips / name).read_bytes())
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clips.json", "{", r"clips\.json: is damaged \(content: "),
        ("clips.json", "[]", r"clips\.json: is damaged"),
        ("clips.json", '{"task": "predict"}', r"clips\.json: is damaged \(context: "),
        ("clips.json", '{"task": "predict", "context": 0, "horizon": 4, "stride": 3}', r"\(context: "),
        ("clips.json", '{"task": "predict", "context": 3, "horizon": 4, "stride": 0}', r"\(stride: "),
        ("clips.json", '{"task": "sing", "context": 3, "horizon": 4, "stride": 3}', r"\(task: "),
        ("clips.csv", "", r"clips\.csv: is damaged"),
        ("clips.csv", "video,split\na,train\n", r"clips\.csv: is damaged \(no column start\)"),
        ("clips.csv", "video,split,start,stop,num_clips\ntrain/0.mp4,train,x,10,2\n", r"clips\.csv: is damaged"),
        ("clips.csv", "video,split,start,stop,num_clips\ntrain/0.mp4,train,0,11,2\n", r"line 2 does not fit the frame"),
        ("clips.csv", "video,split,start,stop,num_clips\ntrain/0.mp4,train,-1,9,2\n", "line 2 does not fit the frame"),
        ("clips.csv", "video,split,start,stop,num_clips\nother.mp4,train,0,10,2\n", "line 2 does not fit the frame"),
        ("clips.csv", "video,split,start,stop,num_clips\ntrain/0.mp4,tran,0,10,2\n", "line 2 does not fit the frame"),
    ],
)
def test_damaged_clips_name_the_file_and_the_remedy(tiny, clips, name, content, message):
    (clips / name).write_text(content)
    with pytest.raises(DataError, match=message + r".*; run `dvc repro --force tensorize`$"):
        ClipDataset(tiny.frames, clips, "train")


@pytest.mark.parametrize("name", ["clips.csv", "clips.json"])
def test_clips_that_are_no_regular_file_are_never_opened(tiny, clips, name):
    (clips / name).unlink()
    socket_at(clips / name)
    with pytest.raises(DataError, match=f"{name}: cannot be read .is no regular file.*tensorize"):
        ClipDataset(tiny.frames, clips, "train")


def test_whole_clips_are_read_as_before(tiny, clips):
    dataset = ClipDataset(tiny.frames, clips, "train")
    assert np.array_equal(dataset.gather([0])[0], moving_bar(10, 0)[:7])


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "{}", '{"model": 1}', '{"model": {"mse": "x"}}'])
def test_damaged_metrics_name_the_file_and_the_remedy(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json: is damaged \(.*run `dvc repro --force evaluate`$"):
        read_summary(tmp_path)
