"""Windows, and a set of clips over a frame store."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.clips import ClipDataset, windows, write_clips
from pipeline.data.translation import Translation
from pipeline.errors import DataError


def test_windows_are_half_open_and_drop_the_tail():
    assert windows(num_frames=10, length=4, stride=3) == [(0, 4), (3, 7), (6, 10)]
    assert windows(num_frames=9, length=4, stride=3) == [(0, 4), (3, 7)]
    assert windows(num_frames=4, length=4, stride=3) == [(0, 4)]
    assert windows(num_frames=3, length=4, stride=3) == []


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 50))
def test_windows_lie_inside_and_no_more_would_fit(num_frames, length, stride):
    found = windows(num_frames, length, stride)
    assert all(start >= 0 and stop - start == length and stop <= num_frames for start, stop in found)
    assert len(found) * stride + length > num_frames  # the next one would stick out


@pytest.fixture
def clips(tmp_path):
    def write(rows, **settings):
        table = pd.DataFrame(rows, columns=["video", "split", "start", "stop", "num_clips"])
        write_clips(
            tmp_path / "clips", table, **{"task": "predict", "context": 2, "horizon": 1, "stride": 2} | settings
        )
        return tmp_path / "clips"

    return write


def test_a_clip_is_a_slice_of_its_video(make_store, numbered, clips):
    frames = make_store({"a/one.mp4": numbered(9), "two.mp4": numbered(6, first=100)})
    rows = [("a/one.mp4", "train", 1, 8, 3), ("a/one.mp4", "test", 8, 9, 0), ("two.mp4", "train", 0, 4, 1)]
    dataset = ClipDataset(frames, clips(rows), "train")

    assert len(dataset) == 4
    assert (dataset.context, dataset.horizon, dataset.frame_shape) == (2, 1, (1, 2, 2))
    batch = dataset.gather([3, 0, 2])
    assert batch.shape == (3, 3, 2, 2, 1)
    assert batch.dtype == np.uint8
    assert batch[:, :, 0, 0, 0].tolist() == [[100, 101, 102], [1, 2, 3], [5, 6, 7]]
    assert dataset.names([3, 0]) == ["two.mp4[0:3]", "a/one.mp4[1:4]"]
    assert np.array_equal(dataset.gather(torch.tensor([3, 0, 2])), batch)


def test_a_split_without_clips_is_refused(make_store, numbered, clips):
    folder = clips([("a.mp4", "train", 0, 3, 1), ("a.mp4", "val", 3, 5, 0)])
    frames = make_store({"a.mp4": numbered(5)})
    for split in ("val", "test"):
        with pytest.raises(DataError, match=f"no clips for {split}"):
            ClipDataset(frames, folder, split)


def test_a_folder_that_holds_no_clips_says_what_makes_them(make_store, numbered, tmp_path):
    with pytest.raises(DataError, match="dvc repro tensorize"):
        ClipDataset(make_store({"a.mp4": numbered(5)}), tmp_path / "nowhere", "train")


def test_more_videos_than_are_kept_open_are_read_right(make_store, numbered, clips, monkeypatch):
    monkeypatch.setattr("pipeline.data.clips.OPEN_ARRAYS", 2)
    videos = {f"{i}.mp4": numbered(3, first=10 * i) for i in range(5)}
    dataset = ClipDataset(make_store(videos), clips([(video, "train", 0, 3, 1) for video in videos]), "train")
    assert dataset.gather([4, 0, 1, 2, 3, 0])[:, 0, 0, 0, 0].tolist() == [40, 0, 10, 20, 30, 0]


@pytest.mark.parametrize("name", ["007", "NA", "1e5"])
def test_a_video_may_have_a_name_like_a_number(name, make_store, numbered, clips):
    dataset = ClipDataset(make_store({name: numbered(5)}), clips([(name, "train", 0, 5, 2)]), "train")
    assert dataset.names([0])[0].startswith(name)
    assert dataset.gather([0])[0, :, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_pair_for_prediction_is_a_clip_and_the_same_a_frame_later(make_store, numbered, clips):
    frames = make_store({"a.mp4": numbered(5)})
    fed, wanted = ClipDataset(frames, clips([("a.mp4", "train", 0, 5, 2)]), "train").pairs([1])
    assert fed[0, :, 0, 0, 0].tolist() == [2, 3]
    assert wanted[0, :, 0, 0, 0].tolist() == [3, 4]


def translated(make_store, clips, name, strength, size=(80, 96)):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    frames = make_store({"a.mp4": coarse.repeat(4, 1).repeat(4, 2)})
    translation = Translation(source=None, target=None, degradation=name, strength=strength, seed=0)
    return ClipDataset(frames, clips([("a.mp4", "train", 0, 6, 2)], task="translate", translation=translation), "train")


@pytest.mark.parametrize(("name", "strength"), [("blur", 1.5), ("low_resolution", 2), ("compression", 20)])
def test_a_crop_is_a_part_of_the_whole_pair(make_store, clips, name, strength):
    dataset = translated(make_store, clips, name, strength)
    sources, targets = dataset.pairs([0, 1])
    places = set()
    for seed in range(8):
        source, target = dataset.pairs([1], 32, np.random.default_rng(seed))
        assert source.shape == target.shape == (1, 3, 32, 32, 3)
        found = [
            (top, left)
            for top in range(0, 49, 8)
            for left in range(0, 65, 8)
            if np.array_equal(targets[1:, :, top : top + 32, left : left + 32], target)
        ]
        assert len(found) == 1
        top, left = found[0]
        whole = sources[1:, :, top : top + 32, left : left + 32]
        assert np.abs(whole.astype(int) - source).max() <= 1
        places.add(found[0])
    assert len(places) > 4


def test_a_crop_is_cut_where_the_generator_says_at_multiples_of_8(make_store, clips):
    rows, columns = np.indices((24, 32), dtype=np.uint8)
    picture = np.stack([rows, columns, 0 * rows], axis=-1)  # every pixel says where it is
    frames = np.stack([picture + np.array([0, 0, number], np.uint8) for number in range(3)])
    dataset = ClipDataset(make_store({"a.mp4": frames}), clips([("a.mp4", "train", 0, 3, 1)]), "train")
    corners = set()
    for seed in range(30):
        inputs, targets = dataset.pairs([0], 16, np.random.default_rng(seed))
        top, left = inputs[0, 0, 0, 0, :2].tolist()
        corners.add((top, left))
        assert inputs.shape == targets.shape == (1, 2, 16, 16, 3)
        assert inputs[0, 1, :, 0, 0].tolist() == list(range(top, top + 16))
        assert targets[0, 1, 0, :, 1].tolist() == list(range(left, left + 16))
        assert (inputs[0, :, 5, 5, 2].tolist(), targets[0, :, 5, 5, 2].tolist()) == ([0, 1], [1, 2])
    # 8 rows and 16 columns are left over
    assert corners == {(top, left) for top in (0, 8) for left in (0, 8, 16)}


def test_a_crop_higher_than_the_frame_has_all_its_rows(make_store, clips):
    dataset = translated(make_store, clips, "compression", 20)
    sources, targets = dataset.pairs([0])
    source, target = dataset.pairs([0], 88, np.random.default_rng(0))
    assert source.shape == target.shape == (1, 3, 80, 88, 3)
    left = next(left for left in (0, 8) if np.array_equal(targets[..., left : left + 88, :], target))
    assert np.abs(sources[..., left : left + 88, :].astype(int) - source).max() <= 1


def test_noise_is_that_of_the_frame_whichever_clip_it_is_in(make_store, clips):
    source, _ = translated(make_store, clips, "noise", 25.0).pairs([0, 1])  # frames 0, 1, 2 and 2, 3, 4
    assert np.array_equal(source[0, 2], source[1, 0])
    assert not np.array_equal(source[0, 1], source[1, 1])
