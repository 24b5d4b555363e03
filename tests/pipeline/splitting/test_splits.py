"""Splits are stable, never empty, and apart in time."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.splitting.splits import (
    num_starts,
    split_by_folder,
    split_by_video,
    split_in_time,
)


def hashes(*names):
    return {name: hashlib.sha256(name.encode()).hexdigest() for name in names}


def test_the_hash_decides_the_split():
    known = {"a": "00" * 32, "b": "18" + "00" * 31, "c": "1a" + "00" * 31, "d": "40" + "00" * 31, "e": "ff" * 32}
    assert split_by_video(known, val_fraction=0.1, test_fraction=0.1) == {
        "a": "test",  # 0
        "b": "test",  # 0.094
        "c": "val",  # 0.102
        "d": "train",  # 0.25
        "e": "train",  # 0.99
    }


def test_the_smallest_hashes_fill_empty_splits():
    assert split_by_video({"a": "ff" * 32, "b": "80" * 32, "c": "90" * 32}, 0.1, 0.1) == {
        "b": "test",
        "c": "val",
        "a": "train",
    }
    assert split_by_video({"a": "00" * 32, "b": "01" * 32, "c": "02" * 32}, 0.1, 0.1) == {
        "a": "test",
        "b": "val",
        "c": "train",
    }


@given(st.sets(st.integers(0, 10**6), min_size=3, max_size=40), st.floats(0.01, 0.45), st.floats(0.01, 0.45))
def test_no_split_is_empty(numbers, val_fraction, test_fraction):
    split_of = split_by_video(hashes(*map(str, numbers)), val_fraction, test_fraction)
    assert set(split_of.values()) == {"train", "val", "test"}
    assert len(split_of) == len(numbers)


@given(st.sets(st.integers(0, 10**6), min_size=12, max_size=40), st.integers(-1000, -1))
def test_a_new_video_moves_no_old_one_towards_test(numbers, new):
    names = [str(number) for number in numbers]
    before = split_by_video(hashes(*names), 0.1, 0.1)
    after = split_by_video(hashes(*names, str(new)), 0.1, 0.1)
    order = ["train", "val", "test"]
    assert all(order.index(after[name]) <= order.index(before[name]) for name in names)


def test_many_videos_come_near_the_fractions_and_stay_where_they_are():
    names = [str(i) for i in range(2000)]
    split_of = split_by_video(hashes(*names), 0.1, 0.2)
    assert sum(split == "val" for split in split_of.values()) == pytest.approx(200, abs=50)
    assert sum(split == "test" for split in split_of.values()) == pytest.approx(400, abs=70)
    half = split_by_video(hashes(*names[:1000]), 0.1, 0.2)
    assert all(split_of[name] == half[name] for name in names[:1000])


def test_two_videos_cannot_be_split():
    with pytest.raises(DataError, match=r"needs 3 videos.*got 2.*split: time"):
        split_by_video(hashes("a", "b"), 0.1, 0.1)


def test_the_top_folder_is_the_split():
    splits = ("train", "val", "test")
    assert split_by_folder(["train/x/a.mp4", "val/a.mp4"], splits) == {"train/x/a.mp4": "train", "val/a.mp4": "val"}
    with pytest.raises(DataError, match=r"other/a.mp4.*train/, val/, test/"):
        split_by_folder(["train/a.mp4", "other/a.mp4"], splits)


def test_time_is_cut_in_three_with_gaps():
    # a clip of 4 can begin at 97 of 100 frames: 10 of them are test, 19 val; 3 frames between the parts
    assert split_in_time([(0, 100)], 4, 3, val_fraction=0.2, test_fraction=0.1) == [
        ("train", 0, 59),
        ("val", 62, 84),
        ("test", 87, 100),
    ]


def test_parts_are_looked_for_in_shots_that_hold_a_clip():
    # 10 clips of 4: 2 begin in the first shot, 2 in the second, 6 in the third, none in the last
    shots = [(0, 5), (5, 10), (10, 19), (19, 22)]
    assert split_in_time(shots, 4, 1, 0.1, 0.1) == [("train", 0, 9), ("val", 10, 14), ("test", 15, 22)]
    # 15 clips, so 3 each in val and test would leave 4 to train; they have 2 each, train those of the first shots
    shots[2:] = [(10, 24)]
    assert split_in_time(shots, 4, 1, 0.2, 0.2) == [("train", 0, 12), ("val", 13, 18), ("test", 19, 24)]


def test_the_shortest_shot_that_can_be_cut_has_a_clip_in_each_part():
    assert split_in_time([(0, 18)], 4, 3, 0.1, 0.1) == [("train", 0, 4), ("val", 7, 11), ("test", 14, 18)]
    assert split_in_time([(0, 17)], 4, 3, 0.1, 0.1) == [("train", 0, 17)]


def test_in_a_short_video_val_and_test_leave_half_to_train():
    # of 31 places val and test would have 6 each, which leaves 7 to train; so they have 3 each, and train 13
    parts = split_in_time([(0, 34)], 4, 3, 0.2, 0.2)
    assert parts == [("train", 0, 16), ("val", 19, 25), ("test", 28, 34)]


@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=8),
    *(st.integers(1, 40), st.integers(1, 20), st.floats(0.01, 0.5), st.floats(0.01, 0.49)),
)
def test_parts_hold_a_clip_and_are_a_gap_apart(lengths, length, gap, val_fraction, test_fraction):
    shots = list(pairwise(np.cumsum([0, *lengths]).tolist()))
    parts = split_in_time(shots, length, gap, val_fraction, test_fraction)
    assert [split for split, *_ in parts] == ["train", "val", "test"][: len(parts)]
    assert parts[0][1] == 0
    assert parts[-1][2] == sum(lengths)
    if len(parts) == 3:
        assert all(num_starts(shots, start, stop, length) >= 1 for _, start, stop in parts)
        assert [after[1] - before[2] for before, after in pairwise(parts)] == [gap, gap]
    else:
        assert len(parts) == 1
        assert max(lengths) < 3 * length + 2 * gap
