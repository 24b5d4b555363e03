"""The frame store: one uint8 array (T, H, W, C) per video, and index.csv with one row per file.

An array is named after its video's content hash, so that equal content is stored once and a renamed file keeps its
array; index.csv says which file has which. Files are written under a temporary name and renamed: none is ever partial.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.arrays import Frames, write_array
from pipeline.errors import DataError
from pipeline.runtime.files import replacing

__all__ = ["COLUMNS", "INDEX", "FrameStore", "array_is_whole", "read_index", "write_array", "write_index"]

INDEX = "index.csv"
# the types are given on reading, because a column without a value in any row would otherwise become text
COLUMNS = {
    "path": "str",  # relative to the folder of videos, with forward slashes
    "status": "str",  # ok | damaged (its good frames are stored) | skipped
    "reason": "str",  # why not ok
    "sha256": "str",  # content hash
    "num_frames": "Int64",  # of the source
    "fps": "Float64",  # of the source, on average
    "height": "Int64",  # of the source, pixels
    "width": "Int64",
    "duration_seconds": "Float64",  # of the source
    "codec": "str",  # of the source
    "stored_frames": "Int64",
    "array": "str",  # file in the store
    "recipe": "str",  # hash of the parameters and versions that made it
}


class FrameStore:
    """Reads a folder of frames."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError if `folder` holds no index."""
        self.folder = folder
        if not (folder / INDEX).is_file():
            raise DataError(f"{folder / INDEX}: no such file; run the extract stage first")

    @cached_property
    def index(self) -> pd.DataFrame:
        """Every file that was found, sorted by path, with COLUMNS. Absent text is "", absent numbers are NA."""
        index = read_index(self.folder)
        return index.set_index("path", drop=False, verify_integrity=True).rename_axis(None)

    @cached_property
    def videos(self) -> list[str]:
        """The paths of the videos that have frames, sorted; damaged ones among them."""
        return self.index["path"][self.index["stored_frames"].fillna(0) > 0].tolist()

    @cached_property
    def frame_shape(self) -> tuple[int, int, int]:
        """(C, H, W), the same for every video; raises DataError if there is no video."""
        if not self.videos:
            raise DataError(f"{self.folder}: holds no video; {self.folder / INDEX} says why not")
        height, width, channels = self.load(self.videos[0]).shape[1:]
        return channels, height, width

    def load(self, video: str) -> Frames:
        """The frames of `video` (a path of the index), uint8 (T, H, W, C), memory-mapped and read-only."""
        return np.load(self.folder / self.index.loc[video, "array"], mmap_mode="r")


def read_index(folder: Path) -> pd.DataFrame:
    """index.csv in `folder`; absent text is "", absent numbers are NA."""
    # a video may be called "NA" or "null", which pandas would take for absent
    absent = {name: [""] for name, kind in COLUMNS.items() if kind != "str"}
    return pd.read_csv(
        folder / INDEX,
        dtype=COLUMNS,
        keep_default_na=False,
        na_values=absent,
        float_precision="round_trip",
    )


def array_is_whole(path: Path, num_frames: int, size: tuple[int, int]) -> bool:
    """Whether the array at `path` exists and has `num_frames` frames of `size`, (height, width)."""
    try:
        shape = np.load(path, mmap_mode="r").shape
    except (OSError, ValueError, EOFError):
        return False
    return len(shape) == 4 and shape[:3] == (num_frames, *size)


def write_index(folder: Path, rows: Iterable[dict[str, object]]) -> None:
    """Write index.csv, sorted by path; each row has a value or None for each of COLUMNS."""
    index = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(COLUMNS).sort_values("path")
    with replacing(folder / INDEX) as part:
        index.to_csv(part, index=False, lineterminator="\n")
