"""Clips: windows of frames, and the set of clips that trains, validates or tests a model.

A clips folder holds `clips.csv`, one row per stretch of frames (a shot of a video that belongs to one split), and
`clips.json`, how the stretches are read: task, context, horizon, stride, normalisation. No frame is copied: a clip is
a slice of the frame store's memory-mapped arrays.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.color import NORMALIZATION, to_float, to_uint8
from pipeline.data.degradations import ALIGNMENT
from pipeline.data.frames import FrameStore
from pipeline.data.task import Task, Window, make_task
from pipeline.data.translation import Translation
from pipeline.errors import DataError
from pipeline.runtime.files import write_json, write_text

__all__ = ["COLUMNS", "NORMALIZATION", "SPLITS", "ClipDataset", "to_float", "to_uint8", "windows", "write_clips"]

SPLITS = ("train", "val", "test")
COLUMNS = ["video", "split", "start", "stop", "num_clips"]  # of clips.csv
OPEN_ARRAYS = 256  # each memory map holds a file descriptor, of which a process may have as few as 1024


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


def task_of(settings: Mapping[str, Any]) -> Task:
    """The task that the content of clips.json describes."""
    translation = Translation(**settings["translation"]) if "translation" in settings else None
    return make_task(settings["task"], settings["context"], settings["horizon"], translation)


class ClipDataset:
    """The clips of one split, in the order of clips.csv; reads frames only when they are asked for.

    Raises DataError where the folder holds no clips of the split.
    """

    def __init__(self, frames: Path, clips: Path, split: str) -> None:
        assert split in SPLITS, split
        store = FrameStore(frames)
        try:
            settings = json.loads((clips / "clips.json").read_text())
            # a video may be called NA, or 007
            table = pd.read_csv(clips / "clips.csv", dtype={"video": "str"}, keep_default_na=False)
        except FileNotFoundError as error:
            raise DataError(
                f"{clips}: holds no clips ({error.filename} is missing); run `dvc repro tensorize`"
            ) from error
        self.context: int = settings["context"]
        self.horizon: int = settings["horizon"]
        self.task = task_of(settings)
        self.frame_shape: tuple[int, int, int] = store.frame_shape
        self._load = lru_cache(OPEN_ARRAYS)(store.load)
        length = self.context + self.horizon
        self._clips = [
            (row.video, int(row.start) + start)
            for row in table[table["split"] == split].itertuples()
            for start, _ in windows(int(row.stop) - int(row.start), length, settings["stride"])
        ]
        if not self._clips:
            raise DataError(f"{clips}: no clips for {split}")

    def __len__(self) -> int:
        return len(self._clips)

    def gather(self, indices: Sequence[int] | NDArray | Tensor) -> NDArray[np.uint8]:
        """The clips at `indices` as uint8 (B, context + horizon, H, W, C), copied once, out of the mapped arrays."""
        channels, height, width = self.frame_shape
        length = self.context + self.horizon
        batch = np.empty((len(indices), length, height, width, channels), np.uint8)
        for position, index in enumerate(indices):
            video, start = self._clips[int(index)]
            batch[position] = self._load(video)[start : start + length]
        return batch

    def names(self, indices: Sequence[int] | NDArray | Tensor) -> list[str]:
        """What people call the clips at `indices`: the video and its half-open range of frames, `a/b.mp4[5:25]`."""
        length = self.context + self.horizon
        clips = (self._clips[int(index)] for index in indices)
        return [f"{video}[{start}:{start + length}]" for video, start in clips]

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
        for index in indices:
            video, start = self._clips[int(index)]
            rows, columns = ((0, side) if crop is None else _draw(side, crop, generator) for side in (height, width))
            fed, wanted = self.task.pair(self._read, Window(video, start, start + length, rows, columns))
            inputs.append(fed)
            targets.append(wanted)
        return np.stack(inputs), np.stack(targets)

    def _read(self, window: Window) -> NDArray[np.uint8]:
        """The frames of `window`, uint8 (T, H, W, C), a slice of a mapped array."""
        return self._load(window.video)[window.start : window.stop, slice(*window.rows), slice(*window.columns)]


def _draw(side: int, crop: int, generator: np.random.Generator | None) -> tuple[int, int]:
    """A half-open range of `crop` pixels of `side`, or all of it, that begins at a multiple of ALIGNMENT."""
    assert generator is not None, "a crop is drawn from a generator"
    places = max(0, side - crop) // ALIGNMENT + 1
    start = ALIGNMENT * int(generator.integers(places))
    return start, min(start + crop, side)
