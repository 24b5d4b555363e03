"""The videos in a file of arrays: which sequences it holds, what each contains, and their pictures one by one."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedVideo, VideoError
from pipeline.sources.arrays import Array, keys, open_array
from pipeline.sources.axes import UnclearAxes, axes_of
from pipeline.sources.extras import MissingPackage
from pipeline.sources.levels import Range, chosen_range, suggested_range, to_levels
from pipeline.sources.part import Inspection, Limits, Part, TimedPicture

CHUNK_BYTES = 32 * 2**20  # that are read at a time
ORDER = "NTHWC"
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
WORDS = re.compile(r"[^a-z]+")


def inspect(
    path: Path, stated_axes: str | None, heartbeat: Callable[[], None], *, is_quick: bool = False
) -> Inspection:
    """The videos in the arrays at `path`, each with its content hash; every value is read once.

    What is no video (labels, say) is left out where something else is one; what may be one is told. If `is_quick`, only
    some values are read: nothing is hashed, and ranges of values may be guesses. Raises VideoError where nothing is a
    video.
    """
    parts: list[Part] = []
    reasons, unclear = [], ""
    refused = ""  # why the array of the most values is no video: it is likelier meant to be one than labels are
    most_values = -1
    for key in keys(path):
        num_values = 0
        try:
            array = open_array(path, key)
            num_values = int(np.prod(array.shape, dtype=np.int64))
            axes = _axes(path, array, stated_axes)
        except MissingPackage:
            raise
        except VideoError as error:
            reasons.append(str(error).removeprefix(f"{path}: "))
            told = f"{key}: {reasons[-1]}" if key else reasons[-1]
            if isinstance(error, UnclearAxes) and not unclear:
                unclear = told
            if num_values > most_values:
                most_values, refused = num_values, told
            continue
        parts.extend(_parts(path, key, array, axes, heartbeat, is_quick))
        if missing := getattr(array, "missing", ""):
            reasons.append(missing)
    if not parts:
        raise VideoError(f"{path}: {refused or 'holds no array'}")
    if unclear:  # perhaps a video, unlike labels
        return Inspection(parts, unclear)
    broken = next((reason for reason in reasons if reason.startswith("breaks off")), "")
    if broken and parts[0].axes[0] == "N":  # whole sequences are missing; else each ends early
        return Inspection(parts, broken)
    return Inspection([replace(part, name="") for part in parts] if len(parts) == 1 else parts)


def _axes(path: Path, array: Array, stated: str | None) -> str:
    """As axes_of; where nothing tells, sequences come first in a file named for a split, as in OpenSTL's folders."""
    try:
        return axes_of(array.shape, stated, array.__getitem__)
    except UnclearAxes as error:
        if path.stem.lower() in SPLITS and error.sequences_first.startswith("N"):
            return error.sequences_first
        raise


def split_in(name: str) -> str:
    """The split that a name such as X_train or valid.npy says; "" where it says none, or two."""
    found = {SPLITS[word] for word in WORDS.split(name.lower()) if word in SPLITS}
    return found.pop() if len(found) == 1 else ""


def _parts(
    path: Path, key: str, array: Array, axes: str, heartbeat: Callable[[], None], is_quick: bool
) -> Iterator[Part]:
    count = array.shape[axes.index("N")] if "N" in axes else None
    digits = len(str((count or 1) - 1))
    hashes, low, high = [], np.inf, -np.inf
    kind = f"{''.join(letter for letter in 'THWC' if letter in axes)} {np.dtype(array.dtype).str}"
    for numbers in _groups(array, axes):
        states = [hashlib.sha256(f"array {kind} {_frame_shape(array, axes)}\n".encode()) for _ in numbers]
        for place, block in enumerate(_blocks(array, axes, numbers)):
            if is_quick and (place or numbers.start):
                break
            heartbeat()
            low, high = np.minimum(low, block.min()), np.maximum(high, block.max())  # NaN stays
            for state, sequence in zip(states, block, strict=True):
                state.update(np.ascontiguousarray(sequence).data)
        hashes.extend(states)
    black_and_white, reason = None, ""
    try:
        black_and_white = suggested_range(np.dtype(array.dtype), float(low), float(high))
    except VideoError as error:
        reason = str(error)
    for number, state in enumerate(hashes):
        state.update(f"\n{black_and_white}".encode())  # decided by all sequences of the array
        names = [key] if key else []
        yield Part(
            reader="array",
            path=str(path),
            name="/".join(names if count is None else [*names, f"{number:0{digits}}"]),
            content_hash="" if is_quick else state.hexdigest(),
            key=key,
            axes=axes,
            number=None if count is None else number,
            value_range=black_and_white,
            split=split_in(key) or split_in(path.stem),
            reason=reason,
        )


def _frame_shape(array: Array, axes: str) -> tuple[int, ...]:
    return tuple(array.shape[axes.index(letter)] for letter in "THWC" if letter in axes)


def _groups(array: Array, axes: str) -> Iterator[range]:
    """The sequences that are read together, as many as make a chunk: of a time-major array one is all over the file."""
    if "N" not in axes:
        yield range(1)
        return
    count = array.shape[axes.index("N")]
    one = max(1, int(np.prod(_frame_shape(array, axes), dtype=np.int64)) * array.dtype.itemsize)
    step = max(1, CHUNK_BYTES // one)
    for start in range(0, count, step):
        yield range(start, min(count, start + step))


def _blocks(array: Array, axes: str, numbers: range) -> Iterator[NDArray]:
    """The sequences `numbers` as (N, T, H, W) or (N, T, H, W, C), a chunk of time after the other."""
    num_frames = array.shape[axes.index("T")]
    frame = int(np.prod(_frame_shape(array, axes)[1:], dtype=np.int64)) * array.dtype.itemsize * len(numbers)
    step = max(1, CHUNK_BYTES // max(1, frame))
    order = [axes.index(letter) for letter in ORDER if letter in axes]
    for start in range(0, num_frames, step):
        spans = {"N": slice(numbers.start, numbers.stop), "T": slice(start, min(num_frames, start + step))}
        index: Any = tuple(spans.get(letter, slice(None)) for letter in axes)
        block = np.asarray(array[index]).transpose(order)
        yield block if "N" in axes else block[None]


def read_array(part: Part, fps: float, stated_range: Range | None, limits: Limits) -> Iterator[TimedPicture]:
    """The pictures of a sequence, `fps` per second.

    Raises VideoError where a limit is passed or it is not known what black and white are, DamagedVideo at the end of an
    array whose file breaks off.
    """
    path = Path(part.path)
    array = open_array(path, part.key)
    num_frames, height, width, *_ = _frame_shape(array, part.axes)
    try:
        limits.check_size(height, width)
        limits.check_length(num_frames / fps)
        black_and_white = chosen_range(np.dtype(array.dtype), stated_range, part.value_range, part.reason)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error
    what = f"{path.suffix.lower().removeprefix('.') or 'zarr'} {np.dtype(array.dtype)}"
    number = part.number or 0
    count = 0
    for block in _blocks(array, part.axes, range(number, number + 1)):
        for picture in to_levels(block[0], black_and_white):
            yield TimedPicture(count / fps, (count + 1) / fps, picture, what)
            count += 1
    missing = getattr(array, "missing", "")
    if missing and part.axes[0] == "T":
        raise DamagedVideo(f"{path}: {missing}")
