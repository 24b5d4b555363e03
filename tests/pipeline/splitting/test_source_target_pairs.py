"""Pairs of videos: every way in which two folders do not fit is one line that names the file."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.frames import FrameStore
from pipeline.errors import DataError
from pipeline.splitting.source_target_pairs import pair_videos

NAMES = ("rough/a.mp4", "clean/a.mp4", "rough/deep/b.mp4", "clean/deep/b.mp4", "else/c.mp4")


@pytest.fixture
def index(make_store):
    """The index of two pairs of 5 frames of 2 x 2 pixels at 10 frames per second, and a video beside them."""

    def make(**changes) -> pd.DataFrame:
        store = FrameStore(make_store({name: np.zeros((5, 2, 2, 1), np.uint8) for name in NAMES}))
        index = store.index.copy()
        for column, value in changes.items():
            index.loc["rough/deep/b.mp4", column] = value
        return index

    return make


def test_a_pair_is_two_videos_of_one_name(index):
    assert pair_videos(index(), "rough", "clean") == ["clean/a.mp4", "clean/deep/b.mp4"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stored_frames": 4}, "rough/deep/b.mp4 and clean/deep/b.mp4: 4 and 5 frames"),
        ({"fps": 12.5}, "rough/deep/b.mp4 and clean/deep/b.mp4: 12.500 and 10.000 frames per second"),
        ({"width": 3}, "rough/deep/b.mp4 and clean/deep/b.mp4: 3x2 and 2x2 pixels"),
        (
            {"stored_frames": 0, "reason": "not a video"},
            r"clean/deep/b.mp4: has no partner; rough/deep/b.mp4 could not be read \(not a video\)",
        ),
    ],
)
def test_a_pair_that_does_not_fit_names_the_file_and_the_numbers(index, changes, message):
    with pytest.raises(DataError, match=message):
        pair_videos(index(**changes), "rough", "clean")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("rough/a.mp4", "clean/a.mp4: has no partner; rough/a.mp4 is missing"),
        ("clean/a.mp4", "rough/a.mp4: has no partner; clean/a.mp4 is missing"),
    ],
)
def test_a_video_without_a_partner_is_named(index, missing, message):
    with pytest.raises(DataError, match=message):
        pair_videos(index().drop(missing), "rough", "clean")


@pytest.mark.parametrize(("source", "target", "key"), [("no", "clean", "source no"), ("rough", "no", "target no")])
def test_a_folder_without_videos_is_named_by_its_key(index, source, target, key):
    name, folder = key.split()
    with pytest.raises(DataError, match=rf"translate\.{name}: no videos in the folder {folder}"):
        pair_videos(index(), source, target)
