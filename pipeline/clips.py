"""Clips: windows of frames, the two conversions between stored bytes and what a model sees, and a set of clips.

A clips folder holds `clips.csv`, a row for each stretch of frames (a shot of a video that belongs to one split), and
`clips.json`, how the stretches are read: task, context, horizon, stride, normalisation. No frame is copied: a clip is
a slice of the frame store's memory-mapped arrays.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import DataError
from pipeline.frames import FrameStore

SPLITS = ("train", "val", "test")
COLUMNS = ["video", "split", "start", "stop", "num_clips"]  # of clips.csv
NORMALIZATION = "uint8 / 127.5 - 1"  # what to_float does; a model file says the same
OPEN_ARRAYS = 256  # each memory map holds a file descriptor, of which a process may have as few as 1024


def windows(num_frames: int, length: int, stride: int) -> list[tuple[int, int]]:
    """The half-open ranges [start, stop) of `length` frames, `stride` apart, that fit in `num_frames`."""
    return [(start, start + length) for start in range(0, num_frames - length + 1, stride)]


def to_float(frames: NDArray[np.uint8] | Tensor) -> Tensor:
    """Stored frames as a model sees them: uint8 (B, T, H, W, C) -> float32 (B, T, C, H, W) in [-1, 1]."""
    return torch.as_tensor(frames).movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1).contiguous()


def to_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """A model's frames as pictures: float (B, T, C, H, W), cut off at [-1, 1] -> uint8 (B, T, H, W, C)."""
    pixels = frames.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return pixels.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def write_clips(folder: Path, table: pd.DataFrame, *, task: str, context: int, horizon: int, stride: int) -> None:
    """Write the clips folder: `table` has the columns of clips.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    table[COLUMNS].to_csv(folder / "clips.csv", index=False, lineterminator="\n")
    settings = {"task": task, "context": context, "horizon": horizon, "stride": stride, "normalization": NORMALIZATION}
    (folder / "clips.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


class ClipDataset:
    """The clips of one split, in the order of clips.csv; reads frames only when they are asked for.

    Raises DataError where the folder holds no clips of the split.
    """

    def __init__(self, frames: Path, clips: Path, split: str) -> None:
        assert split in SPLITS, split
        store = FrameStore(frames)
        try:
            settings = json.loads((clips / "clips.json").read_text())
            table = pd.read_csv(clips / "clips.csv", keep_default_na=False)  # a video may be called NA
        except FileNotFoundError as error:
            raise DataError(
                f"{clips}: holds no clips ({error.filename} is missing); run `dvc repro tensorize`"
            ) from error
        self.context: int = settings["context"]
        self.horizon: int = settings["horizon"]
        self.task: str = settings["task"]
        self.frame_shape: tuple[int, int, int] = store.frame_shape
        self._load = lru_cache(OPEN_ARRAYS)(store.load)
        length = self.context + self.horizon
        self._clips = [
            (str(row.video), int(row.start) + start)
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
