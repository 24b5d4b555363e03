"""Audio is copied along with the frames, or is left out and the log says so."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.video import write_video
from pipeline.video.decoding import decode

VVC = Path(__file__).parents[2] / "corpus/vvc.mkv"


def with_audio(path, codec, seconds=2.0, frames=20, fps=10):
    """A video of a moving bar with a tone; its audio track as `codec`."""
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("mpeg4", rate=fps)
        pictures.width = pictures.height = 16
        pictures.pix_fmt = "yuv420p"
        track = output.add_stream(codec, rate=48000)
        track.layout = "mono"
        for t in range(frames):
            image = np.full((16, 16, 3), 12 * t, np.uint8)
            output.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(pictures.encode(None))
        size = 1024
        for block in range(int(seconds * 48000) // size):
            time = (np.arange(size) + block * size) / 48000
            wave = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, block * size
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return path


def tone(path):
    """Seconds of audio in the file, and its loudest frequency in Hz."""
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loudest = np.abs(np.fft.rfft(samples.astype(float))).argmax() * 48000 / len(samples)
    return len(samples) / 48000, loudest


def pictures(count):
    return (np.full((16, 16, 3), 10 * t, np.uint8) for t in range(count))


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libopus", ".mkv")])
def test_audio_is_copied_as_long_as_there_are_frames(tmp_path, codec, suffix):
    source = with_audio(tmp_path / f"in{suffix}", codec)
    write_video(tmp_path / f"whole{suffix}", pictures(20), 10.0, source)
    write_video(tmp_path / f"half{suffix}", pictures(10), 10.0, source)
    seconds, frequency = tone(tmp_path / f"whole{suffix}")
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert frequency == pytest.approx(440, abs=5)
    assert tone(tmp_path / f"half{suffix}")[0] == pytest.approx(1.0, abs=0.1)


def test_audio_of_vvc_starts_with_the_first_picture_not_with_what_matroska_calls_the_start(tmp_path):
    # `ffmpeg -f lavfi -i testsrc2=s=64x48:r=10:d=2.4 -f lavfi -i sine=440:d=2.4 -c:v libvvenc -c:a libopus vvc.mkv`
    with av.open(str(VVC)) as container:
        stream = container.streams.video[0]
        assert stream.start_time * stream.time_base == Fraction(7, 10)  # of the frame that is decoded first
    write_video(tmp_path / "out.mkv", pictures(24), 10.0, VVC)
    assert tone(tmp_path / "out.mkv")[0] == pytest.approx(2.4, abs=0.05)


def test_a_part_of_vvc_has_its_own_times():
    frames = list(decode(VVC, threads=1, max_pixels=10**7, max_seconds=1e9, start_seconds=1.5))
    assert [round(frame.pts_seconds, 3) for frame in frames if frame.pts_seconds > 1.45] == [
        tenth / 10 for tenth in range(15, 24)
    ]


def test_a_video_without_audio_stays_without(tmp_path):
    write_video(tmp_path / "silent.mp4", pictures(5), 10.0)
    write_video(tmp_path / "out.mp4", pictures(5), 10.0, tmp_path / "silent.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_audio_that_the_format_cannot_hold_is_left_out_and_said(tmp_path, caplog):
    source = with_audio(tmp_path / "in.avi", "pcm_mulaw")
    with caplog.at_level(logging.WARNING):
        write_video(tmp_path / "out.mp4", pictures(5), 10.0, source)
    assert "its audio (pcm_mulaw) cannot be stored in this format; left out" in caplog.text
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_a_playlist_opens_no_other_file_for_its_audio(tmp_path):
    with_audio(tmp_path / "in.mp4", "aac")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile in.mp4\n")
    with pytest.raises(VideoError, match="a playlist"):
        write_video(tmp_path / "out.mp4", pictures(5), 10.0, tmp_path / "list.mp4")
    assert not (tmp_path / "out.mp4").exists()
