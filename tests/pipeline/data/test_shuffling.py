"""Clips in random order out of few segments at a time: each once, each segment read once, alike for the same seed."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.clips import COLUMNS, ClipDataset, write_clips
from pipeline.data.shuffling import MIXED, Segments
from pipeline.data.translation import Translation
from tests.conftest import write_store

FRAME_BYTES, LENGTH, SIZE = 2**14, 8, 256  # a segment begins every 256 frames
VIDEOS, FRAMES = 12, 1000


class Video:
    """Frames that say which they are, of FRAME_BYTES each for whoever counts them."""

    def __init__(self, number):
        self.number = number

    def __getitem__(self, key):
        frames = np.zeros((FRAMES, FRAME_BYTES, 1, 1), np.uint8)
        frames[:, 0, 0, 0], frames[:, 1, 0, 0] = self.number, np.arange(FRAMES) % 256
        return frames[key]


@pytest.fixture
def make():
    clips = [(str(video), start) for video in range(VIDEOS) for start in range(0, FRAMES - LENGTH + 1, 4)]

    def segments(shuffle_mb):
        return Segments(
            clips,
            lambda video: Video(int(video)),
            length=LENGTH,
            frame_bytes=FRAME_BYTES,
            shuffle_mb=shuffle_mb,
            videos_per_clip=1,
        )

    return clips, segments


@pytest.mark.parametrize("shuffle_mb", [1, 40, 1000])
def test_every_epoch_has_every_clip_once_in_an_order_of_its_own(make, shuffle_mb):
    clips, segments = make
    orders = [segments(shuffle_mb).order(np.random.default_rng([0, epoch])) for epoch in (0, 0, 1)]
    assert all(sorted(order) == list(range(len(clips))) for order in orders)
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_where_all_fits_the_order_is_that_of_no_window(make):
    clips, segments = make
    order = segments(1000).order(np.random.default_rng(3))
    assert np.array_equal(order, np.random.default_rng(3).permutation(len(clips)))


def test_an_epoch_reads_each_segment_about_once_and_keeps_what_it_may(make):
    clips, segments = make
    some = segments(40)
    for position in some.order(np.random.default_rng(0)):
        video, start = clips[position]
        frames = some.read(video, start)
        assert frames.shape == (LENGTH, FRAME_BYTES, 1, 1)
        assert frames[:, 0, 0, 0].tolist() == [int(video)] * LENGTH
        assert frames[:, 1, 0, 0].tolist() == [number % 256 for number in range(start, start + LENGTH)]
        assert some._kept_bytes <= 40 * 2**20
    num_segments = VIDEOS * -(-FRAMES // SIZE)
    window = MIXED * 40 * 2**20 / FRAME_BYTES / SIZE  # in segments: those at the beginning are those at the end, too
    assert num_segments <= some.num_reads <= num_segments + window + 3


def test_neighbours_in_an_epoch_are_of_many_segments(make):
    """From the first batch on: 16 clips are of 5 and more of the 7 segments in a window."""
    _, segments = make
    some = segments(40)
    order = some.order(np.random.default_rng(0))
    batches = [set(some.segment[order[start : start + 16]]) for start in range(0, len(order) - 16, 16)]
    assert np.mean([len(batch) for batch in batches]) > 5
    assert len(batches[0]) >= 4


def test_short_videos_are_mixed_in_a_window_that_is_smaller_than_a_segment_of_a_long_one():
    """MIXED of a MiB are 27 of these videos, which are a segment each."""
    clips = [(str(video), start) for video in range(300) for start in range(0, 30 - LENGTH + 1, 2)]
    some = Segments(
        clips, lambda video: Video(int(video)), length=LENGTH, frame_bytes=2**10, shuffle_mb=1, videos_per_clip=1
    )
    order = some.order(np.random.default_rng(0))
    batches = [set(some.segment[order[start : start + 16]]) for start in range(0, len(order) - 16, 16)]
    assert np.mean([len(batch) for batch in batches]) > 10


def test_two_processes_that_share_a_batch_read_few_segments_in_common(make):
    _, segments = make
    some = segments(40)
    order = some.order(np.random.default_rng(0))
    for start in range(0, len(order), 16):
        batch = some.together(order[start : start + 16])
        assert sorted(batch) == sorted(order[start : start + 16])
        one, other = (set(some.segment[own]) for own in np.array_split(batch, 2))
        assert len(one & other) <= 1


@pytest.mark.parametrize("translate", [False, True])
def test_clips_are_the_same_with_a_window_and_without(tmp_path, translate):
    random = np.random.default_rng(0)
    names = [f"{side}/{number}.mp4" for side in ("source", "target") for number in range(3)]
    frames = write_store(tmp_path / "f", {name: random.integers(0, 256, (90, 8, 8, 1), np.uint8) for name in names})
    wanted = [name for name in names if name.startswith("target")] if translate else names
    table = pd.DataFrame([(name, "train", 0, 90, 29) for name in wanted], columns=COLUMNS)
    translation = Translation(source="source", target="target", degradation=None, strength=None, seed=0)
    write_clips(
        tmp_path / "c",
        table,
        task="translate" if translate else "predict",
        context=2,
        horizon=3,
        stride=3,
        translation=translation if translate else None,
    )
    direct = ClipDataset(frames, tmp_path / "c", "train")
    windowed = ClipDataset(frames, tmp_path / "c", "train", shuffle_mb=1)
    indices = windowed.epoch(np.random.default_rng(0))
    for one, other in zip(direct.pairs(indices), windowed.pairs(indices), strict=True):
        assert np.array_equal(one, other)
