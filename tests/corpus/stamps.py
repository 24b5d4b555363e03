"""Videos whose time stamps are odd, and must come out whole, each frame at its time."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.corpus.build import HEIGHT, NUM_FRAMES, WIDTH, Encoding, encode, level, picture
from tests.corpus.videos import B_FRAMES, Build, Case, Expected, made_of, video

PYRAMID = (("x264-params", "bframes=5:b-adapt=0:b-pyramid=normal:scenecut=0"),)
NO_PYRAMID = (("x264-params", "bframes=3:b-pyramid=none:b-adapt=0:scenecut=0"),)
MANY = 24
MANY_TIMES = tuple(number / 10 for number in range(MANY))
MANY_LEVELS = tuple(level(number) for number in range(MANY))


def remuxed(encoding: Encoding, container: str, change: Callable[[av.Packet, int], None] = lambda p, n: None) -> Build:
    """What `encoding` makes, its packets put into another container after `change`, which is told their number."""

    def build(path: Path) -> None:
        first = path.with_name(f"{path.name}.first")
        encode(first, encoding)
        with av.open(str(first)) as source, av.open(str(path), "w", format=container) as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            packets: Iterable[av.Packet] = source.demux(video=0)
            if container == "avi":
                start_codes = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", source.streams.video[0])
                packets = (filtered for packet in packets for filtered in start_codes.filter(packet))
            for number, packet in enumerate(packets):
                if packet.pts is not None:
                    change(packet, number)
                    packet.stream = stream
                    output.mux(packet)
        first.unlink()

    return build


def decoding_stamps_only(packet: av.Packet, number: int) -> None:
    """As writers do that know no other: shown when it is decoded."""
    packet.dts = packet.pts = number * (packet.duration or 1)


def many(encoding: Encoding, **changes: object) -> Case:
    """MANY frames, so that every structure of B-frames is there."""
    return video(replace(encoding, num_frames=MANY), num_frames=MANY, times=MANY_TIMES, levels=MANY_LEVELS, **changes)


H264_MP4 = Encoding(num_frames=MANY, options=PYRAMID)
MANY_EXPECTED = Expected(num_frames=MANY, times=MANY_TIMES, levels=MANY_LEVELS)

EIGHT = tuple(number / 25 for number in range(8))
SIXTEEN = tuple(number / 25 for number in range(16))
MPEG2 = Encoding("mpeg2video", "mpegts", fps=Fraction(25))
H264_TS = Encoding(format="mpegts", fps=Fraction(25), options=B_FRAMES)
EIGHT_LEVELS = tuple(level(number) for number in range(8))
HOURLY = tuple(3600 * number for number in range(8))
HOURLY_MS = tuple(3_600_000 * number for number in range(8))


def stamped_gif(path: Path) -> None:
    """A GIF whose delays are a hundredth and none: browsers take a tenth of a second for both."""
    first, *others = (Image.fromarray(picture(number)) for number in range(NUM_FRAMES))
    delays = [10, 10, 20, 50, 0, 10, 100, 100]
    first.save(path, "GIF", save_all=True, append_images=others, duration=delays)


KEPT = (0, 1, 2, 5, 6, 7, 8, 20, 21, 22, 23, 24, 30, 31, 32, 40)


def dropped(path: Path) -> None:
    """A camera that dropped frames: AVI says so by empty chunks."""
    with av.open(str(path), "w", format="avi") as output:
        stream: Any = output.add_stream("mjpeg", rate=20)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        context = stream.codec_context
        context.thread_count, context.colorspace, context.color_range = 1, 6, 2
        for number, slot in enumerate(KEPT):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame = frame.reformat(format="yuvj420p", dst_colorspace="ITU601", dst_color_range="JPEG")
            frame.pts, frame.time_base = slot, Fraction(1, 20)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


SLIDES = (0, 1, 3, 4)  # seconds; the last is shown for five


def slideshow(codec: str, container: str, pixels: str) -> Build:
    """Pictures of which the last is shown the longest."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format=container) as output:
            stream: Any = output.add_stream(codec, rate=1000, options={"bf": "0", "tune": "zerolatency", "crf": "10"})
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
            context = stream.codec_context
            context.thread_count, context.colorspace, context.color_range = 1, 6, 2 if "j" in pixels else 1
            context.time_base = Fraction(1, 1000)
            for number, start in enumerate(SLIDES):
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                full = "JPEG" if "j" in pixels else "MPEG"
                frame = frame.reformat(format=pixels, dst_colorspace="ITU601", dst_color_range=full)
                frame.pts, frame.time_base = 1000 * start, Fraction(1, 1000)
                for packet in stream.encode(frame):
                    packet.duration = 1000 * ([*SLIDES, 9][number + 1] - start)
                    output.mux(packet)
            output.mux(stream.encode(None))

    return build


def shown_slides(path: Path) -> None:
    """The same as an animation."""
    first, *others = (Image.fromarray(picture(number)) for number in range(len(SLIDES)))
    lengths = [1000, 2000, 1000, 5000]
    first.save(path, save_all=True, append_images=others, duration=lengths)


SHOWN = Expected(num_frames=4, times=SLIDES, levels=tuple(map(level, range(4))), seconds=9.0)

STAMPS: dict[str, Case] = {
    "dropped.avi": (
        dropped,
        Expected(
            num_frames=len(KEPT),
            times=tuple(slot / 20 for slot in KEPT),
            levels=tuple(map(level, range(len(KEPT)))),
            seconds=2.05,
        ),
    ),
    "slides.mp4": (slideshow("libx264", "mp4", "yuv420p"), SHOWN),
    "slides.mov": (slideshow("mjpeg", "mov", "yuvj420p"), SHOWN),
    "slides.mkv": (slideshow("mjpeg", "matroska", "yuvj420p"), SHOWN),
    "slides.png": (shown_slides, SHOWN),
    "slides.gif": (shown_slides, replace(SHOWN, tolerance=40)),
    # AVI says when a frame is decoded, never when it is shown
    "h264_b.avi": many(Encoding(format="avi", options=B_FRAMES)),
    "h264_b_no_pyramid.avi": many(Encoding(format="avi", options=NO_PYRAMID)),
    "h264_b_pyramid.avi": many(Encoding(format="avi", options=PYRAMID)),
    "h264_b_copied.avi": (remuxed(H264_MP4, "avi"), MANY_EXPECTED),
    "mpeg2_b.avi": video(
        Encoding("mpeg2video", "avi", fps=Fraction(25), options=(("bf", "2"),), num_frames=MANY),
        num_frames=MANY,
        levels=MANY_LEVELS,
    ),
    "mpeg4_b.avi": many(Encoding("mpeg4", "avi", options=(("bf", "3"),))),
    "h264_still_then_b.avi": many(Encoding(format="avi", options=(("x264-params", "bframes=3:b-adapt=2"),))),
    # others that should know better
    "decoding_stamps.mp4": (remuxed(H264_MP4, "mp4", decoding_stamps_only), MANY_EXPECTED),
    "decoding_stamps.mkv": (remuxed(H264_MP4, "matroska", decoding_stamps_only), MANY_EXPECTED),
    "decoding_stamps.mov": (remuxed(H264_MP4, "mov", decoding_stamps_only), MANY_EXPECTED),
    "decoding_stamps.nut": (remuxed(H264_MP4, "nut", decoding_stamps_only), MANY_EXPECTED),
    # recordings joined by `cat`, which are numbered anew
    "joined.ts": (made_of(MPEG2, replace(MPEG2, first=8)), Expected(num_frames=16, times=SIXTEEN, levels=EIGHT_LEVELS)),
    "joined_h264.ts": (
        made_of(H264_TS, replace(H264_TS, first=8)),
        Expected(num_frames=16, times=SIXTEEN, levels=EIGHT_LEVELS),
    ),
    "joined_three.ts": (
        made_of(MPEG2, replace(MPEG2, first=8), replace(MPEG2, first=16)),
        Expected(num_frames=24, times=tuple(number / 25 for number in range(24)), levels=EIGHT_LEVELS),
    ),
    "joined_two_sizes.ts": (
        made_of(MPEG2, replace(MPEG2, first=8, size=(96, 128))),
        Expected(num_frames=16, times=SIXTEEN, levels=tuple(level(number) for number in range(16))),
    ),
    "joined_two_sizes_h264.ts": (
        made_of(H264_TS, replace(H264_TS, first=8, size=(96, 128))),
        Expected(num_frames=16, times=SIXTEEN, levels=tuple(level(number) for number in range(16))),
    ),
    "changes_size.mpg": (
        made_of(
            Encoding("mpeg2video", "mpeg", fps=Fraction(25), num_frames=4),
            Encoding("mpeg2video", "mpeg", fps=Fraction(25), num_frames=4, first=4, size=(96, 128)),
        ),
        Expected(times=EIGHT),
    ),
    "quick.gif": (stamped_gif, Expected(times=(0, 0.1, 0.2, 0.22, 0.27, 0.37, 0.47, 0.57), tolerance=40)),
    "hourly.mp4": video(Encoding(fps=Fraction(1, 3600)), times=HOURLY),
    "hourly.mov": video(Encoding(format="mov", fps=Fraction(1, 3600)), times=HOURLY),
    "hourly.webm": video(Encoding("libvpx", "webm", times=HOURLY_MS, options=(("b", "2M"),)), times=HOURLY),
    "hourly.avi": video(Encoding("mpeg4", "avi", fps=Fraction(1, 3600)), times=HOURLY),
    "hourly.mkv": video(Encoding(format="matroska", times=HOURLY_MS), times=HOURLY),
}
