"""The table of clips: every window inside one shot of one split, no copy in two splits, errors that name numbers."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from pipeline.data.clips import ClipDataset
from pipeline.errors import DataError
from pipeline.params import TensorizeParams, TranslateParams
from pipeline.stages.tensorize import tensorize

DEFAULTS = {
    "context": 2,
    "horizon": 2,
    "stride": 1,
    "split": "auto",
    "val_fraction": 0.1,
    "test_fraction": 0.1,
    "shot_threshold": 0.1,
}


TRANSLATE = {
    "source": None,
    "target": None,
    "degradation": "noise",
    "seed": 3,
    "residual": True,
    "carry": 0.1,
    "strength": {
        "edges": 1.0,
        "grey": 1.0,
        "low_resolution": 2,
        "noise": 25.0,
        "blur": 1.5,
        "compression": 20,
        "masked": 0.25,
    },
}


@pytest.fixture
def run(tmp_path):
    def run(frames, translate=None, **changes) -> list[tuple]:
        tensorize(
            frames,
            tmp_path / "clips",
            task="predict" if translate is None else "translate",
            tensorize=TensorizeParams(**DEFAULTS | changes),
            translate=TranslateParams(**TRANSLATE | (translate or {})),
        )
        table = pd.read_csv(tmp_path / "clips/clips.csv")
        assert list(table.columns) == ["video", "split", "start", "stop", "num_clips"]
        return list(table.itertuples(index=False, name=None))

    return run


def test_folders_of_that_name_are_the_splits(make_store, numbered, run, tmp_path):
    videos = {
        "test/a.mp4": numbered(4, 50),
        "train/a.mp4": numbered(6),
        "train/b.mp4": numbered(3, 7),
        "val/a.mp4": numbered(5, 90),
    }
    frames = make_store(videos)
    assert run(frames) == [
        ("test/a.mp4", "test", 0, 4, 1),
        ("train/a.mp4", "train", 0, 6, 3),
        ("val/a.mp4", "val", 0, 5, 2),
    ]
    assert json.loads((tmp_path / "clips/clips.json").read_text()) == {
        "task": "predict",
        "context": 2,
        "horizon": 2,
        "stride": 1,
        "normalization": "uint8 / 127.5 - 1",
    }
    train = ClipDataset(frames, tmp_path / "clips", "train")
    assert train.gather([0, 2])[:, :, 0, 0, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_ten_videos_are_split_by_their_hash(make_store, numbered, run):
    names = [f"{i}.mp4" for i in range(10)]
    first_digits = dict(zip(names, ("05", "15", "20", *["80"] * 7), strict=True))
    sha256 = {name: digits * 32 for name, digits in first_digits.items()}
    frames = make_store({name: numbered(4, 5 * i) for i, name in enumerate(names)}, sha256)
    assert [split for _, split, *_ in run(frames)] == ["test", "test", "val"] + ["train"] * 7


def test_few_videos_are_cut_in_time(make_store, numbered, run, caplog):
    caplog.set_level(logging.INFO)
    rows = run(make_store({"a.mp4": numbered(30), "short.mp4": numbered(15, 100)}))
    # a clip of 4 can begin at 27 of 30 frames: 3 each in val and test, gaps of 2; 16 frames are the least
    assert rows == [
        ("a.mp4", "train", 0, 14, 11),
        ("a.mp4", "val", 16, 22, 3),
        ("a.mp4", "test", 24, 30, 3),
        ("short.mp4", "train", 0, 15, 12),
    ]
    assert "split by time (chosen by auto)" in caplog.text
    assert "2 videos, 4 shots, clips: train 23, val 3, test 3; left out: 0 too short, 0 copies" in caplog.text


def test_a_video_with_cuts_is_cut_where_its_shots_hold_clips(make_store, numbered, run):
    # 9 clips of 4 begin in the shots of 6, 5 and 7 frames, none in that of 3
    video = np.concatenate([numbered(6), numbered(5, 100), numbered(7, 20), numbered(3, 200)])
    assert run(make_store({"a.mp4": video})) == [
        ("a.mp4", "train", 0, 5, 2),
        ("a.mp4", "val", 7, 11, 1),
        ("a.mp4", "val", 11, 12, 0),
        ("a.mp4", "test", 14, 18, 1),
        ("a.mp4", "test", 18, 21, 0),
    ]


def test_few_videos_too_short_to_be_cut_are_split_by_video(make_store, numbered, run):
    names = {"a.mp4": "80" * 32, "b.mp4": "01" * 32, "c.mp4": "02" * 32}
    frames = make_store({name: numbered(15, 50 * i) for i, name in enumerate(names)}, names)
    assert [row[:2] for row in run(frames)] == [("a.mp4", "train"), ("b.mp4", "test"), ("c.mp4", "val")]


def test_no_window_crosses_a_cut(make_store, numbered, run):
    cut = np.concatenate([numbered(5), numbered(7, first=200)])
    frames = make_store({"train/a.mp4": cut, "val/a.mp4": numbered(4, 20), "test/a.mp4": numbered(4, 30)})
    assert [row for row in run(frames) if row[1] == "train"] == [
        ("train/a.mp4", "train", 0, 5, 2),
        ("train/a.mp4", "train", 5, 12, 4),
    ]
    assert [row for row in run(frames, shot_threshold=None) if row[1] == "train"] == [
        ("train/a.mp4", "train", 0, 12, 9)
    ]


def test_a_copy_stays_in_the_strictest_split(make_store, numbered, run, caplog):
    same = numbered(4)
    videos = {"train/a.mp4": same, "train/b.mp4": numbered(4, 9), "val/a.mp4": numbered(4, 50)}
    frames = make_store({**videos, "test/a.mp4": numbered(4, 60), "test/z.mp4": same, "test/zz.mp4": same})
    assert [row[0] for row in run(frames)] == ["test/a.mp4", "test/z.mp4", "train/b.mp4", "val/a.mp4"]
    assert "train/a.mp4: left out, holds the same frames as test/z.mp4" in caplog.text
    assert "test/zz.mp4: left out, holds the same frames as test/z.mp4" in caplog.text


def test_same_bytes_twice(make_store, numbered, run, tmp_path):
    frames = make_store({"a.mp4": numbered(40), "b.mp4": numbered(30, 100)})
    run(frames)
    first = {path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()}
    run(frames)
    assert {path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()} == first


def test_too_few_frames_names_the_numbers(make_store, numbered, run):
    frames = make_store({"a.mp4": numbered(3), "b.mp4": numbered(2)})
    with pytest.raises(DataError, match=r"4 frames that context 2 \+ horizon 2 need; the longest has 3 \(a.mp4\)"):
        run(frames)


def test_time_that_cannot_be_cut_names_the_numbers(make_store, numbered, run):
    with pytest.raises(DataError, match=r"no clips for val, test: .*needs 16 frames.*the longest has 15"):
        run(make_store({"a.mp4": numbered(15)}))


def test_cuts_are_named_where_they_and_not_the_length_are_why(make_store, numbered, run):
    flashes = np.concatenate([numbered(3), numbered(3, first=200), numbered(3, first=20)])
    why = r"; cuts part the 9 frames of a.mp4 into 3 shots: where these are no cuts, raise tensorize.shot_threshold"
    with pytest.raises(
        DataError, match=rf"no shot has the 4 frames .* the longest has 3 \(a.mp4\){why}, or make it null"
    ):
        run(make_store({"a.mp4": flashes}))
    parted = np.concatenate([numbered(3), numbered(3, first=200), numbered(12, first=20)])
    with pytest.raises(
        DataError, match=r"needs 16 frames.*the longest has 12; cuts part the 18 frames of b.mp4 into 3"
    ):
        run(make_store({"b.mp4": parted}))
    with pytest.raises(DataError, match=r"needs 16 frames.*the longest has 12$"):
        run(make_store({"c.mp4": parted[3:]}))


def test_an_empty_split_is_named(make_store, numbered, run):
    frames = make_store({"train/a.mp4": numbered(9), "test/a.mp4": numbered(9, 50), "val/a.mp4": numbered(3, 99)})
    with pytest.raises(DataError, match="no clips for val: no video in the folders val has 4 frames"):
        run(frames)


def test_a_copy_that_empties_a_split_is_an_error(make_store, numbered, run):
    frames = make_store({"train/a.mp4": numbered(9), "test/a.mp4": numbered(9), "val/a.mp4": numbered(5, 99)})
    with pytest.raises(DataError, match="no clips for train"):
        run(frames)


def test_a_store_without_videos_is_refused(make_store, run):
    folder = make_store({"a.mp4": np.zeros((1, 2, 2, 1), np.uint8)})
    index = pd.read_csv(folder / "index.csv").assign(status="skipped", stored_frames=None, array=None)
    index.to_csv(folder / "index.csv", index=False)
    with pytest.raises(DataError, match=r"holds no video.*data.videos"):
        run(folder)


def test_fractions_leave_something_to_train():
    with pytest.raises(ValueError, match="must be below 1"):
        TensorizeParams(**DEFAULTS | {"val_fraction": 0.5, "test_fraction": 0.5})


def test_a_translation_is_written_beside_the_clips(make_store, numbered, run, tmp_path):
    frames = make_store({"a.mp4": numbered(30)})
    run(frames, translate={})
    assert json.loads((tmp_path / "clips/clips.json").read_text())["translation"] == {
        "source": None,
        "target": None,
        "degradation": "noise",
        "strength": 25.0,
        "seed": 3,
    }
    dataset = ClipDataset(frames, tmp_path / "clips", "train")
    source, target = dataset.pairs([0, 1])
    assert np.array_equal(target, dataset.gather([0, 1]))
    assert source.shape == target.shape
    assert not np.array_equal(source, target)


def test_pairs_in_folders_are_split_by_the_folders_below(make_store, numbered, run, tmp_path):
    names = ("train/a.mp4", "val/b.mp4", "test/c.mp4")
    targets = {f"clean/{name}": numbered(5, 10 * i) for i, name in enumerate(names)}
    sources = {f"rough/{name}": numbered(5, 100 + 10 * i) for i, name in enumerate(names)}
    frames = make_store({**targets, **sources, "other/x.mp4": numbered(9, 200)})
    rows = run(frames, translate={"source": "rough", "target": "clean"})
    assert [row[:4] for row in rows] == [
        ("clean/test/c.mp4", "test", 0, 5),
        ("clean/train/a.mp4", "train", 0, 5),
        ("clean/val/b.mp4", "val", 0, 5),
    ]
    source, target = ClipDataset(frames, tmp_path / "clips", "test").pairs([1])
    assert source[0, :, 0, 0, 0].tolist() == [121, 122, 123, 124]
    assert target[0, :, 0, 0, 0].tolist() == [21, 22, 23, 24]


def test_colour_that_is_not_there_cannot_be_taken_away(make_store, numbered, run):
    with pytest.raises(DataError, match=r"grey: needs colour, the frames are gray; set extract.color to rgb"):
        run(make_store({"a.mp4": numbered(30)}), translate={"degradation": "grey"})


def test_a_source_without_a_target_is_refused():
    with pytest.raises(ValueError, match="source and target go together"):
        TranslateParams(**TRANSLATE | {"source": "a"})
