"""What the page says of the data, and of what was left out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.clips import COLUMNS
from pipeline.data.frames import FrameStore
from pipeline.pages.data_card import COPY, TOO_SHORT, data_card
from tests.conftest import moving_bar, write_store


@pytest.fixture
def store(tmp_path):
    """Two whole videos with clips, a damaged one with clips, one that is too short, a copy, and a file of text."""
    videos = {"a.mp4": 10, "b.mp4": 20, "damaged.mp4": 12, "short.mp4": 3, "copy.mp4": 10}
    folder = write_store(tmp_path / "frames", {name: moving_bar(count, 0) for name, count in videos.items()})
    index = pd.read_csv(folder / "index.csv", keep_default_na=False)
    index.loc[index["path"] == "damaged.mp4", ["status", "reason"]] = "damaged", "breaks off after 12 frames"
    text = {"path": "notes.txt", "status": "skipped", "reason": "text, not a video", "array": "", "sha256": "0"}
    pd.concat([index, pd.DataFrame([text])]).to_csv(folder / "index.csv", index=False)
    return FrameStore(folder)


@pytest.fixture
def card(store, tmp_path):
    rows = [("a.mp4", "train", 0, 10, 2), ("b.mp4", "train", 0, 12, 3), ("b.mp4", "train", 12, 20, 1)]
    clips = pd.DataFrame([*rows, ("damaged.mp4", "test", 0, 12, 3)], columns=COLUMNS)
    return data_card(store, clips, 7, {"a.mp4": 1.0, "b.mp4": 3.0}, tmp_path / "renders")


def test_files_lengths_sizes_and_rates_are_told(card):
    assert card.facts["files"] == "6, 5 of them videos with frames"
    assert card.facts["length"] == "5.5 s in all, a video 0.3 to 2 s"
    assert card.facts["stored frames"] == "55 of 8 × 8 pixels, gray"
    assert card.facts["frame rate"] == "10 frames per second"
    assert card.facts["size of the videos"] == "8 × 8 (5)"


def test_splits_count_videos_shots_and_clips(card):
    assert card.splits == [("train", 2, 3, 6), ("val", 0, 0, 0), ("test", 1, 1, 3)]


def test_histograms_have_their_median_and_ends(card):
    assert [histogram.summary for histogram in card.histograms] == [
        "median 1 s, from 0.3 to 2",
        "median 11 frames, from 8 to 12",
        "median 2 pixels per frame, from 1 to 3",
    ]
    assert card.histograms[2].bars == [1.0, *[0.0] * 8, 1.0]


def test_what_is_left_out_is_told_with_its_reason(card):
    assert [(file.path, file.status, file.reason) for file in card.left_out] == [
        ("damaged.mp4", "damaged", "breaks off after 12 frames"),
        ("notes.txt", "skipped", "text, not a video"),
        ("copy.mp4", "no clip", COPY),
        ("short.mp4", "no clip", TOO_SHORT),
    ]
    assert card.reasons["text, not a video"] == 1


def test_thumbnails_are_of_what_has_frames(card, tmp_path):
    names = [file.thumbnail for file in card.left_out]
    assert names == ["left_out_00.png", "", "left_out_01.png", "left_out_02.png"]
    picture = np.asarray(Image.open(tmp_path / "renders/left_out_00.png"))
    assert picture.shape == (96, 96, 3)
    assert np.array_equal(picture[::12, ::12, :1], moving_bar(12, 0)[6])
