"""Files with more than one video stream, of which a player shows one; and pictures that look like videos."""

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

from tests.corpus.build import NUM_FRAMES, Encoding, encode, level, picture
from tests.corpus.refused import skipped
from tests.corpus.videos import Build, Case, Expected

DEFAULT, NONE = Disposition.default, 0
SMALL = (16, 16)


@dataclass(frozen=True)
class Track:
    """A stream of the test picture, or a black one."""

    size: tuple[int, int]
    disposition: int = 0
    is_black: bool = False
    num_frames: int = NUM_FRAMES
    codec: str = "libx264"
    pixels: str = "yuv420p"


SHOWN = Track((48, 64))
BLACK = Track(SMALL, is_black=True)


def tracks(container: str, *wanted: Track, fps: int = 10) -> Build:
    """A file of these streams, in this order."""

    def build(path: Path) -> None:
        with av.open(str(path), "w", format=container) as output:
            streams: list[Any] = []
            for track in wanted:
                stream: Any = output.add_stream(track.codec, rate=fps)
                stream.height, stream.width = track.size
                stream.pix_fmt = track.pixels
                stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
                stream.disposition = int(track.disposition)
                stream.codec_context.thread_count = 1
                streams.append(stream)
            for number in range(max(track.num_frames for track in wanted)):
                for track, stream in zip(wanted, streams, strict=True):
                    if number < track.num_frames:
                        image = picture(number, *track.size)
                        frame = av.VideoFrame.from_ndarray(image * (not track.is_black), format="rgb24")
                        frame = frame.reformat(format=track.pixels, dst_colorspace="ITU601", dst_color_range="MPEG")
                        frame.pts, frame.time_base = number, Fraction(1, fps)
                        output.mux(stream.encode(frame))
            for stream in streams:
                output.mux(stream.encode(None))

    return build


def avif(with_alpha: bool = False, num_frames: int = NUM_FRAMES) -> Build:
    """An AVIF sequence, which holds its first picture as a still, too; with alpha each has a second, grey stream."""

    def build(path: Path) -> None:
        images = [picture(number) for number in range(num_frames)]
        if with_alpha:
            images = [
                np.dstack([image, np.full(image.shape[:2], 200 - 9 * n, np.uint8)]) for n, image in enumerate(images)
            ]
        first, *others = map(Image.fromarray, images)
        many = {"save_all": True, "append_images": others, "duration": 100} if others else {}
        first.save(path, "AVIF", quality=95, speed=10, max_threads=1, **many)

    return build


def box(kind: bytes, *parts: bytes) -> bytes:
    """An ISO base media file's box."""
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, bytes([version]), flags.to_bytes(3, "big"), *parts)


def two(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def tiled_heic(path: Path) -> None:
    """A photo of two tiles side by side, as phones write them: HEVC stills and a grid that says where each belongs."""
    quiet = (("x265-params", "log-level=none:crf=10:keyint=1"),)
    first = path.with_name(f"{path.name}.first")
    encode(first, Encoding("libx265", size=(64, 64), num_frames=2, options=quiet))
    with av.open(str(first)) as source:
        stream = source.streams.video[0]
        tiles = [bytes(packet) for packet in source.demux(stream) if packet.size]
        header = bytes(stream.codec_context.extradata or b"")
    first.unlink()
    grid = bytes([0, 0, 0, 1]) + two(128, 64)
    items = (b"hvc1", b"hvc1", b"grid")
    infe = [full(b"infe", two(n, 0), kind, b"\0", version=2) for n, kind in enumerate(items, start=1)]
    sizes = [full(b"ispe", (width).to_bytes(4, "big"), (64).to_bytes(4, "big")) for width in (64, 128)]
    properties = box(b"ipco", box(b"hvcC", header), *sizes)
    association = full(b"ipma", (3).to_bytes(4, "big"), *(
        two(n) + bytes([len(own)]) + bytes(own) for n, own in ((1, (0x81, 2)), (2, (0x81, 2)), (3, (3,)))
    ))  # fmt: skip
    payloads = [*tiles, grid]

    def meta(start: int) -> bytes:
        places = b""
        for number, payload in enumerate(payloads, start=1):
            places += two(number, 0, 1) + start.to_bytes(4, "big") + len(payload).to_bytes(4, "big")
            start += len(payload)
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", two(3)),
            full(b"iloc", bytes([0x44, 0]), two(3), places),
            full(b"iinf", two(3), *infe),
            full(b"iref", box(b"dimg", two(3, 2, 1, 2))),
            box(b"iprp", properties, association),
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + box(b"mdat", *payloads))


def pillow(kind: str, num_frames: int, **options: Any) -> Build:
    """Images in one file that Pillow writes."""

    def build(path: Path) -> None:
        first, *others = (Image.fromarray(picture(number)) for number in range(num_frames))
        content = io.BytesIO()
        first.save(content, kind, save_all=True, append_images=others, **options)
        path.write_bytes(content.getvalue())

    return build


STREAMS: dict[str, Case] = {
    "small_first.mkv": (tracks("matroska", BLACK, replace(SHOWN, disposition=DEFAULT)), Expected()),
    "small_first.mov": (tracks("mov", BLACK, replace(SHOWN, disposition=DEFAULT)), Expected()),
    "small_first.mp4": (tracks("mp4", BLACK, replace(SHOWN, disposition=DEFAULT)), Expected()),
    "small_first_both_default.mp4": (
        tracks("mp4", replace(BLACK, disposition=DEFAULT), replace(SHOWN, disposition=DEFAULT)),
        Expected(),
    ),
    "small_first.ts": (
        tracks("mpegts", replace(BLACK, codec="mpeg2video"), replace(SHOWN, codec="mpeg2video"), fps=25),
        Expected(times=tuple(number / 25 for number in range(NUM_FRAMES))),
    ),
    "large_not_default.mkv": (
        tracks("matroska", replace(BLACK, size=(96, 128)), replace(SHOWN, disposition=DEFAULT)),
        Expected(),
    ),
    "short_first.mp4": (
        tracks(
            "mp4",
            replace(SHOWN, num_frames=2, is_black=True, disposition=DEFAULT),
            replace(SHOWN, disposition=DEFAULT),
        ),
        Expected(),
    ),
    "cover_first.mp4": (
        tracks(
            "mp4",
            Track((96, 128), Disposition.attached_pic, True, 1, "mjpeg", "yuvj420p"),
            replace(SHOWN, disposition=DEFAULT),
        ),
        Expected(),
    ),
    "small_first_both_default.mov": (
        tracks("mov", replace(BLACK, disposition=DEFAULT), replace(SHOWN, disposition=DEFAULT)),
        Expected(),
    ),
    "small_first_h264.ts": (
        tracks("mpegts", BLACK, SHOWN, fps=25),
        Expected(times=tuple(number / 25 for number in range(NUM_FRAMES))),
    ),
    "sequence.avif": (avif(), Expected()),
    "sequence_alpha.avif": (avif(with_alpha=True), Expected()),
    "muxed.avif": (
        lambda path: encode(
            path, Encoding("libsvtav1", "avif", size=(64, 64), options=(("preset", "11"), ("crf", "15")))
        ),
        Expected(size=(64, 64), tolerance=25),
    ),
}
PICTURES: dict[str, Case] = {
    "picture.avif": (avif(num_frames=1), skipped("a lone image")),
    "picture_alpha.avif": (avif(with_alpha=True, num_frames=1), skipped("a lone image")),
    "tiles.heic": (tiled_heic, skipped("a lone image")),
    "tiles_named.mp4": (lambda path: tiled_heic(path) or (path.write_bytes(path.read_bytes() + box(b"free")) and None),
                        skipped("a lone image")),
    "animated.webp": (
        pillow("WEBP", 8, duration=100),
        Expected(num_frames=8, times=None, levels=tuple(map(level, range(8)))),
    ),
    "stack.tif": (pillow("TIFF", 3), Expected(num_frames=3, times=None, levels=tuple(map(level, range(3))))),
}  # fmt: skip
