"""Frames that are not wanted are not decoded, and nothing else changes."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.ingest.video_job import Job, _extract, extract_video
from pipeline.video.decoding import decode
from pipeline.video.presentation_times import StampsGoBack
from pipeline.video.subsampling import CannotSkip
from tests.corpus.build import Encoding, encode
from tests.corpus.refused import DAMAGED, cut
from tests.corpus.stamps import STAMPS
from tests.corpus.videos import CODECS, PIXELS, SHAPES, TIMES, made_of

LONG = Encoding(num_frames=90, fps=Fraction(30), size=(64, 96))
PYRAMID = (("x264-params", "bframes=5:b-adapt=0:b-pyramid=normal:keyint=40:ref=4"), ("preset", "medium"))
QUIET = ("x265-params", "log-level=none:bframes=4:keyint=30")
JITTER = tuple(33 * number + (7 * number) % 11 for number in range(90))
VIDEOS = {
    "pyramid.mp4": replace(LONG, options=PYRAMID),
    "pyramid.flv": replace(LONG, options=PYRAMID, format="flv"),
    "jitter.mkv": replace(LONG, options=PYRAMID, format="matroska", times=JITTER),
    "hevc.mkv": replace(LONG, codec="libx265", format="matroska", options=(QUIET,)),
    "mpeg2.mov": replace(LONG, codec="mpeg2video", format="mov", options=(("bf", "2"),)),
    "mpeg4.mp4": replace(LONG, codec="mpeg4", options=(("bf", "2"),)),
}
MANY_GROUPS = {
    "short.mp4": replace(LONG, options=(("x264-params", "bframes=3:keyint=10:scenecut=0"),)),
    "open.mkv": replace(LONG, format="matroska", options=(("x264-params", "bframes=3:keyint=10:open-gop=1"),)),
    "hevc_open.mp4": replace(LONG, codec="libx265", options=(("x265-params", "log-level=none:bframes=4:keyint=12"),)),
    "hevc_closed.mkv": replace(
        LONG,
        codec="libx265",
        format="matroska",
        options=(("x265-params", "log-level=none:bframes=3:keyint=8:open-gop=0"),),
    ),
    "mpeg2.mov": replace(LONG, codec="mpeg2video", format="mov", options=(("bf", "2"), ("g", "9"))),
    "mpeg4.mp4": replace(LONG, codec="mpeg4", options=(("bf", "2"), ("g", "9"))),
    "all_key.mp4": replace(LONG, options=(("x264-params", "keyint=1"),)),
}
ODD = CODECS | PIXELS | SHAPES | TIMES | STAMPS | DAMAGED


def nothing():
    """A heartbeat that nobody listens to."""


def job(path, array, fps, threads=1):
    return Job([str(path)], False, str(array), (12, 12), "stretch", "rgb", fps, 25.0, 10**7, 1e9, threads)


def whole(job):
    """The outcome of a job with every frame decoded."""
    try:
        return _extract(job, 1, nothing, lambda: 0)
    except StampsGoBack:
        return _extract(job, 1, nothing, lambda: 0, in_output_order=True)


def both_ways(path, folder, fps, threads=1):
    """The outcome and the array as extract_video makes them, and with every frame decoded."""
    results = []
    for name, work in (
        ("skipping", lambda job: extract_video(job, nothing, lambda: 0)),
        ("whole", whole),
    ):
        array = folder / f"{name}.npy"
        outcome = work(job(path, array, fps, threads))
        # _extract does not say who decodes
        results.append((replace(outcome, decoder=""), np.load(array).tolist() if array.exists() else None))
        array.unlink(missing_ok=True)
    return results


@pytest.mark.parametrize("name", VIDEOS)
def test_fewer_frames_are_decoded_and_the_result_is_the_same(name, tmp_path):
    path = tmp_path / name
    encode(path, VIDEOS[name])
    for fps, threads in ((5.0, 1), (5.0, 4), (7.3, 1), (12.0, 2)):
        skipping, every = both_ways(path, tmp_path, fps, threads)
        assert skipping == every
        assert every[0].num_frames == 90
    decoded = list(decode(path, threads=1, max_pixels=10**7, max_seconds=1e9, wanted_fps=5.0))
    assert len(decoded) == 90
    assert sum(each.frame is None for each in decoded) > 20
    everything = decode(path, threads=1, max_pixels=10**7, max_seconds=1e9)
    assert [each.pts_seconds for each in decoded] == [each.pts_seconds for each in everything]


@pytest.mark.parametrize("name", MANY_GROUPS)
def test_groups_of_pictures_without_a_wanted_frame_are_not_decoded(name, tmp_path):
    path = tmp_path / name
    encode(path, MANY_GROUPS[name])
    for fps, threads in ((1.0, 1), (1.0, 3), (0.7, 1), (2.3, 2)):
        skipping, every = both_ways(path, tmp_path, fps, threads)
        assert skipping == every
        assert every[0].num_frames == 90
    decoded = list(decode(path, threads=1, max_pixels=10**7, max_seconds=1e9, wanted_fps=1.0))
    if name != "open.mkv":  # H.264 that never refreshes its decoder says not where a group needs nothing from before
        assert sum(each.frame is not None for each in decoded) < 45


@pytest.mark.parametrize("name", ODD)
def test_odd_files_come_out_the_same(name, tmp_path):
    path = tmp_path / name
    ODD[name][0](path)
    for fps in (2.0, 6.0):  # of FPS
        skipping, every = both_ways(path, tmp_path, fps / (36_000 if name.startswith("hourly") else 1))
        assert skipping == every


def test_what_cannot_be_told_from_the_packets_is_decoded_whole(tmp_path):
    builds = {
        "raw.h264": lambda path: encode(path, replace(LONG, format="h264")),
        "broadcast.ts": lambda path: encode(path, replace(LONG, options=PYRAMID, format="mpegts")),
        "cut.mkv": cut(replace(LONG, format="matroska"), 0.7),
        "joined.mpg": made_of(*[Encoding("mpeg2video", "mpeg", fps=Fraction(25), num_frames=80)] * 2),
        "vp8.webm": lambda path: encode(path, replace(LONG, codec="libvpx", format="webm")),
    }
    for name, build in builds.items():
        build(tmp_path / name)
        with pytest.raises(CannotSkip):
            list(decode(tmp_path / name, threads=1, max_pixels=10**7, max_seconds=1e9, wanted_fps=5.0))
        skipping, every = both_ways(tmp_path / name, tmp_path, 5.0)
        assert skipping == every
