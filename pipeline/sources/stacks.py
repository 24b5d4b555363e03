"""Files of several pictures: multi-page TIFF by tifffile (OpenCV where it lacks a codec), animated WebP by Pillow."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedVideo, VideoError
from pipeline.sources.levels import BYTE, Range, check_numbers, chosen_range, suggested_range, to_levels
from pipeline.sources.part import Limits, TimedPicture
from pipeline.video.orientation import ORIENTATION, orientation_of, upright

if TYPE_CHECKING:
    import tifffile

TIFF, WEBP, PNG = {".tif", ".tiff"}, {".webp"}, {".png"}
SHORTEST_SECONDS, SHOWN_SECONDS = 0.011, 0.1  # browsers show a frame of less than the first for the second
REDUCED_OR_MASK = 0b101  # bits of TIFF's tag 254: a page that is a thumbnail, or a mask, of another
MOST_THUMBNAILS = 64  # pages of that kind that are passed over to find another picture
PAGES_AT_ONCE = 16  # that OpenCV decodes
MINISBLACK, RGB, PALETTE = 1, 2, 3  # photometric interpretations, TIFF's tag 262


def holds_several(path: Path) -> bool:
    """Whether the TIFF, WebP or PNG at `path` is of several pictures, as its first bytes say; False if unreadable."""
    kind = path.suffix.lower()
    try:
        with path.open("rb") as file:
            if kind in TIFF:
                return _has_pages(file)
            if kind in WEBP:
                head = file.read(21)
                return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
            return kind in PNG and _has_frames(file)
    except (OSError, struct.error, IndexError, KeyError):
        return False


def is_stack(path: Path) -> bool:
    """Whether `read_stack` is what reads the file at `path`: a TIFF or a WebP of several pictures."""
    return path.suffix.lower() in TIFF | WEBP and holds_several(path)


def _has_pages(file: BinaryIO) -> bool:
    """Whether a page of a TIFF after the first is a picture of its own."""
    order = {b"II": "<", b"MM": ">"}[file.read(2)]
    is_big = struct.unpack(f"{order}H", file.read(2))[0] == 43  # BigTIFF
    pointer, count, entry = ("Q", "Q", 20) if is_big else ("I", "H", 12)

    def read(kind: str) -> int:
        return int(struct.unpack(f"{order}{kind}", file.read(struct.calcsize(f"{order}{kind}")))[0])

    file.seek(8 if is_big else 4)
    file.seek(read(pointer))
    file.seek(read(count) * entry, 1)
    for _ in range(MOST_THUMBNAILS):
        place = read(pointer)
        if not place:
            return False
        file.seek(place)
        kinds = 0
        for _ in range(read(count)):
            tag = file.read(entry)
            if struct.unpack(f"{order}H", tag[:2])[0] == 254:  # NewSubfileType
                kinds = int(struct.unpack(f"{order}I", tag[-pointer_size(is_big) :][:4])[0])
        if not kinds & REDUCED_OR_MASK:
            return True
    return False


def pointer_size(is_big: bool) -> int:
    """Bytes of a TIFF's offset."""
    return 8 if is_big else 4


def _has_frames(file: BinaryIO) -> bool:
    """Whether a PNG is animated: it says so before its first picture."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        if head[4:] in (b"acTL", b"IDAT"):
            return head[4:] == b"acTL"
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def read_stack(
    path: Path, fps: float, stated_range: Range | None, limits: Limits, heartbeat: Callable[[], None]
) -> Iterator[TimedPicture]:
    """The pictures of a stack with their times.

    A TIFF that states no time between its pictures has `fps` per second. Raises VideoError where it cannot be read or a
    limit is passed, DamagedVideo after the last good picture.
    """
    read = _webp if path.suffix.lower() in WEBP else _tiff
    count = 0
    try:
        for timed in read(path, fps, stated_range, limits, heartbeat):
            limits.check_length(timed.stop_seconds)
            yield timed
            count += 1
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, and none is ours
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if count:
            raise DamagedVideo(f"{path}: damaged after {count} frames ({text})") from error
        raise VideoError(f"{path}: cannot be read as a stack of pictures ({text})") from error


def _webp(
    path: Path, _fps: float, _range: Range | None, limits: Limits, heartbeat: Callable[[], None]
) -> Iterator[TimedPicture]:
    from PIL import Image as PillowImage  # a twentieth of a second that few need

    PillowImage.MAX_IMAGE_PIXELS = None  # our own limit is told
    with PillowImage.open(path, formats=["WEBP"]) as image:
        limits.check_size(image.height, image.width)
        start, orientation = 0.0, image.getexif().get(ORIENTATION, 1)
        for number in range(getattr(image, "n_frames", 1)):
            heartbeat()
            image.seek(number)
            image.load()
            seconds = float(image.info.get("duration") or 0) / 1000
            seconds = seconds if seconds >= SHORTEST_SECONDS else SHOWN_SECONDS
            picture = upright(np.asarray(image.convert("RGBA")), orientation)
            yield TimedPicture(start, start + seconds, _on_black(picture), "webp")
            start += seconds


def _on_black(picture: NDArray) -> NDArray:
    """An RGBA picture (H, W, 4) as a player shows it on black: (H, W, 3)."""
    alpha = picture[:, :, 3:].astype(np.uint16)
    if alpha.min() == 255:
        return picture[:, :, :3]
    return ((picture[:, :, :3] * alpha + 127) // 255).astype(np.uint8)


def _tiff(
    path: Path, fps: float, stated_range: Range | None, limits: Limits, heartbeat: Callable[[], None]
) -> Iterator[TimedPicture]:
    import tifffile  # a quarter of a second that few need

    from pipeline.sources.tiff_colours import check_colours, shown

    with tifffile.TiffFile(path) as file:
        series = _series(file)
        page: Any = series[0].pages[0]
        assert page is not None
        dtype = np.dtype(series[0].dtype)
        check_numbers(dtype)
        _check_axes(series[0])
        check_colours(page)
        limits.check_size(page.imagelength, page.imagewidth)
        step = float((file.imagej_metadata or {}).get("finterval") or 0) or 1 / fps
        what = f"tiff {dtype}"
        black_and_white = _range_of(path, series, stated_range, heartbeat)
        for number, picture in enumerate(_pages(path, series)):
            heartbeat()
            levels = upright(to_levels(shown(picture, page), black_and_white), orientation_of(page))
            yield TimedPicture(number * step, (number + 1) * step, levels, what)


def _series(file: "tifffile.TiffFile") -> list[Any]:
    """The first series of a TIFF, and those of the same form: a program that writes page by page makes one of each.

    Pages of another size, such as thumbnails, are left out. Raises VideoError where several are stacks themselves.
    """
    first, *others = file.series

    def form(series: Any) -> tuple[Any, ...]:
        return series.kind, series.axes, series.dtype, _picture_shape(series)

    alike = [first, *(other for other in others if form(other) == form(first))]
    if len(alike) > 1 and first.size > np.prod(_picture_shape(first)):
        raise VideoError(f"holds {len(alike)} stacks of pictures: save each, or all as one, in a file of its own")
    return alike


def _range_of(path: Path, series: list[Any], stated: Range | None, heartbeat: Callable[[], None]) -> Range:
    """What is black and white in a TIFF: as stated, or as all of its values suggest."""
    dtype = np.dtype(series[0].dtype)
    if series[0].pages[0].photometric == PALETTE:
        return BYTE
    low, high = np.inf, -np.inf
    pictures = _pages(path, series)
    while stated is None or dtype.itemsize == 1:
        try:
            picture = next(pictures, None)
        except (MemoryError, VideoError):
            raise
        except Exception:
            if low > high:  # not even one picture
                raise
            break  # met again when they are read
        if picture is None:
            break
        heartbeat()
        low, high = np.minimum(low, picture.min()), np.maximum(high, picture.max())
    suggested, reason = None, "holds no picture"
    try:
        suggested = suggested_range(dtype, float(low), float(high))
    except VideoError as error:
        reason = str(error)
    return chosen_range(dtype, stated, suggested, reason)


def _check_axes(series: Any) -> None:
    """Raises VideoError where a stack goes through more than one of time, depth and channels."""
    sizes = {axis: size for axis, size in zip(series.axes, series.shape, strict=True) if size > 1}
    through = [axis for axis in sizes if axis not in "YXS"]
    if len(through) > 1:
        told = ", ".join(f"{sizes[axis]} along {axis}" for axis in through)
        raise VideoError(f"is a stack in more than one way ({told}): save one channel and one depth of it")
    if through == ["C"]:
        raise VideoError(f"holds {sizes['C']} channels of one picture, no video")
    if series.axes.find("S") not in (-1, len(series.axes) - 1):
        raise VideoError("stores its colours in planes; save it with one pixel's colours together")


def _pages(path: Path, series: list[Any]) -> Iterator[NDArray]:
    """The pictures of a TIFF as they are stored, (H, W) or (H, W, C)."""
    first = series[0]
    if len(series) == 1 and first.dataoffset is not None:
        # one uncompressed block, of which a large file may list the first page alone
        dtype = np.dtype(first.dtype).newbyteorder(first.pages[0].parent.byteorder)
        block = np.memmap(path, dtype, "r", first.dataoffset, tuple(first.shape))
        yield from np.asarray(block).reshape(-1, *_picture_shape(first))
        return
    try:
        for each in series:
            for page in each.pages:
                yield page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        if first.pages[0].photometric not in (MINISBLACK, RGB) or len(series) > 1:
            raise VideoError(f"{error}: pip install imagecodecs") from error
        yield from _pages_by_opencv(path, len(first.pages))


def _picture_shape(series: Any) -> tuple[int, ...]:
    return tuple(size for axis, size in zip(series.axes, series.shape, strict=True) if axis in "YXS")


def _pages_by_opencv(path: Path, count: int) -> Iterator[NDArray]:
    content = np.fromfile(path, np.uint8)
    for start in range(0, count, PAGES_AT_ONCE):
        pages = min(PAGES_AT_ONCE, count - start)
        found, pictures = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, None, (start, start + pages))
        for picture in pictures:
            yield picture if picture.ndim == 2 else cv2.cvtColor(picture[:, :, :3], cv2.COLOR_BGR2RGB)
        if not found or len(pictures) < pages:
            raise OSError("OpenCV cannot decode a page")
