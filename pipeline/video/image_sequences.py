"""A folder of numbered images as a video."""

import re
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from pipeline.errors import VideoError
from pipeline.video.orientation import orientation_of, upright
from pipeline.video.presentation_times import DecodedFrame
from pipeline.video.side_data import display_matrix

CODECS = {
    ".png": "png",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
# pixel formats by photometric interpretation, samples of a pixel and type
TIFF_FORMATS = {
    ("MINISBLACK", 1, "uint8"): "gray",
    ("MINISBLACK", 1, "uint16"): "gray16le",
    ("RGB", 3, "uint8"): "rgb24",
    ("RGB", 3, "uint16"): "rgb48le",
    ("RGB", 4, "uint8"): "rgba",
    ("RGB", 4, "uint16"): "rgba64le",
}
FULL_RANGE = 2  # ITU-T H.273's, as FFmpeg counts
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

    Raises VideoError that names a file that is broken, of another size, or turned in another way (by EXIF).
    """
    size: tuple[int, int] | None = None
    matrix: bytes | None = None
    for count, path in enumerate(paths):
        heartbeat()
        codec = CODECS[path.suffix.lower()]
        frame = _plain_tiff(path, max_pixels) if codec == "tiff" else None
        frame = frame or _by_ffmpeg(path, codec, max_pixels)
        size = size or (frame.height, frame.width)
        if (frame.height, frame.width) != size:
            raise VideoError(f"{path}: is {frame.height} x {frame.width} pixels, the first was {size[0]} x {size[1]}")
        turned = display_matrix(frame)
        matrix, first_matrix = b"" if turned is None else turned.tobytes(), matrix
        if first_matrix not in (None, matrix):
            raise VideoError(f"{path}: its EXIF turns it in another way than the one before: save all upright")
        yield DecodedFrame(count / fps, (count + 1) / fps, frame, None, codec)


def _by_ffmpeg(path: Path, codec: str, max_pixels: int) -> av.VideoFrame:
    context = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
    # of a TIFF it would refuse every tag that it does not know
    detect = "crccheck+bitstream+buffer" + ("" if codec == "tiff" else "+explode")
    context.options = {"max_pixels": str(max_pixels), "err_detect": detect}
    context.thread_count = 1
    try:
        # a packet is padded, as decoders want it; they read no name and no other file
        frames = [*context.decode(av.Packet(path.read_bytes())), *context.decode(None)]
    except (av.FFmpegError, ValueError, OSError) as error:
        raise VideoError(f"{path}: cannot be decoded as an image ({error})") from error
    if not frames or frames[0].is_corrupt:
        raise VideoError(f"{path}: cannot be decoded as an image")
    return frames[0]


def _plain_tiff(path: Path, max_pixels: int) -> av.VideoFrame | None:
    """The picture of a TIFF of grey or RGB by tifffile, which reads tiles and BigTIFF too; None if FFmpeg is to try."""
    import tifffile  # a fifth of a second that few need

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            if page.imagelength * page.imagewidth > max_pixels:
                size = f"{page.imagelength} x {page.imagewidth} pixels"
                raise VideoError(f"{path}: {size} is more than extract.max_pixels ({max_pixels})")
            kind = TIFF_FORMATS.get((page.photometric.name, page.samplesperpixel, np.dtype(page.dtype).name))
            if kind is None or page.planarconfig != tifffile.PLANARCONFIG.CONTIG:
                return None
            values = page.asarray()
    except (VideoError, MemoryError):
        raise
    except Exception as error:  # of many kinds, and none is ours
        if "imagecodecs" in str(error):
            return None
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise VideoError(f"{path}: cannot be decoded as an image ({text})") from error
    values = upright(values.astype(values.dtype.newbyteorder("=")), orientation_of(page))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format=kind)
    frame.color_range = FULL_RANGE
    return frame
