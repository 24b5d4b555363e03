"""Corrupted files: every one gets its row, none takes the stage down, none makes it hang."""

import random
from fractions import Fraction

import numpy as np
import pytest

from pipeline.data.frames import FrameStore
from pipeline.stages.extract import extract
from tests.conftest import data_in
from tests.corpus.build import Encoding, encode
from tests.pipeline.stages.test_extract import params

LONG = 20
SEEDS = {
    "h264.mp4": Encoding(num_frames=LONG),
    "h264.ts": Encoding(format="mpegts", num_frames=LONG),
    "hevc.mkv": Encoding("libx265", "matroska", num_frames=LONG, options=(("x265-params", "log-level=none"),)),
    "av1.mp4": Encoding("libsvtav1", size=(64, 64), num_frames=LONG, options=(("preset", "11"),)),
    "vp9.webm": Encoding("libvpx-vp9", "webm", num_frames=LONG),
    "mpeg4.avi": Encoding("mpeg4", "avi", num_frames=LONG),
    "mpeg2.mpg": Encoding("mpeg2video", "mpeg", fps=Fraction(25), num_frames=LONG),
    "mjpeg.avi": Encoding("mjpeg", "avi", "yuvj420p", num_frames=LONG, color_range=2),
    "gif.gif": Encoding("gif", "gif", "rgb8", num_frames=LONG),
    "ffv1.mkv": Encoding("ffv1", "matroska", num_frames=LONG),
    "prores.mov": Encoding("prores_ks", "mov", "yuv422p10le", num_frames=LONG),
    "flv.flv": Encoding("flv", "flv", num_frames=LONG),
}


def corrupted(content: bytes, rng: random.Random) -> bytes:
    """`content` with bits flipped, bytes overwritten, a piece left out, doubled or moved, or its end missing."""
    data = bytearray(content)
    start, length = rng.randrange(len(data)), rng.randrange(1, 1 + len(data) // 8)
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randrange(1, 50)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[start : start + length] = rng.randbytes(length)
    elif kind == 2:
        del data[start : start + length]
    elif kind == 3:
        data[start:start] = data[start : start + length]
    elif kind == 4:
        # headers are at the front: lengths and counts that lie
        for _ in range(4):
            data[rng.randrange(min(400, len(data)))] = rng.choice((0, 1, 127, 128, 255))
    else:
        del data[start:]
    return bytes(data)


def check_fuzz(folder, count, seed, fps=None, decoder="pyav"):
    rng = random.Random(seed)
    (folder / "videos").mkdir()
    for name, encoding in SEEDS.items():
        encode(folder / name, encoding)
    contents = {name: (folder / name).read_bytes() for name in SEEDS}
    for number in range(count):
        name = list(SEEDS)[number % len(SEEDS)]
        (folder / "videos" / f"{number:04}_{name}").write_bytes(corrupted(contents[name], rng))
    wanted = params(size=(12, 12), color="rgb", timeout_seconds=20.0, fps=fps, decoder=decoder)
    extract(folder / "frames", data=data_in(folder / "videos"), extract=wanted)
    store = FrameStore(folder / "frames")
    assert len(store.index) == count
    for row in store.index.to_dict("records"):
        assert row["status"] in ("ok", "damaged", "skipped")
        assert (row["status"] == "ok") == (row["reason"] == "")
        if row["status"] != "skipped":
            frames = store.load(row["path"])
            assert frames.shape == (row["stored_frames"], 12, 12, 3)
            assert row["num_frames"] >= 1
            assert row["stored_frames"] == row["num_frames"] or fps is not None
            assert int(np.asarray(frames).max()) <= 255
    counts = store.index["status"].value_counts()
    # were most of them skipped, nothing would have been shown of damage
    assert counts["damaged"] > count // 10
    assert counts.get("ok", 0) > 0

    extract(folder / "again", data=data_in(folder / "videos"), extract=wanted)
    one, two = ({path.name: path.read_bytes() for path in sorted((folder / n).iterdir())} for n in ("frames", "again"))
    assert one == two


def test_corrupted_files_are_all_accounted_for_and_come_out_the_same_twice(tmp_path):
    check_fuzz(tmp_path, 300, seed=0)


def test_so_are_they_where_few_frames_are_wanted(tmp_path):
    check_fuzz(tmp_path, 96, seed=2, fps=2.5)


def test_opencv_takes_no_damaged_file_for_a_sound_one(tmp_path):
    check_fuzz(tmp_path, 240, seed=3, decoder="opencv")
    wanted = params(size=(12, 12), color="rgb", timeout_seconds=20.0)
    extract(tmp_path / "pyav", data=data_in(tmp_path / "videos"), extract=wanted)
    index, reference = (FrameStore(tmp_path / name).index for name in ("frames", "pyav"))
    assert (index["decoder"] == "opencv").sum() > 5
    assert index["status"].tolist() == reference["status"].tolist()
    assert index["num_frames"].tolist() == reference["num_frames"].tolist()


@pytest.mark.slow
def test_very_many_corrupted_files_are_all_accounted_for(tmp_path):
    check_fuzz(tmp_path, 6000, seed=1)
