"""A folder of numbered images as a video."""

import re
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import cast

import av

from pipeline.errors import VideoError
from pipeline.video.presentation_times import DecodedFrame

CODECS = {
    ".png": "png",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
NUMBERED = re.compile(rb"^(.*?)(\d+)$", re.DOTALL)


def is_image(path: Path) -> bool:
    """Whether the name at `path` is that of an image."""
    return path.suffix.lower() in CODECS


def numbered(paths: Iterable[Path]) -> list[Path]:
    """The images among `paths`, all of one folder, in the order of their numbers: 2 before 10, none if not a sequence.

    Two or more images make a sequence, if every one is numbered. Raises VideoError that names the file where a number
    is missing or is there twice, and where the names or kinds differ.
    """
    images = [path for path in paths if is_image(path)]
    matches = {path: NUMBERED.match(path.stem.encode(errors="surrogateescape")) for path in images}
    if len(images) < 2 or not all(matches.values()):
        return []
    ordered = sorted(images, key=lambda path: (int(matches[path][2]), path.name))  # type: ignore[index]
    first = ordered[0]
    for path, previous in zip(ordered[1:], ordered[:-1], strict=True):
        match, previous_match = matches[path], matches[previous]
        assert match is not None
        assert previous_match is not None
        if match[1] != previous_match[1] or path.suffix.lower() != first.suffix.lower():
            raise VideoError(f"{path.name}: not of the sequence of {first.name}: give each a folder of its own")
        if int(match[2]) != int(previous_match[2]) + 1:
            what = "is there twice" if int(match[2]) == int(previous_match[2]) else f"does not follow {previous.name}"
            raise VideoError(f"{path.name}: its number {what}: a numbered sequence may have no gap")
    return ordered


def decode_images(
    paths: Iterable[Path], *, fps: float, max_pixels: int, heartbeat: Callable[[], None] = lambda: None
) -> Generator[DecodedFrame]:
    """The images as frames, `fps` per second; `heartbeat` is called before each.

    Raises VideoError that names a file that is broken or of another size.
    """
    size: tuple[int, int] | None = None
    for count, path in enumerate(paths):
        heartbeat()
        codec = CODECS[path.suffix.lower()]
        context = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
        context.options = {"max_pixels": str(max_pixels), "err_detect": "crccheck+bitstream+buffer+explode"}
        context.thread_count = 1
        try:
            # a packet is padded, as decoders want it; they read no name and no other file
            frames = [*context.decode(av.Packet(path.read_bytes())), *context.decode(None)]
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoError(f"{path}: cannot be decoded as an image ({error})") from error
        if not frames or frames[0].is_corrupt:
            raise VideoError(f"{path}: cannot be decoded as an image")
        frame = frames[0]
        size = size or (frame.height, frame.width)
        if (frame.height, frame.width) != size:
            raise VideoError(f"{path}: is {frame.height} x {frame.width} pixels, the first was {size[0]} x {size[1]}")
        yield DecodedFrame(count / fps, (count + 1) / fps, frame, None, codec)
