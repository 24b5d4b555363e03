"""Frames of whatever a person names: a video, a sequence of an array, a stack of pictures, an episode of a data set."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from pipeline.errors import VideoError
from pipeline.sources import arrays, lerobot, lists, sequences
from pipeline.sources.part import Part, TimedPicture
from pipeline.sources.reading import at_hand, read_part
from pipeline.sources.stacks import is_stack
from pipeline.video import Image, TimedFrame, VideoInfo, packet_times, reading
from pipeline.video.segments import between

CLOCK = Fraction(1, 90_000)  # seconds: the unit of times that are no file's


def read_frames(path: Path) -> Iterator[tuple[float, Image]]:
    """Every frame of the video at `path`: (pts_seconds, image), the image uint8 (H, W, 3) RGB, all of one size.

    `path` is a file, a folder of numbered images, an array or a stack; of a file with several sequences `path`/NUMBER
    is one, of a LeRobot data set `path`/episode_NUMBER. The presentation time counts from the first frame; arrays have
    25 frames per second. Raises VideoError before the first frame if it is no video, or if several are there and none
    is named, DamagedVideo after the last good one if it breaks off or is damaged.
    """
    part = _part(path)
    if part.reader == "video" and not _is_cut_out(part):
        yield from reading.read_frames(path)
        return
    for frame in frames_of(part):
        yield frame.pts_seconds, frame.image


def read_timed_frames(path: Path) -> Iterator[TimedFrame]:
    """As read_frames, each frame with the time until which it is shown."""
    yield from frames_of(_part(path))


def probe(path: Path) -> VideoInfo:
    """What the video at `path`, as read_frames takes it, says of itself; stacks are read for it.

    Raises VideoError if it is none.
    """
    return info_of(_part(path))


def has_audio(path: Path) -> bool:
    """Whether `path` may have an audio stream: arrays, stacks and folders of images have none."""
    return path.is_file() and _part(path).reader == "video"


def frames_of(part: Part, images: Sequence[Path] = ()) -> Iterator[TimedFrame]:
    """The frames of `part`, between its seconds if it has such; `images` are those of a folder of numbered ones."""
    frames: Iterable[TimedFrame]
    if part.reader == "video":
        frames = reading.read_timed_frames(Path(part.path), images, part.start_seconds or 0.0)
    else:
        frames = at_hand(_pictures(part))
    yield from between(frames, part.start_seconds, part.stop_seconds) if _is_cut_out(part) else frames


def info_of(part: Part, images: Sequence[Path] = ()) -> VideoInfo:
    """What `part` says of itself, as frames_of takes it; raises VideoError where it is not to be read."""
    if part.reason:
        raise VideoError(f"{part.path}: {part.reason}")
    if part.reader == "video":
        path = Path(part.path)
        info = _probed(path) if _is_cut_out(part) else reading.probe(path, images)
    elif part.reader == "array":
        info = _info_of_array(part)
    else:
        info = _info_of_pictures(_pictures(part))
    if not _is_cut_out(part):
        return info
    start, stop = part.start_seconds or 0.0, part.stop_seconds
    seconds = max(0.0, (info.duration_seconds if stop is None else min(stop, info.duration_seconds or stop)) - start)
    return replace(info, duration_seconds=seconds, num_frames=part.num_frames)


@lru_cache(maxsize=1)
def _probed(path: Path) -> VideoInfo:
    """As reading.probe, once for several parts of one file."""
    return reading.probe(path)


def _is_cut_out(part: Part) -> bool:
    return part.start_seconds is not None or part.stop_seconds is not None


def _info_of_array(part: Part) -> VideoInfo:
    array = arrays.open_array(Path(part.path), part.key)
    num_frames, height, width = (array.shape[part.axes.index(letter)] for letter in "THW")
    seconds = num_frames / reading.SEQUENCE_FPS
    return VideoInfo(height, width, reading.SEQUENCE_FPS, seconds, f"array {array.dtype}", CLOCK, num_frames)


def _info_of_pictures(pictures: Iterable[TimedPicture]) -> VideoInfo:
    lengths, seconds, shape, what = [], 0.0, (0, 0), ""
    for timed in pictures:
        lengths.append(timed.stop_seconds - timed.pts_seconds)
        seconds, what = timed.stop_seconds, timed.what
        shape = (timed.picture.shape[0], timed.picture.shape[1])
    count = len(lengths)
    is_variable = count > 2 and packet_times.are_uneven(lengths[:-1])
    return VideoInfo(*shape, count / seconds if seconds else 0.0, seconds, what, CLOCK, count, is_variable)


def _pictures(part: Part) -> Iterator[TimedPicture]:
    return read_part(
        part,
        fps=reading.SEQUENCE_FPS,
        stated_range=part.value_range if part.reader == "stack" else None,  # that of an array is but suggested
        max_pixels=reading.MAX_PIXELS,
        max_seconds=float("inf"),
    )


def _part(path: Path) -> Part:
    """What reads `path`. Raises VideoError where it is no single video."""
    for file in (path, *path.parents):
        is_array = file.suffix.lower() in arrays.FILES and file.is_file()
        is_zarr = file.is_dir() and any((file / name).exists() for name in arrays.ZARR)
        if is_array or is_zarr or (file.is_dir() and lerobot.is_dataset(file)):
            return _named(file, path.relative_to(file).as_posix().removeprefix("."), arrays.state_of(file))
        if file.exists():
            break
    if path.is_file() and lists.is_list(path):
        raise VideoError(f"{path}: is a list of videos; name one of them")
    return Part(reader="stack" if path.is_file() and is_stack(path) else "video", path=str(path))


@lru_cache(maxsize=1)
def _named(file: Path, name: str, _state: object) -> Part:
    """The video `name` of what is at `file`, looked at once as long as that stays in its `_state`."""
    if lerobot.is_dataset(file):
        files = [str(Path(parent, each)) for parent, _, names in os.walk(file) for each in names]
        try:
            parts = lerobot.inspect(file, files, None, lambda: None, is_quick=True).parts
        except VideoError as error:
            raise VideoError(f"{file}: {error}") from error
    else:
        parts = sequences.inspect(file, None, lambda: None).parts
    if not name and len(parts) == 1:
        return parts[0]
    for part in parts:
        if part.name == name or (name.isdigit() and part.name.isdigit() and int(part.name) == int(name)):
            return part
    if name:
        raise VideoError(f"{file}: holds no {name}, but {parts[0].name or 'one video'} to {parts[-1].name or 'it'}")
    raise VideoError(f"{file}: holds {len(parts)} videos; name one of them, such as {file / parts[0].name}")
