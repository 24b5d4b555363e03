"""Every odd file comes out as its kind asks for: frames, times, sizes and colours, or the reason."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.frames import FrameStore
from pipeline.ingest.folder import printable
from pipeline.stages.extract import extract
from pipeline.video import read_frames
from tests.conftest import data_in
from tests.corpus.build import BLUE, GREEN, RED
from tests.corpus.colors import COLORS, UNCONVERTED
from tests.corpus.cropped import CROPPED
from tests.corpus.refused import BAD
from tests.corpus.stamps import STAMPS
from tests.corpus.streams import PICTURES, STREAMS
from tests.corpus.tagged import TAGGED
from tests.corpus.uploads import UPLOADS
from tests.corpus.videos import GOOD
from tests.pipeline.stages.test_extract import params

DECODERS = ("pyav", "opencv", "auto")
CASES = GOOD | COLORS | UNCONVERTED | STAMPS | STREAMS | PICTURES | CROPPED | UPLOADS | TAGGED | BAD


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "videos"
    folder.mkdir()
    for name, (build, _) in CASES.items():
        build(folder / name)
    return folder


def extracted(videos, decoder):
    limits = {"max_pixels": 2_000_000, "max_seconds": 36000.0}
    frames = videos.parent / decoder
    wanted = params(size=(12, 12), color="rgb", fit="stretch", decoder=decoder, **limits)
    extract(frames, data=data_in(videos), extract=wanted)
    return FrameStore(frames)


@pytest.fixture(scope="module")
def stores(videos):
    return {decoder: extracted(videos, decoder) for decoder in DECODERS}


def expected_corners(expected):
    """Top left, top right, bottom left, as they should be shown; None is the grey that tells the frame."""
    corners = np.array([[0, 1], [2, 3]])
    if expected.mirrored:
        corners = corners[:, ::-1]
    return np.rot90(corners, expected.turn)


def luma(colour):
    return round(float(np.dot(colour, (0.299, 0.587, 0.114))))


def test_there_are_enough_of_them():
    assert len(CASES) >= 280


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", CASES, ids=lambda name: printable(name))
def test_an_odd_file(videos, stores, name, decoder):
    check_file(videos, stores[decoder], name)


def check_file(videos, frames, name):
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
    if expected.seconds is not None:
        assert (row["duration_seconds"], row["fps"]) == pytest.approx(
            (expected.seconds, expected.num_frames / expected.seconds), abs=0.0011
        )
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


@pytest.mark.parametrize(("decoder", "least"), [("opencv", 50), ("auto", 40)])
def test_opencv_reads_as_pyav_does_what_it_reads(stores, decoder, least):
    index, reference = stores[decoder].index, stores["pyav"].index
    decoders = index["decoder"]
    names = decoders.index[decoders == "opencv"]
    assert len(names) >= least
    assert decoders[decoders != "opencv"].str.fullmatch("(pyav(: .+)?)?").all()
    told = ["num_frames", "fps", "height", "width", "duration_seconds", "codec", "status"]
    pd.testing.assert_frame_equal(index.loc[names, told], reference.loc[names, told], rtol=1e-9)
    for name in names:
        error = stores[decoder].load(name).astype(int) - stores["pyav"].load(name)
        assert np.abs(error).max() <= 2, name
        assert np.abs(error).mean() < 0.8, name
        assert abs(error.mean()) < 0.7, name  # neither darker nor lighter than by what full range is


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("interlaced_h264.mp4", "interlaced"),
        ("hlg.mp4", "HDR or wide colours"),
        ("av1.mp4", "codec libdav1d"),
        ("h264.ts", "container mpegts"),
        ("changes_size.h264", "container h264"),
        ("mpeg4_b.avi", "codec mpeg4"),
        ("vp9.webm", "codec vp9"),
        ("ten_bits.mp4", "pixel format yuv420p10le"),
        ("nv12.avi", "pixel format nv12"),
        ("odd_size_420.avi", "an odd size"),
        ("mirrored.mp4", "mirrored"),
        ("very_wide.mp4", "not shrunk to half its size"),
        ("small_first.mp4", "several video streams"),
        ("clap.mp4", "cropped by its container"),
        ("cut.mp4", "its end is missing"),
        ("spoilt_h264.mp4", "OpenCV complains"),
        ("spoilt_mjpeg.avi", "OpenCV complains"),
    ],
)
def test_what_opencv_may_read_wrongly_is_pyavs_and_the_row_says_why(stores, name, reason):
    assert stores["opencv"].index.loc[name, "decoder"].startswith(f"pyav: {reason}")
