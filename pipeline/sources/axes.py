"""What the axes of an array mean: T time, N sequences, H height, W width, C channels, told from shape and content."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError

CHANNELS = (1, 3)  # anywhere; at the end a fourth one is alpha
SAMPLE = 12  # neighbours along each axis that are compared, at PLACES places
PLACES = 6
CLEARLY = 1.15  # so much more must sequences differ than frames, to be told from them


def axes_of(shape: tuple[int, ...], stated: str | None, sample: Callable[[Any], NDArray]) -> str:
    """The letters of the axes, such as TNHW; `sample` returns what is at an index of the array.

    `stated` (extract.array_axes) is taken where it has as many letters as the array has axes. Else the shape tells
    which axes are colours, and the content which one is time: frames that follow each other differ less than
    sequences. Raises VideoError where the shape is none of a video, or neither tells.
    """
    if stated is not None and len(stated) == len(shape):
        return stated
    last_is_colour = shape[-1] in (*CHANNELS, 4) if shape else False
    if len(shape) == 3 and not last_is_colour:
        return _time_first(shape, "", sample)
    if len(shape) == 4:
        if last_is_colour:
            return _time_first(shape, "C", sample)
        if shape[1] in CHANNELS:
            return "TCHW"
        if shape[2] in CHANNELS:  # as some programs save; pictures of three rows are none
            raise UnclearAxes(shape, "HWCT", "NTHW")
        if shape[0] == 1:
            return "NTHW"
        if shape[0] == 3:
            raise UnclearAxes(shape, "NTHW", "CTHW")
        return _time_of_two(shape, "HW", sample)
    if len(shape) == 5:
        if last_is_colour:
            return _time_of_two(shape, "HWC", sample)
        if shape[2] in CHANNELS:
            return _time_of_two(shape, "CHW", sample)
        if shape[1] in CHANNELS:
            return "NCTHW"
    what = "one picture, no video" if len(shape) == 3 else "no video"
    raise VideoError(f"an array of shape {shape} is {what} (extract.array_axes says what its axes are)")


def _time_first(shape: tuple[int, ...], rest: str, sample: Callable[[Any], NDArray]) -> str:
    """THW in front of `rest`; raises UnclearAxes where HWT is as likely.

    So it is where frames would be less than half as wide as high, or as many as they have rows, and neighbours along
    the third axis differ less than frames would.
    """
    is_odd = 2 * shape[2] < shape[1] or (shape[0] == shape[1] != shape[2])
    if is_odd and min(shape[:3]) > 1:
        differences = np.zeros(2)
        for place in range(PLACES):
            block = np.asarray(sample(tuple(_span(length, place) for length in shape[:3]))).astype(np.float64)
            differences += [np.nanmean(np.abs(np.diff(block, axis=axis))) for axis in (0, 2)]
        if differences[1] * CLEARLY < differences[0]:
            raise UnclearAxes(shape, f"THW{rest}", f"HWT{rest}")
    return f"THW{rest}"


def _time_of_two(shape: tuple[int, ...], rest: str, sample: Callable[[Any], NDArray]) -> str:
    """NT or TN in front of `rest`: time is the axis along which neighbours differ less."""
    if 1 in shape[:2]:
        return ("NT" if shape[0] == 1 else "TN") + rest
    differences = np.zeros(2)
    for place in range(PLACES):
        index = tuple(_span(length, place) for length in shape[:2])
        block = np.asarray(sample(index)).astype(np.float64)
        for axis in (0, 1):
            differences[axis] += np.nanmean(np.abs(np.diff(block, axis=axis)))
    first, second = differences
    if first * CLEARLY < second:
        return f"TN{rest}"
    if second * CLEARLY < first:
        return f"NT{rest}"
    raise UnclearAxes(shape, f"NT{rest}", f"TN{rest}")


def _span(length: int, place: int) -> slice:
    start = (length - min(length, SAMPLE)) * place // (PLACES - 1)
    return slice(start, start + SAMPLE)


class UnclearAxes(VideoError):
    """An array may be a video, but nothing tells which axis is time."""

    def __init__(self, shape: tuple[int, ...], sequences_first: str, other: str) -> None:
        choices = f"{sequences_first} or {other}"
        super().__init__(f"its axes cannot be told from shape {shape}: write them as extract.array_axes ({choices})")
        self.sequences_first = sequences_first  # the axes, if the first one counts sequences
