"""One video among those that a file or a folder holds: a sequence of an array, an episode of a longer video."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import VideoError
from pipeline.sources.levels import Range

Picture = NDArray[np.generic]


class TimedPicture(NamedTuple):
    """A picture, (H, W) or (H, W, C), levels 0 to 255 as uint8 or float32, and when it is shown."""

    pts_seconds: float
    stop_seconds: float
    picture: Picture
    what: str  # it comes from, for the index, such as "npy uint8"


@dataclass(frozen=True)
class Part:
    """Where a video lies and what it contains; JSON can carry it."""

    reader: str  # array | stack | video: what reads it
    path: str  # the file, or the folder of a Zarr array
    name: str = ""  # below the file's own in the index; "": the file is one video
    content_hash: str = ""
    key: str = ""  # of the array in its file
    axes: str = ""  # of the array, such as TNHW
    number: int | None = None  # along N
    value_range: Range | None = None  # black and white, as its values suggest; of a stack, as a person says
    start_seconds: float | None = None  # of a longer video; a half-open range
    stop_seconds: float | None = None
    num_frames: int | None = None  # that it should have
    split: str = ""  # train | val | test, where something says so
    reason: str = ""  # why it is refused, or its values cannot be told

    def __post_init__(self) -> None:
        if self.value_range is not None:  # JSON makes it a list
            object.__setattr__(self, "value_range", tuple(self.value_range))


@dataclass
class Inspection:
    """What a file or a folder of several videos holds."""

    parts: list[Part]
    reason: str = ""  # why it has none, or not all


def without_path(path: str, error: VideoError) -> str:
    """The message of `error` without the name of the file, which the index has beside it."""
    return str(error).removeprefix(f"{path}: ")


class Limits(NamedTuple):
    """What is refused as more than anybody wants."""

    max_pixels: int  # height x width
    max_seconds: float

    def check_size(self, height: int, width: int) -> None:
        """Raises VideoError where a picture is too large."""
        if height * width > self.max_pixels:
            raise VideoError(f"{height} x {width} pixels is more than extract.max_pixels ({self.max_pixels})")

    def check_length(self, seconds: float) -> None:
        """Raises VideoError where a video is too long."""
        if seconds > self.max_seconds:
            raise VideoError(f"longer than extract.max_seconds ({self.max_seconds:g})")
