"""Clips: windows of frames, the two conversions between stored bytes and what a model sees, and a set of clips.

A clips folder holds `clips.csv`, a row for each stretch of frames (a shot of a video that belongs to one split), and
`clips.json`, how the stretches are read: task, context, horizon, stride, normalisation. No frame is copied: a clip is
a slice of the frame store's memory-mapped arrays.
"""

import json
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.degradations import ALIGNMENT, MARGIN, Translation
from pipeline.data.frames import FrameStore
from pipeline.errors import DataError

SPLITS = ("train", "val", "test")
COLUMNS = ["video", "split", "start", "stop", "num_clips"]  # of clips.csv
NORMALIZATION: Final = "uint8 / 127.5 - 1"  # what to_float does; a model file says the same
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
    folder.mkdir(parents=True, exist_ok=True)
    table[COLUMNS].to_csv(folder / "clips.csv", index=False, lineterminator="\n")
    settings: dict[str, Any] = {"task": task, "context": context, "horizon": horizon, "stride": stride}
    settings["normalization"] = NORMALIZATION
    if translation is not None:
        settings["translation"] = translation.model_dump()
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
            # a video may be called NA, or 007
            table = pd.read_csv(clips / "clips.csv", dtype={"video": "str"}, keep_default_na=False)
        except FileNotFoundError as error:
            raise DataError(
                f"{clips}: holds no clips ({error.filename} is missing); run `dvc repro tensorize`"
            ) from error
        self.context: int = settings["context"]
        self.horizon: int = settings["horizon"]
        self.task: str = settings["task"]
        translation = settings.get("translation")
        self.translation = None if translation is None else Translation(**translation)
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

    @property
    def num_inputs(self) -> int:
        """Frames that a generator is fed in a clip: one less than it has, or all in a translation."""
        return self.context + self.horizon - (self.translation is None)

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

        predict: every frame but the last, and every frame but the first. translate: the source and the target. With
        `crop` they are squares of so many pixels (or the whole side, where that is less) at places that `generator`
        draws, one a clip: multiples of degrade.ALIGNMENT, so that a crop is degraded as the whole frame is.
        """
        length = self.context + self.horizon
        _, *size = self.frame_shape
        sources, targets = [], []
        for index in indices:
            video, start = self._clips[int(index)]
            place = [(0, side) if crop is None else _draw(side, crop, generator) for side in size]
            frames = self._load(video)[start : start + length]
            targets.append(_cut(frames, place))
            if self.translation is None:
                continue
            if self.translation.degradation is None:
                sources.append(_cut(self._load(self.translation.source_of(video))[start : start + length], place))
                continue
            # with what lies around the crop, because a blur reads it
            wide = [(max(0, a - MARGIN), min(b + MARGIN, side)) for (a, b), side in zip(place, size, strict=True)]
            numbers = np.empty((1, length, 4), np.int64)  # these name a frame: video, position in it, place of the crop
            numbers[0, :, 0], numbers[0, :, 2], numbers[0, :, 3] = zlib.crc32(video.encode()), wide[0][0], wide[1][0]
            numbers[0, :, 1] = range(start, start + length)
            degraded = to_uint8(self.translation.degrade(to_float(np.array([_cut(frames, wide)])), numbers))[0]
            inner = [(a - c, b - c) for (a, b), (c, _) in zip(place, wide, strict=True)]
            sources.append(_cut(degraded, inner))
        target = np.stack(targets)
        return (np.stack(sources), target) if sources else (target[:, :-1], target[:, 1:])


def _draw(side: int, crop: int, generator: np.random.Generator | None) -> tuple[int, int]:
    """A half-open range of `crop` pixels of `side`, or all of it, that begins at a multiple of ALIGNMENT."""
    assert generator is not None, "a crop is drawn from a generator"
    places = max(0, side - crop) // ALIGNMENT + 1
    start = ALIGNMENT * int(generator.integers(places))
    return start, min(start + crop, side)


def _cut(frames: NDArray[np.uint8], place: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """The rows and columns `place` of frames (T, H, W, C)."""
    (top, bottom), (left, right) = place
    return frames[:, top:bottom, left:right]
