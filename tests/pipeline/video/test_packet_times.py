"""What a video says of its frames and times, without decoding it: `foreframe info` and the files that are written."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.project.listing import describe_video
from pipeline.video import TimedFrame, probe, read_timed_frames, reading, write_timed_video, write_video
from pipeline.video.packet_times import Timing
from tests.corpus.build import HEIGHT, WIDTH, picture
from tests.corpus.stamps import STAMPS
from tests.corpus.streams import STREAMS

ODD = STAMPS | STREAMS
CORPUS = Path(__file__).parents[2] / "corpus"


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_has_as_many_frames_and_seconds_as_decoding_finds(name, tmp_path):
    path = tmp_path / name
    build, expected = ODD[name]
    build(path)
    info = probe(path)
    assert info.num_frames == expected.num_frames
    assert info.duration_seconds > expected.times[-1]
    assert info.duration_seconds == pytest.approx(expected.seconds or info.duration_seconds, abs=0.0011)
    assert info.fps == pytest.approx(info.num_frames / info.duration_seconds, rel=0.01)


def test_a_varying_rate_is_an_average_and_says_so(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    times = [*(number / 30 for number in range(60)), *(2 + number / 5 for number in range(21))]
    frames = (TimedFrame(pts, stop, image) for pts, stop in itertools.pairwise(times))
    write_timed_video(tmp_path / "a.mp4", frames)
    facts = describe_video(tmp_path / "a.mp4")
    assert facts["frame rate"] == "13.3333 frames a second on average: it varies"
    assert facts["length"] == "6.00 seconds"
    write_video(tmp_path / "b.mkv", [image] * 100, 60000 / 1001)  # its clock counts 16 and 17 milliseconds
    assert describe_video(tmp_path / "b.mkv")["frame rate"].startswith("59.9")
    assert "varies" not in describe_video(tmp_path / "b.mkv")["frame rate"]


def test_vvc_in_matroska_has_a_steady_rate_although_its_stamps_of_decoding_fall():
    facts = describe_video(CORPUS / "vvc.mkv")
    assert (facts["frame rate"], facts["length"]) == ("10 frames a second", "2.40 seconds")


def test_what_is_not_known_is_not_told_as_zero(tmp_path, monkeypatch):
    image = np.zeros((16, 16, 3), np.uint8)
    write_video(tmp_path / "one.mp4", [image], 25)
    assert describe_video(tmp_path / "one.mp4") == {"picture": "16 x 16 pixels", "frames": "1: a picture, not a video"}
    STAMPS["joined.ts"][0](tmp_path / "a.ts")
    monkeypatch.setattr(reading, "MEASURED_BYTES", 0)  # a large file: only its header is read
    monkeypatch.setattr(reading, "stated", lambda container, stream: Timing(None, 0.0, 0.0, is_variable=False))
    facts = describe_video(tmp_path / "a.ts")
    assert facts["frame rate"] == "not known: the file has no times"
    assert facts["length"] == "not known before it is decoded"


def test_the_last_frame_of_an_avi_with_empty_slots_ends_where_the_file_does(tmp_path):
    path = tmp_path / "held.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=15)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 15)
        for number, slot in enumerate((0, 7, 13, 20)):  # and not one after the last
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = slot, Fraction(1, 15)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    frames = list(read_timed_frames(path))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 7 / 15, 13 / 15, 20 / 15])
    assert frames[-1].stop_seconds == pytest.approx(21 / 15)
    info = probe(path)
    assert (info.num_frames, info.is_variable) == (4, False)
    assert info.duration_seconds == pytest.approx(21 / 15)
    assert info.fps == pytest.approx(4 / (21 / 15))
