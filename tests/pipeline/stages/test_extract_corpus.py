"""Every odd file comes out as its kind asks for: frames, times, sizes and colours, or the reason."""

import numpy as np
import pytest

from pipeline.data.frames import FrameStore
from pipeline.ingest.folder import printable
from pipeline.stages.extract import extract
from pipeline.video import read_frames
from tests.conftest import data_in
from tests.corpus.build import BLUE, GREEN, RED
from tests.corpus.colors import COLORS
from tests.corpus.refused import BAD
from tests.corpus.stamps import STAMPS
from tests.corpus.streams import PICTURES, STREAMS
from tests.corpus.videos import GOOD
from tests.pipeline.stages.test_extract import params

CASES = GOOD | COLORS | STAMPS | STREAMS | PICTURES | BAD


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    videos = folder / "videos"
    videos.mkdir()
    for name, (build, _) in CASES.items():
        build(videos / name)
    limits = {"max_pixels": 2_000_000, "max_seconds": 36000.0}
    wanted = params(size=(12, 12), color="rgb", fit="stretch", **limits)
    extract(folder / "frames", data=data_in(videos), extract=wanted)
    return videos, FrameStore(folder / "frames")


def expected_corners(expected):
    """Top left, top right, bottom left, as they should be shown; None is the grey that tells the frame."""
    corners = np.array([[0, 1], [2, 3]])
    if expected.mirrored:
        corners = corners[:, ::-1]
    return np.rot90(corners, expected.turn)


def luma(colour):
    return round(float(np.dot(colour, (0.299, 0.587, 0.114))))


def test_there_are_enough_of_them():
    assert len(CASES) >= 220


@pytest.mark.parametrize("name", CASES, ids=lambda name: printable(name))
def test_an_odd_file(store, name):
    videos, frames = store
    expected = CASES[name][1]
    row = frames.index.loc[printable(name)]
    assert (row["status"], expected.reason in row["reason"]) == (expected.status, True), row["reason"]
    if expected.status == "skipped":
        assert (row["stored_frames"], row["array"]) == (0, "")
        return
    stored = frames.load(printable(name)).astype(int)
    assert len(stored) == row["num_frames"] == row["stored_frames"]
    if expected.status == "damaged":
        assert expected.num_frames <= len(stored) <= len(expected.levels)
    elif expected.num_frames is not None:
        assert len(stored) == expected.num_frames
    if expected.size is not None:
        assert (row["height"], row["width"]) == expected.size
    if expected.times is not None:
        seconds = [pts_seconds for pts_seconds, _ in read_frames(videos / name)]
        assert seconds == pytest.approx(expected.times, abs=0.0011)
    for number, level in enumerate(expected.levels if expected.status == "ok" else ()):
        check_picture(stored[number], level, expected)


def check_picture(image, level, expected):
    colours = [RED, GREEN, BLUE, (level,) * 3]
    if expected.plain:
        colours = [(level,) * 3] * 4
    if expected.grey:
        colours = [(luma(colour),) * 3 for colour in colours]
    for row, wanted in enumerate(expected_corners(expected)):
        for column, corner in enumerate(wanted):
            seen = image[3 + 6 * row, 3 + 6 * column]
            assert np.abs(seen - colours[corner]).max() <= expected.tolerance, (row, column, seen, colours[corner])
