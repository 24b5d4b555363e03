"""Clips: windows of frames, and the set of clips that trains, validates or tests a model.

A clips folder holds `clips.csv`, one row per stretch of frames (a shot of a video that belongs to one split), and
`clips.json`, how the stretches are read: task, context, horizon, stride, normalisation. No frame is copied: a clip is
a slice of an array of the frame store.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from pipeline.data.color import NORMALIZATION, to_float, to_uint8
from pipeline.data.degradations import ALIGNMENT
from pipeline.data.frames import FrameStore
from pipeline.data.remote_frames import RemoteFrames
from pipeline.data.shuffling import Segments
from pipeline.data.task import Task, Window, make_task
from pipeline.data.translation import Translation
from pipeline.errors import DataError
from pipeline.runtime.files import read_regular, write_json, write_text

__all__ = [
    "COLUMNS",
    "NORMALIZATION",
    "SPLITS",
    "ClipDataset",
    "read_clips",
    "to_float",
    "to_uint8",
    "windows",
    "write_clips",
]

SPLITS = ("train", "val", "test")
COLUMNS = ["video", "split", "start", "stop", "num_clips"]  # of clips.csv
COLUMN_TYPES = dict(zip(COLUMNS, ("str", "str", "int64", "int64", "int64"), strict=True))
MOST_SETTINGS_BYTES = 1 << 20
REMOTE_SHUFFLE_MB = 1024  # of frames in object storage, where nothing else is asked for: no clip is fetched alone
OPEN_ARRAYS = 256  # each memory map holds a file descriptor, of which a process may have as few as 1024


REMEDY = "run `dvc repro --force tensorize`"
Count = Annotated[int, Field(gt=0, le=1_000_000)]


class Settings(BaseModel):
    """The content of clips.json."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    task: Literal["predict", "translate"]
    context: Count
    horizon: Count
    stride: Count
    normalization: Literal["uint8 / 127.5 - 1"] = NORMALIZATION
    translation: Translation | None = None

    @property
    def made_for(self) -> Task:
        """The task that the clips are for."""
        return make_task(self.task, self.context, self.horizon, self.translation)


def windows(num_frames: int, length: int, stride: int) -> list[tuple[int, int]]:
    """The half-open ranges [start, stop) of `length` frames, `stride` apart, that fit in `num_frames`."""
    return [(start, start + length) for start in range(0, num_frames - length + 1, stride)]


def write_clips(
    folder: Path,
    table: pd.DataFrame,
    *,
    task: str,
    context: int,
    horizon: int,
    stride: int,
    translation: Translation | None = None,
) -> None:
    """Write the clips folder: `table` has the columns of clips.csv; `translation` is for the task translate."""
    write_text(folder / "clips.csv", table[COLUMNS].to_csv(index=False, lineterminator="\n"))
    settings: dict[str, Any] = {"task": task, "context": context, "horizon": horizon, "stride": stride}
    settings["normalization"] = NORMALIZATION
    if translation is not None:
        settings["translation"] = translation.model_dump()
    write_json(folder / "clips.json", settings)


def read_settings(folder: Path) -> Settings:
    """How the clips in `folder` are read; raises DataError where there are none, or clips.json is damaged."""
    path = folder / "clips.json"
    try:
        return Settings.model_validate_json(read_regular(path, MOST_SETTINGS_BYTES))
    except FileNotFoundError as error:
        raise _no_clips(folder, path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "content"
        raise DataError(f"{path}: is damaged ({where}: {problem['msg']}); {REMEDY}") from error


def read_clips(folder: Path, store: FrameStore) -> pd.DataFrame:
    """clips.csv in `folder`, whose rows lie within the videos of `store`; raises DataError as read_settings does."""
    path = folder / "clips.csv"
    try:
        # a video may be called NA, or 007
        table = pd.read_csv(BytesIO(read_regular(path)), dtype=COLUMN_TYPES, keep_default_na=False)
    except FileNotFoundError as error:
        raise _no_clips(folder, path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    except (ValueError, TypeError) as error:  # a field that is no number, bytes that are no text, ragged rows
        raise DataError(f"{path}: is damaged ({' '.join(str(error).split())}); {REMEDY}") from error
    if missing := [name for name in COLUMNS if name not in table]:
        raise DataError(f"{path}: is damaged (no column {missing[0]}); {REMEDY}")
    lengths = table["video"].map(store.index["stored_frames"].astype("Int64")).fillna(0)
    right = table["split"].isin(SPLITS) & (table["start"] >= 0) & (table["start"] < table["stop"])
    wrong = np.flatnonzero(~(right & (table["stop"] <= lengths)).to_numpy(dtype=bool))
    if len(wrong):
        line = int(wrong[0])
        row = ",".join(map(str, table.iloc[line]))
        raise DataError(f"{path}: line {line + 2} does not fit the frame store ({row}); {REMEDY}")
    return table


def _no_clips(folder: Path, missing: Path) -> DataError:
    return DataError(f"{folder}: holds no clips ({missing} is missing); run `dvc repro tensorize`")


class ClipDataset:
    """The clips of one split, in the order of clips.csv; reads frames only when they are asked for.

    With `shuffle_mb`, MiB of frames to keep in memory, they are read in segments, as `epoch` wants them; so are
    training clips from object storage in any case. Raises DataError where the folder holds no clips of the split.
    """

    def __init__(self, frames: Path, clips: Path, split: str, shuffle_mb: int | None = None) -> None:
        assert split in SPLITS, split
        store = FrameStore(frames)
        settings, table = read_settings(clips), read_clips(clips, store)
        self.context, self.horizon = settings.context, settings.horizon
        self.task = settings.made_for
        self.frame_shape: tuple[int, int, int] = store.frame_shape
        self._load = lru_cache(OPEN_ARRAYS)(store.load)
        length = self.context + self.horizon
        self._clips = [
            (row.video, int(row.start) + start)
            for row in table[table["split"] == split].itertuples()
            for start, _ in windows(int(row.stop) - int(row.start), length, settings.stride)
        ]
        if not self._clips:
            raise DataError(f"{clips}: no clips for {split}")
        self._segments = None
        self.is_remote = store.remote is not None
        if shuffle_mb is None and self.is_remote and split == "train":
            shuffle_mb = REMOTE_SHUFFLE_MB
        if shuffle_mb is not None:
            self._segments = Segments(
                self._clips,
                self._load,
                length=length,
                frame_bytes=math.prod(self.frame_shape),
                shuffle_mb=shuffle_mb,
                videos_per_clip=len(self.task.folders or "1"),
            )

    def __len__(self) -> int:
        return len(self._clips)

    def epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """All clips in the order of an epoch, which `generator` draws."""
        return generator.permutation(len(self)) if self._segments is None else self._segments.order(generator)

    def batch(self, clips: NDArray[np.int64]) -> NDArray[np.int64]:
        """The clips of a batch, so ordered that processes which share it read few segments in common."""
        return clips if self._segments is None else self._segments.together(clips)

    def fetch_ahead(self, clips: NDArray[np.int64]) -> None:
        """Have what these clips are read from fetched in the background, where frames come from elsewhere."""
        if not self.is_remote:
            return
        if self._segments is not None:
            self._segments.fetch_ahead(clips)
            return
        length = self.context + self.horizon
        for video, start in self.places(clips):
            frames = self._load(video)
            if isinstance(frames, RemoteFrames):
                frames.fetch_ahead(start, start + length)

    def gather(self, indices: Sequence[int] | NDArray | Tensor) -> NDArray[np.uint8]:
        """The clips at `indices` as uint8 (B, context + horizon, H, W, C), copied once, out of the mapped arrays."""
        channels, height, width = self.frame_shape
        length = self.context + self.horizon
        self._fetch_together(indices)
        batch = np.empty((len(indices), length, height, width, channels), np.uint8)
        for position, index in enumerate(indices):
            video, start = self._clips[int(index)]
            batch[position] = self._load(video)[start : start + length]
        return batch

    def names(self, indices: Sequence[int] | NDArray | Tensor) -> list[str]:
        """What people call the clips at `indices`: the video and its half-open range of frames, `a/b.mp4[5:25]`."""
        length = self.context + self.horizon
        return [f"{video}[{start}:{start + length}]" for video, start in self.places(indices)]

    def places(self, indices: Sequence[int] | NDArray | Tensor) -> list[tuple[str, int]]:
        """The video of each of the clips at `indices`, and its first frame."""
        return [self._clips[int(index)] for index in indices]

    def pairs(
        self,
        indices: Sequence[int] | NDArray | Tensor,
        crop: int | None = None,
        generator: np.random.Generator | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What a generator is fed in the clips at `indices`, and what is to come out: uint8 (B, T, H, W, C) each.

        The task says what they are: frames and those that follow them, or source and target. With `crop` they are
        squares of so many pixels (or the whole side, where that is less), one per clip, at places that `generator`
        draws: multiples of degradations.ALIGNMENT, so that a crop is degraded as the whole frame is.
        """
        length = self.context + self.horizon
        _, height, width = self.frame_shape
        inputs, targets = [], []
        self._fetch_together(indices)
        for index in indices:
            video, start = self._clips[int(index)]
            rows, columns = ((0, side) if crop is None else _draw(side, crop, generator) for side in (height, width))
            fed, wanted = self.task.pair(self._read, Window(video, start, start + length, rows, columns))
            inputs.append(fed)
            targets.append(wanted)
        return np.stack(inputs), np.stack(targets)

    def _fetch_together(self, indices: Sequence[int] | NDArray | Tensor) -> None:
        if self.is_remote and self._segments is None:
            self.fetch_ahead(np.asarray(indices))

    def _read(self, window: Window) -> NDArray[np.uint8]:
        """The frames of `window`, uint8 (T, H, W, C), which are those of a whole clip."""
        place = slice(*window.rows), slice(*window.columns)
        if self._segments is not None:
            return self._segments.read(window.video, window.start)[:, *place]
        return self._load(window.video)[window.start : window.stop, *place]


def _draw(side: int, crop: int, generator: np.random.Generator | None) -> tuple[int, int]:
    """A half-open range of `crop` pixels of `side`, or all of it, that begins at a multiple of ALIGNMENT."""
    assert generator is not None, "a crop is drawn from a generator"
    places = max(0, side - crop) // ALIGNMENT + 1
    start = ALIGNMENT * int(generator.integers(places))
    return start, min(start + crop, side)
