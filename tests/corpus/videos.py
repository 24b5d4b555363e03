"""Videos that must come out whole, by codec, container, pixel format, shape and time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tests.corpus.build import FPS, HEIGHT, NUM_FRAMES, WIDTH, Encoding, encode, level, picture

EVEN_TIMES = tuple(number / FPS for number in range(NUM_FRAMES))


@dataclass(frozen=True)
class Expected:
    """What should come of a file."""

    status: str = "ok"
    reason: str = ""  # a part of it
    num_frames: int | None = NUM_FRAMES
    size: tuple[int, int] | None = (HEIGHT, WIDTH)  # as shown
    times: tuple[float, ...] | None = EVEN_TIMES  # seconds
    seconds: float | None = None  # the whole length; None: not compared
    levels: tuple[int, ...] = field(default=tuple(level(number) for number in range(NUM_FRAMES)))
    turn: int = 0  # quarter turns, counter-clockwise, of the picture as it should be shown
    mirrored: bool = False
    grey: bool = False  # the format has no colours
    plain: bool = False  # no quadrants, only the grey that tells the frame
    tolerance: int = 10  # of 255


Build = Callable[[Path], None]
Case = tuple[Build, Expected]


def video(encoding: Encoding, expected: Expected | None = None, **changes: object) -> Case:
    """A file of the test picture."""
    sized = replace(expected or Expected(), size=changes.pop("size", encoding.size), **changes)  # type: ignore[arg-type]
    if encoding.fps != FPS and not encoding.times and "times" not in changes:
        sized = replace(sized, times=tuple(float(number / encoding.fps) for number in range(encoding.num_frames)))
    return lambda path: encode(path, encoding), sized


def made_of(*parts: Encoding) -> Build:
    """A file that is several others, one after the other."""

    def build(path: Path) -> None:
        data = b""
        for part in parts:
            encode(path, part)
            data += path.read_bytes()
        path.write_bytes(data)

    return build


def patched(encoding: Encoding, *changes: tuple[bytes, bytes], after: bool = False) -> Build:
    """A file in which the first of each run of bytes is another (or what follows it, `after`)."""

    def build(path: Path) -> None:
        encode(path, encoding)
        data = bytearray(path.read_bytes())
        for old, new in changes:
            start = data.index(old) + (len(old) if after else 0)
            data[start : start + len(new)] = new
        path.write_bytes(bytes(data))

    return build


def images(suffix: str, names: tuple[int, ...], sizes: tuple[int, ...] = (), grey16: bool = False) -> Build:
    """A folder of numbered images of the test picture, `sizes` their heights."""

    def build(path: Path) -> None:
        path.mkdir()
        for count, number in enumerate(names):
            image = picture(count, sizes[count] if sizes else HEIGHT)[:, :, ::-1]
            if grey16:
                image = np.full((HEIGHT, WIDTH), level(count) * 257, dtype=np.uint16)
            cv2.imwrite(str(path / f"frame{number}{suffix}"), image)

    return build


PAL = Fraction(25)
RGB_TOLERANCE = 3
UNEVEN = (0, 100, 150, 400, 410, 900, 1000, 1500)
B_FRAMES = (("x264-params", "bframes=3:b-adapt=0"),)
SMALL_H264 = Encoding(size=(24, 32))

CODECS: dict[str, Case] = {
    "h264.mp4": video(Encoding()),
    "h264.mkv": video(Encoding(format="matroska")),
    "h264.mov": video(Encoding(format="mov")),
    "h264.avi": video(Encoding(format="avi", options=(("x264-params", "bframes=0"),))),
    "h264.flv": video(Encoding(format="flv")),
    "h264.ts": video(Encoding(format="mpegts")),
    "raw.h264": video(Encoding(format="h264"), seconds=0.8),
    "raw_b_frames.h264": video(
        Encoding(format="h264", fps=Fraction(25, 2), options=B_FRAMES),
        times=tuple(number / 12.5 for number in range(NUM_FRAMES)),
        seconds=0.64,
    ),
    "raw.hevc": video(Encoding("libx265", "hevc", options=(("x265-params", "log-level=none:crf=10"),)), seconds=0.8),
    "hevc.mp4": video(Encoding("libx265", options=(("x265-params", "log-level=none:crf=10"),))),
    "hevc.mkv": video(Encoding("libx265", "matroska", options=(("x265-params", "log-level=none:crf=10"),))),
    "av1.mp4": video(Encoding("libsvtav1", size=(64, 64), options=(("preset", "11"), ("crf", "15"))), tolerance=25),
    "av1.webm": video(
        Encoding("libsvtav1", "webm", size=(64, 64), options=(("preset", "11"), ("crf", "15"))), tolerance=25
    ),
    "vp8.webm": video(Encoding("libvpx", "webm", options=(("b", "2M"),))),
    "vp9.webm": video(Encoding("libvpx-vp9", "webm", options=(("b", "2M"),))),
    "mpeg4.avi": video(Encoding("mpeg4", "avi", options=(("q", "2"),))),
    "mpeg4.mp4": video(Encoding("mpeg4", options=(("q", "2"),))),
    "mpeg4.nut": video(Encoding("mpeg4", "nut")),
    "mpeg2.mpg": video(Encoding("mpeg2video", "mpeg", fps=PAL)),
    "mpeg2.ts": video(Encoding("mpeg2video", "mpegts", fps=PAL)),
    "mpeg2.mxf": video(Encoding("mpeg2video", "mxf", "yuv422p", fps=PAL)),
    "mpeg1.mpg": video(Encoding("mpeg1video", "mpeg", fps=PAL)),
    "mjpeg.avi": video(Encoding("mjpeg", "avi", "yuvj420p", color_range=2)),
    "raw.mjpeg": video(
        Encoding("mjpeg", "mjpeg", "yuvj420p", color_range=2), times=tuple(n / 25 for n in range(NUM_FRAMES))
    ),
    "msmpeg4.avi": video(Encoding("msmpeg4", "avi")),
    "wmv2.asf": video(Encoding("wmv2", "asf")),
    "flv1.flv": video(Encoding("flv", "flv")),
    "h263.3gp": video(Encoding("h263", "3gp", size=(144, 176), fps=Fraction(30000, 1001)), size=(144, 192)),
    "dv.dv": video(Encoding("dvvideo", "dv", size=(576, 720), fps=PAL), size=(576, 768)),
    "prores.mov": video(Encoding("prores_ks", "mov", "yuv422p10le")),
    "dnxhr.mov": video(
        Encoding("dnxhd", "mov", "yuv422p", size=(128, 256), matrix=1, options=(("profile", "dnxhr_sq"),))
    ),
    "ffv1.mkv": video(Encoding("ffv1", "matroska")),
    "huffyuv.avi": video(Encoding("huffyuv", "avi", "rgb24"), tolerance=RGB_TOLERANCE),
    "utvideo.avi": video(Encoding("utvideo", "avi", "yuv422p")),
    "magicyuv.avi": video(Encoding("magicyuv", "avi", "gbrp"), tolerance=RGB_TOLERANCE),
    "cinepak.avi": video(Encoding("cinepak", "avi", "rgb24"), tolerance=25),
    "snow.avi": video(Encoding("snow", "avi")),
    "jpeg2000.mkv": video(Encoding("jpeg2000", "matroska", "rgb24")),
    "qtrle.mov": video(Encoding("qtrle", "mov", "rgb24"), tolerance=RGB_TOLERANCE),
    "png.mov": video(Encoding("png", "mov", "rgb24"), tolerance=RGB_TOLERANCE),
    "raw.avi": video(Encoding("rawvideo", "avi")),
    "raw.y4m": video(Encoding("rawvideo", "yuv4mpegpipe")),
    "animated.gif": video(Encoding("gif", "gif", "rgb8"), tolerance=40),
    "animated.png": video(Encoding("apng", "apng", "rgb24"), tolerance=RGB_TOLERANCE),
    "no_extension": video(Encoding(first=3), levels=tuple(level(n + 3) for n in range(NUM_FRAMES))),
    "UPPER.MP4": video(replace(SMALL_H264, first=1), levels=tuple(level(n + 1) for n in range(NUM_FRAMES))),
    "wrong_extension.avi": video(Encoding(format="matroska", first=2), levels=tuple(level(n + 2) for n in range(8))),
}

PIXELS: dict[str, Case] = {
    "yuv422.mp4": video(Encoding(pixels="yuv422p")),
    "yuv444.mp4": video(Encoding(pixels="yuv444p")),
    "ten_bits.mp4": video(Encoding(pixels="yuv420p10le")),
    "grey.mp4": video(Encoding(pixels="gray", color_range=2), grey=True),
    "grey16.mkv": video(Encoding("ffv1", "matroska", "gray16le"), grey=True),
    "full_range.mp4": video(Encoding(color_range=2)),
    "bt709.mp4": video(Encoding(matrix=1)),
    "bt601.mp4": video(Encoding(matrix=5)),
    "untagged_sd.mp4": video(Encoding(matrix=2)),
    "rgb.mkv": video(Encoding("ffv1", "matroska", "bgr0", matrix=0), tolerance=RGB_TOLERANCE),
    "rgb.mp4": video(Encoding("libx264rgb", pixels="rgb24", options=(("crf", "5"),), matrix=0)),
    "rgb48.mov": video(Encoding("png", "mov", "rgb48be"), tolerance=RGB_TOLERANCE),
    "alpha.mkv": video(Encoding("ffv1", "matroska", "yuva420p")),
    "alpha.mov": video(Encoding("prores_ks", "mov", "yuva444p10le")),
    "argb.mov": video(Encoding("qtrle", "mov", "argb"), tolerance=RGB_TOLERANCE),
    "nv12.avi": video(Encoding("rawvideo", "avi", "nv12")),
    "interlaced_h264.mp4": video(Encoding(interlaced=True, options=(("x264-params", "tff=1"),))),
    "interlaced_mpeg2.ts": video(Encoding("mpeg2video", "mpegts", fps=PAL, interlaced=True)),
}

SHAPES: dict[str, Case] = {
    "turned_90.mp4": video(Encoding(turn=90), size=(WIDTH, HEIGHT), turn=1),
    "turned_180.mov": video(Encoding(format="mov", turn=180), turn=2),
    "turned_270.mp4": video(Encoding(turn=270), size=(WIDTH, HEIGHT), turn=3),
    "mirrored.mp4": video(Encoding(turn=0, mirrored=True), mirrored=True),
    "wide_pixels.mp4": video(Encoding(pixel_aspect=Fraction(2)), size=(HEIGHT, 2 * WIDTH)),
    "tall_pixels.mkv": video(Encoding(format="matroska", pixel_aspect=Fraction(1, 2)), size=(2 * HEIGHT, WIDTH)),
    "turned_wide_pixels.mp4": video(Encoding(turn=90, pixel_aspect=Fraction(2)), size=(2 * WIDTH, HEIGHT), turn=1),
    "odd_size.mp4": video(Encoding(pixels="yuv444p", size=(47, 63))),
    "odd_size_420.avi": video(Encoding("mjpeg", "avi", "yuvj420p", size=(49, 65), color_range=2)),
    "tiny.avi": video(Encoding("rawvideo", "avi", "bgr24", size=(2, 2)), tolerance=60),
    "very_wide.mp4": video(Encoding(size=(16, 1600))),
    "very_tall.mp4": video(Encoding(size=(1600, 16))),
    "changes_size.h264": (
        made_of(
            Encoding(format="h264", num_frames=4),
            Encoding(format="h264", num_frames=4, first=4, size=(96, 128)),
        ),
        Expected(times=None),
    ),
}

TIMES: dict[str, Case] = {
    "variable.mp4": video(Encoding(times=UNEVEN), times=tuple(time / 1000 for time in UNEVEN)),
    "variable.mkv": video(Encoding(format="matroska", times=UNEVEN), times=tuple(time / 1000 for time in UNEVEN)),
    # a delay of a hundredth is shown for a tenth of a second
    "variable.gif": video(
        Encoding("gif", "gif", "rgb8", times=UNEVEN), times=(0, 0.1, 0.15, 0.4, 0.5, 0.99, 1.09, 1.59), tolerance=40
    ),
    "starts_late.mkv": video(Encoding(format="matroska", times=tuple(5000 + 100 * n for n in range(NUM_FRAMES)))),
    "starts_late.ts": video(Encoding(format="mpegts", container_options=(("output_ts_offset", "70"),))),
    "counter_wraps.ts": video(Encoding(format="mpegts", container_options=(("output_ts_offset", "95442.3"),))),
    "b_frames.mp4": video(Encoding(options=B_FRAMES)),
    "b_frames.mkv": video(Encoding(format="matroska", options=B_FRAMES)),
    "b_frames.avi": video(Encoding("mpeg4", "avi", options=(("bf", "2"),))),
    "ntsc.mp4": video(Encoding(fps=Fraction(30000, 1001))),
    "joined.mpg": (
        made_of(
            Encoding("mpeg2video", "mpeg", fps=PAL, num_frames=4),
            Encoding("mpeg2video", "mpeg", fps=PAL, num_frames=4, first=4),
        ),
        Expected(times=tuple(n / 25 for n in range(NUM_FRAMES))),
    ),
    # dwTotalFrames of the AVI header, and the length of the stream
    "claims_fewer_frames.avi": (
        patched(Encoding("mpeg4", "avi"), (b"\x08\0\0\0\0\0\0\0\x01\0\0\0", b"\x03\0\0\0")),
        Expected(),
    ),
    "claims_more_frames.avi": (
        patched(Encoding("mpeg4", "avi"), (b"\x08\0\0\0\0\0\0\0\x01\0\0\0", b"\xff\xff\0\0")),
        Expected(),
    ),
}

SEQUENCES: dict[str, Case] = {
    "images_png": (images(".png", tuple(range(8))), Expected(times=None, tolerance=RGB_TOLERANCE)),
    "images_jpg_natural": (images(".jpg", tuple(range(7, 15))), Expected(times=None)),
    "images_grey16": (images(".png", tuple(range(1, 9)), grey16=True), Expected(times=None, plain=True)),
}

GOOD = CODECS | PIXELS | SHAPES | TIMES | SEQUENCES
