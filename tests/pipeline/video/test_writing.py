import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import VideoError
from pipeline.video import probe, read_frames, write_animation, write_png, write_video


def ramp(count, height=32, width=48):
    """Frames of one grey each, 10 apart."""
    return [np.full((height, width, 3), 10 + 10 * i, dtype=np.uint8) for i in range(count)]


def test_a_written_video_reads_back_with_its_times_and_values(tmp_path):
    write_video(tmp_path / "a.mp4", ramp(6), fps=12.5)

    seconds, images = zip(*read_frames(tmp_path / "a.mp4"), strict=True)
    assert seconds == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, 0.4])
    for image, written in zip(images, ramp(6), strict=True):
        assert np.abs(image.astype(int) - written).max() <= 2
    info = probe(tmp_path / "a.mp4")
    assert (info.height, info.width, info.fps, info.duration_seconds) == (32, 48, 12.5, pytest.approx(0.48))


def test_a_written_video_is_what_browsers_play(tmp_path):
    write_video(tmp_path / "a.mp4", ramp(3), fps=10)

    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser starts before it has the whole file


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    write_video(tmp_path / "a.mp4", ramp(3, height=15, width=21), fps=10)

    assert next(read_frames(tmp_path / "a.mp4"))[1].shape == (16, 22, 3)


def test_colours_survive(tmp_path):
    colour = np.array([200, 40, 90], dtype=np.uint8)
    write_video(tmp_path / "a.mp4", [np.full((32, 32, 3), colour)] * 2, fps=10)

    assert np.abs(next(read_frames(tmp_path / "a.mp4"))[1].astype(int) - colour).max() <= 3


def test_the_same_frames_are_the_same_bytes(tmp_path):
    write_video(tmp_path / "a.mp4", ramp(5), fps=29.97)
    write_video(tmp_path / "b.mp4", ramp(5), fps=29.97)

    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("a.mp4", [], "no frames"),
        ("a.mp4", [*ramp(1), *ramp(1, width=40)], r"a frame is \(32, 40, 3\)"),
        ("a.txt", ramp(2), "should end in .mp4"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, name, frames, message):
    with pytest.raises(VideoError, match=message):
        write_video(tmp_path / name, frames, fps=10)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_file_that_was_there(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(VideoError):
        write_video(tmp_path / "a.mp4", [*ramp(1), *ramp(1, width=40)], fps=10)
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_a_png_reads_back_exactly(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    with av.open(str(tmp_path / "a.png")) as container:
        assert (next(container.decode(video=0)).to_ndarray(format="rgb24") == image).all()


def test_an_animation_has_all_its_frames(tmp_path):
    write_animation(tmp_path / "a.gif", ramp(4), fps=10)
    seconds, _ = zip(*read_frames(tmp_path / "a.gif"), strict=True)
    assert seconds == pytest.approx([0, 0.1, 0.2, 0.3])
    write_animation(tmp_path / "a.webp", ramp(4), fps=10)
    assert (tmp_path / "a.webp").read_bytes().count(b"ANMF") == 4
    with pytest.raises(VideoError, match="no frames"):
        write_animation(tmp_path / "b.gif", [], fps=10)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_keeps_every_pixel(tmp_path, suffix):
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    write_animation(tmp_path / f"a{suffix}", frames, fps=10)
    with Image.open(tmp_path / f"a{suffix}") as animation:
        for number, frame in enumerate(frames):
            animation.seek(number)
            assert (np.asarray(animation.convert("RGB")) == frame).all()


def test_a_large_frame_is_one_slice_whatever_threads_encode_it(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 304, 304, 3), np.uint8)
    write_video(tmp_path / "a.mp4", iter(frames), 25.0)
    with av.open(str(tmp_path / "a.mp4")) as video:
        packets = [bytes(packet) for packet in video.demux(video=0) if packet.size]
    assert [slices(packet) for packet in packets] == [1] * 4


def slices(packet: bytes) -> int:
    """How many slices of H.264 a packet of .mp4 has: units of types 1 and 5, each after its length."""
    count = 0
    while packet:
        length = int.from_bytes(packet[:4], "big")
        count += packet[4] & 31 in (1, 5)
        packet = packet[4 + length :]
    return count
