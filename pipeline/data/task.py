"""The two tasks: to predict the frames that follow a context, and to translate a source into its target.

A task knows what a clip is cut into, how a model is run on it and where judging begins, and which metrics and
baselines belong to it. What else differs between the two follows from `feeds_back` and `aligned`, so that no other
module asks for a task by its name.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.color import to_float, to_uint8
from pipeline.data.degradations import MARGIN
from pipeline.data.translation import Translation
from pipeline.errors import DataError

Bytes = NDArray[np.uint8]
Frames = TypeVar("Frames", Bytes, Tensor)  # (B, T, …)


@dataclass(frozen=True)
class Window:
    """A stretch of the frames of a video and a rectangle in them; the ranges are half-open."""

    video: str
    start: int
    stop: int
    rows: tuple[int, int]
    columns: tuple[int, int]


Read = Callable[[Window], Bytes]  # the frames of a window, uint8 (T, H, W, C)


@dataclass(frozen=True)
class Predict:
    """Continue a video: input t is a frame, output t the frame that follows it.

    Tasks are equal where a model for the one can do the other, whatever the lengths of context and horizon.
    """

    context: int = field(compare=False)
    horizon: int = field(compare=False)

    name: ClassVar[Literal["predict", "translate"]] = "predict"
    # beyond the context the inputs are the model's own outputs: so it is run, so sampling schedules apply
    feeds_back: ClassVar[bool] = True
    # input and output of a step show the same moment: residual and carry apply
    aligned: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("mse", "mae", "psnr", "ssim", "ms_ssim", "motion")
    baselines: ClassVar[tuple[str, ...]] = ("last_frame", "mean_frame", "background", "optical_flow")
    translation: ClassVar[None] = None
    keeps_luma: ClassVar[bool] = False
    folders: ClassVar[tuple[str, str] | None] = None  # of sources and of targets; None: clips are cut from any video

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name

    @property
    def description(self) -> str:
        """What a person wants to know of it."""
        return f"predict, {self.context} frames given, {self.horizon} made at a time in training"

    @property
    def num_inputs(self) -> int:
        """Frames of a clip that a generator is fed in training: all but the last."""
        return self.context + self.horizon - 1

    @property
    def first_judged(self) -> int:
        """The first output that counts where a model runs free: the first that nothing but the context leads to."""
        return self.context - 1

    @property
    def num_judged(self) -> int:
        """Outputs of a clip that count where a model runs free."""
        return self.horizon

    def pair(self, read: Read, window: Window) -> tuple[Bytes, Bytes]:
        """Inputs and targets of the clip `window`, uint8 (T, H, W, C) each: a frame's target is the next one."""
        frames = read(window)
        return frames[:-1], frames[1:]

    def free_running(self, inputs: Frames, targets: Frames) -> tuple[Frames, Frames]:
        """What a free-running model gets of `inputs` (B, T, …), and what of `targets` it is judged by."""
        return inputs[:, : self.context], targets[:, self.first_judged :]


@dataclass(frozen=True)
class Translate:
    """Turn each frame of a source into that of its target, with a memory of earlier ones.

    Tasks are equal where a model for the one can do the other, whatever the lengths of context and horizon.
    """

    context: int = field(compare=False)
    horizon: int = field(compare=False)
    translation: Translation

    name: ClassVar[Literal["predict", "translate"]] = "translate"
    feeds_back: ClassVar[bool] = False
    aligned: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*Predict.metrics, "flicker")
    baselines: ClassVar[tuple[str, ...]] = ("identity", "bilateral", "sharpened", "background")

    @property
    def keeps_luma(self) -> bool:
        """Whether the brightness of the target is that of the source, so that it need not be learnt."""
        return self.translation.keeps_luma

    @property
    def folders(self) -> tuple[str, str] | None:
        """The folders of sources and targets; None: any video is a target, and its source is made."""
        source, target = self.translation.source, self.translation.target
        return (source, target) if source is not None and target is not None else None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.translation.label

    @property
    def description(self) -> str:
        """What a person wants to know of it."""
        return f"translate, {self.translation.label}, {self.num_inputs} frames at a time in training"

    @property
    def num_inputs(self) -> int:
        """Frames of a clip that a generator is fed in training: all."""
        return self.context + self.horizon

    @property
    def first_judged(self) -> int:
        """The first output that counts: every one does."""
        return 0

    @property
    def num_judged(self) -> int:
        """Outputs of a clip that count."""
        return self.num_inputs

    def pair(self, read: Read, window: Window) -> tuple[Bytes, Bytes]:
        """Inputs and targets of the clip `window`, uint8 (T, H, W, C) each: source and target."""
        target = read(window)
        if self.translation.degradation is None:
            return read(replace(window, video=self.translation.source_of(window.video))), target
        return self._degraded(read, window), target

    def free_running(self, inputs: Frames, targets: Frames) -> tuple[Frames, Frames]:
        """What a model gets of `inputs` (B, T, …), and what of `targets` it is judged by: all."""
        return inputs, targets

    def _degraded(self, read: Read, window: Window) -> Bytes:
        """The source of `window`, made from its target as it is made from whole frames."""
        top, left = (max(0, start - MARGIN) for start, _ in (window.rows, window.columns))
        # with what lies around the window, because a blur reads it; slices end where the frame does
        frames = read(replace(window, rows=(top, window.rows[1] + MARGIN), columns=(left, window.columns[1] + MARGIN)))
        # what names a frame, for all that is random: video, position in it, place of the window
        numbers = np.empty((1, len(frames), 4), np.int64)
        numbers[..., 0], numbers[..., 2], numbers[..., 3] = zlib.crc32(window.video.encode()), top, left
        numbers[..., 1] = range(window.start, window.stop)
        degraded = to_uint8(self.translation.degrade(to_float(np.array([frames])), numbers))[0]
        (first_row, last_row), (first_column, last_column) = window.rows, window.columns
        return degraded[:, first_row - top : last_row - top, first_column - left : last_column - left]


Task = Predict | Translate


def make_task(name: str, context: int, horizon: int, translation: Translation | None) -> Task:
    """The task that clips.json and model.json describe by these fields; raises DataError where they contradict."""
    if name == Predict.name:
        return Predict(context, horizon)
    if translation is None:
        raise DataError(f"a task is called {name} and has no translation; make clips and model again")
    return Translate(context, horizon, translation)
