"""Frames of whatever a person names at the prompt: a video, or a sequence of an array, or a stack of pictures."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from pipeline.errors import VideoError
from pipeline.sources import arrays, lists, sequences
from pipeline.sources.part import Part, TimedPicture
from pipeline.sources.reading import at_hand, read_part
from pipeline.sources.stacks import is_stack
from pipeline.video import Image, TimedFrame, VideoInfo, reading

CLOCK = Fraction(1, 90_000)  # seconds: the unit of times that are no file's


def read_frames(path: Path) -> Iterator[tuple[float, Image]]:
    """As pipeline.video.read_frames, of arrays and stacks too; of an array with several sequences `path`/NUMBER is one.

    Arrays have 25 frames per second. Raises VideoError where several are there and none is named.
    """
    part = _part(path)
    if part is None:
        yield from reading.read_frames(path)
        return
    for frame in at_hand(_pictures(part)):
        yield frame.pts_seconds, frame.image


def read_timed_frames(path: Path) -> Iterator[TimedFrame]:
    """As read_frames, each frame with the time until which it is shown."""
    part = _part(path)
    yield from reading.read_timed_frames(path) if part is None else at_hand(_pictures(part))


def probe(path: Path) -> VideoInfo:
    """As pipeline.video.probe, of arrays and stacks too; these are read for it."""
    part = _part(path)
    if part is None:
        return reading.probe(path)
    count, seconds, shape, what = 0, 0.0, (0, 0), ""
    for timed in _pictures(part):
        count, seconds, what = count + 1, timed.stop_seconds, timed.what
        shape = (timed.picture.shape[0], timed.picture.shape[1])
    return VideoInfo(*shape, count / seconds, seconds, what, CLOCK)


def has_audio(path: Path) -> bool:
    """Whether `path` may have an audio stream: arrays, stacks and folders of images have none."""
    return path.is_file() and _part(path) is None


def _pictures(part: Part) -> Iterator[TimedPicture]:
    return read_part(
        part, fps=reading.SEQUENCE_FPS, stated_range=None, max_pixels=reading.MAX_PIXELS, max_seconds=float("inf")
    )


def _part(path: Path) -> Part | None:
    """What reads `path`; None for a video. Raises VideoError where it is no single one."""
    for file in (path, *path.parents):
        is_array = file.suffix.lower() in arrays.FILES and file.is_file()
        if is_array or (file.is_dir() and any((file / name).exists() for name in arrays.ZARR)):
            return _named(file, path.relative_to(file).as_posix().removeprefix("."))
        if file.exists():
            break
    if path.is_file() and lists.is_list(path):
        raise VideoError(f"{path}: is a list of videos; name one of them")
    return Part(reader="stack", path=str(path)) if path.is_file() and is_stack(path) else None


@lru_cache(maxsize=1)
def _named(file: Path, name: str) -> Part:
    parts = sequences.inspect(file, None, lambda: None).parts
    if not name and len(parts) == 1:
        return parts[0]
    for part in parts:
        if part.name == name or (name.isdigit() and part.name.isdigit() and int(part.name) == int(name)):
            return part
    if name:
        raise VideoError(f"{file}: holds no {name}, but {parts[0].name or 'one video'} to {parts[-1].name or 'it'}")
    raise VideoError(f"{file}: holds {len(parts)} videos; name one of them, such as {file / parts[0].name}")
