"""A video of variable frame rate keeps its times, whatever they are, and all of its audio."""

import itertools
import logging
from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.video import TimedFrame, probe, read_timed_frames, write_timed_video, write_video
from pipeline.video.encoders import FORMATS
from pipeline.video.writing import rate_of
from tests.pipeline.video.test_audio import tone, with_audio

# 30 frames a second, then 5, a gap of more than an hour, 50 a second; the last frame for a quarter of a second
UNEVEN = (0, 33, 67, 100, 300, 500, 700, 3_700_700, 3_700_720, 3_700_740, 3_700_990)
ROUNDING = {".mkv": 0.0005, ".webm": 0.0005, ".gif": 0.005}


def frames(milliseconds, height=32, width=48):
    """Frames of one grey each, shown from one of the times to the next."""
    for number, (pts, stop) in enumerate(itertools.pairwise(milliseconds)):
        yield TimedFrame(pts / 1000, stop / 1000, np.full((height, width, 3), (10 + 20 * number) % 250, np.uint8))


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_frame_has_its_time_and_the_last_one_its_length(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_timed_video(path, frames(UNEVEN), time_base=Fraction(1, 1000))
    read = list(read_timed_frames(path))
    if suffix == ".gif":  # which shows nothing for so long: the frame is there again
        assert {round(frame.image.mean()) for frame in read[6:-3]} == {round(read[6].image.mean())}
        read[6:-3] = [TimedFrame(read[6].pts_seconds, read[-4].stop_seconds, read[6].image)]
    rounding = ROUNDING.get(suffix, 0) + 1e-6
    assert [frame.pts_seconds for frame in read] == pytest.approx([t / 1000 for t in UNEVEN[:-1]], abs=rounding)
    assert read[-1].stop_seconds == pytest.approx(UNEVEN[-1] / 1000, abs=rounding)
    for number, frame in enumerate(read):
        assert np.abs(frame.image.astype(int) - (10 + 20 * number)).max() <= 3


@pytest.mark.parametrize("base", [Fraction(1001, 30000), Fraction(1, 15360), Fraction(1, 90000), Fraction(3600)])
def test_times_in_any_unit_are_exact_in_mp4(tmp_path, base):
    times = [number * number * float(base) for number in range(5)]
    shown = [TimedFrame(pts, stop, np.zeros((16, 16, 3), np.uint8)) for pts, stop in itertools.pairwise(times)]
    write_timed_video(tmp_path / "a.mp4", iter(shown), time_base=base)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stamps = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert stamps == [number * number * base for number in range(4)]
    assert probe(tmp_path / "a.mp4").time_base <= Fraction(1, 10_000)  # fine enough for frames at another rate


def test_the_same_frames_are_the_same_bytes_and_can_be_of_an_odd_size(tmp_path):
    for suffix in (".mp4", ".mkv", ".webm", ".gif"):
        for name in ("a", "b"):
            write_timed_video(tmp_path / f"{name}{suffix}", frames(UNEVEN[:7], 31, 47))
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
        shape = next(read_timed_frames(tmp_path / f"a{suffix}")).image.shape
        assert shape == ((32, 48, 3) if suffix in (".mp4", ".mkv") else (31, 47, 3))


def test_a_gif_has_at_most_fifty_frames_a_second_and_says_how_many_it_left_out(tmp_path, caplog):
    sixty = [round(1000 * number / 60) for number in range(61)]
    with caplog.at_level(logging.WARNING):
        write_timed_video(tmp_path / "a.gif", frames(sixty))
    read = list(read_timed_frames(tmp_path / "a.gif"))
    assert min(frame.stop_seconds - frame.pts_seconds for frame in read) >= 0.02 - 1e-9
    assert read[-1].stop_seconds == pytest.approx(1.0, abs=0.02)
    assert f"{60 - len(read)} frames are left out: gif shows at most 50 a second" in caplog.text
    assert 48 <= len(read) <= 51


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libopus", ".mkv"), ("libopus", ".webm")])
def test_audio_is_kept_whole(tmp_path, codec, suffix):
    source = with_audio(tmp_path / f"in{suffix if suffix != '.webm' else '.mkv'}", codec, seconds=3.0)
    write_timed_video(tmp_path / f"out{suffix}", frames((0, 100, 1000)), audio_from=source)
    seconds, frequency = tone(tmp_path / f"out{suffix}")
    assert seconds == pytest.approx(3.0, abs=0.05)
    assert frequency == pytest.approx(440, abs=5)


def test_audio_that_begins_before_the_picture_still_does(tmp_path):
    with_audio(tmp_path / "in.mkv", "libopus")
    with av.open(str(tmp_path / "in.mkv")) as source, av.open(str(tmp_path / "late.mkv"), "w") as late:
        streams = {stream: late.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "video":
                    packet.pts, packet.dts = packet.pts + 700, packet.dts + 700
                packet.stream = streams[packet.stream]
                late.mux(packet)
    write_timed_video(tmp_path / "out.mkv", frames((0, 100, 1000)), audio_from=tmp_path / "late.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        starts: dict[str, float] = {}
        for packet in container.demux():
            if packet.pts is not None:
                starts.setdefault(packet.stream.type, float(packet.pts * packet.time_base))
    assert starts["video"] - starts["audio"] == pytest.approx(0.7, abs=0.02)
    assert [frame.pts_seconds for frame in read_timed_frames(tmp_path / "out.mkv")] == pytest.approx([0, 0.1])


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    wrong = [*frames((0, 100)), *frames((100, 200), width=40)]
    for name, shown, message in (
        ("a.avi", frames(UNEVEN), r"should end in \.mp4"),
        ("a.mp4", iter(()), "no frames"),
        ("a.mp4", iter(wrong), r"a frame is \(32, 40, 3\), the first was"),
    ):
        with pytest.raises(VideoError, match=message):
            write_timed_video(tmp_path / name, shown)
    assert list(tmp_path.iterdir()) == []


def test_webm_and_gif_can_be_written_at_one_rate(tmp_path):
    for suffix in (".webm", ".gif"):
        images = [np.full((16, 24, 3), 30 * number, np.uint8) for number in range(6)]
        write_video(tmp_path / f"a{suffix}", images, 12.5)
        times = [frame.pts_seconds for frame in read_timed_frames(tmp_path / f"a{suffix}")]
        assert times == pytest.approx([number / 12.5 for number in range(6)])


def test_a_rate_is_a_ratio_of_small_numbers_however_low():
    assert rate_of(29.97) == Fraction(2997, 100)
    assert rate_of(30000 / 1001) == Fraction(30000, 1001)
    assert rate_of(1 / 3600) == Fraction(1, 3600)
