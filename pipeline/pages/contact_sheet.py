"""Test clips drawn for people: side by side as a video, step by step as a contact sheet, far beyond the horizon."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.panels import CONTEXT, GENERATED, Panel, absolute_error, empty, enlarge, grid, heat, stack
from pipeline.pages.shrinking import shrink
from pipeline.video import Image as Picture

# a contact sheet has at most so many frames of context and so many steps
SHEET_CONTEXT, SHEET_STEPS = 3, 10
# pixels: frames are enlarged to about so many, and shrunk to the second number
SHEET_CELL, SHEET_MOST = 96, 120
PREVIEW_CELL, PREVIEW_MOST = 128, 160
VIDEO_MOST = 960  # four panels side by side are then no wider than decoders take (H.264: 4096)

Frames = NDArray[np.uint8]  # (T, H, W, C)


@dataclass(frozen=True)
class Clip:
    """A test clip and the model's output for it.

    `inputs` are the context, whose frames come before those of `truth`; or, where `aligned`, the source of a
    translation, whose frames belong to those of `truth` one by one.
    """

    name: str
    inputs: Frames
    truth: Frames
    predicted: Frames
    aligned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a frame."""
        return self.truth.shape[1], self.truth.shape[2]

    def shrunk(self, most_side: int) -> "Clip":
        """The same clip in frames none of whose sides is longer than `most_side` pixels."""
        if max(self.size) <= most_side:
            return self
        inputs, truth, predicted = (
            np.stack([shrink(enlarge(frame, 1), most_side) for frame in frames])
            for frames in (self.inputs, self.truth, self.predicted)
        )
        return Clip(self.name, inputs, truth, predicted, self.aligned)

    @property
    def num_context(self) -> int:
        """Frames that play before the first of `truth`."""
        return 0 if self.aligned else len(self.inputs)


def comparison(clip: Clip, scale: int) -> Iterator[Picture]:
    """Inputs, truth, prediction and error, side by side; a context plays first, then its last frame stays."""
    clip, scale = clip.shrunk(VIDEO_MOST), _scale(clip, scale, VIDEO_MOST)
    height, width = clip.size
    num_context, num_steps = clip.num_context, len(clip.truth)
    labels = ["source" if clip.aligned else "context", "truth", "prediction", "error"]
    for t in range(num_context + num_steps):
        step = t - num_context
        pictures = [clip.inputs[min(t, len(clip.inputs) - 1)], *[empty(clip.size)] * 3]
        if step >= 0:
            error = heat(absolute_error(clip.predicted[step], clip.truth[step]))
            pictures[1:] = [clip.truth[step], clip.predicted[step], error]
        edges = [CONTEXT if step < 0 else None, None, GENERATED if step >= 0 else None, None]
        row = [
            Panel(enlarge(picture, scale), label, edge)
            for picture, label, edge in zip(pictures, labels, edges, strict=True)
        ]
        title = f"{'translated' if clip.aligned else 'predicted'} {step + 1} of {num_steps}"
        if step < 0:
            title = f"given {t + 1} of {num_context}"
        yield grid(
            [row],
            (height * scale, width * scale),
            f"{title}  ·  {clip.name}",
            progress=_progress(t, num_context, num_steps),
        )


def long_rollout(contexts: Sequence[Frames], rollouts: Sequence[Frames], horizon: int, scale: int) -> Iterator[Picture]:
    """Clips next to each other: their context, then a rollout, far beyond the `horizon` that the model was trained for.

    All contexts have one length, all rollouts too.
    """
    num_context, num_steps = len(contexts[0]), len(rollouts[0])
    height, width = contexts[0].shape[1:3]
    for t in range(num_context + num_steps):
        step = t - num_context
        if step < 0:
            frames, edge = [context[t] for context in contexts], CONTEXT
            title = f"given {t + 1} of {num_context}"
        else:
            frames, edge = [rollout[step] for rollout in rollouts], GENERATED
            title = f"generated {step + 1} of {num_steps}" + ("" if step < horizon else ", beyond training")
        row = [Panel(enlarge(frame, scale), edge=edge) for frame in frames]
        yield grid([row], (height * scale, width * scale), title, progress=_progress(t, num_context, num_steps))


def sheet(clips: Sequence[Clip], scale: int) -> Picture:
    """Truth, prediction and error of each clip at some of its steps, below the source or after the context."""
    scale = _scale(clips[0], scale, SHEET_CELL)
    clips = [clip.shrunk(SHEET_MOST) for clip in clips]
    height, width = clips[0].size
    blocks = []
    for clip in clips:
        horizon = len(clip.truth)
        steps = sorted({round(step) for step in np.linspace(1, horizon, min(SHEET_STEPS, horizon))})
        errors = absolute_error(clip.predicted, clip.truth)
        rows = {
            "truth": [Panel(enlarge(clip.truth[step - 1], scale), label=f"+{step}") for step in steps],
            "prediction": [Panel(enlarge(clip.predicted[step - 1], scale), edge=GENERATED) for step in steps],
            "error": [Panel(enlarge(heat(errors[step - 1]), scale)) for step in steps],
        }
        if clip.aligned:
            source = [Panel(enlarge(clip.inputs[step - 1], scale), label=f"{step}") for step in steps]
            rows = {"source": source} | rows | {"truth": [Panel(panel.picture) for panel in rows["truth"]]}
        else:
            num_context = min(SHEET_CONTEXT, len(clip.inputs))
            context = [
                Panel(enlarge(frame, scale), label=f"{number}" if number < 0 else "last")
                for number, frame in enumerate(clip.inputs[-num_context:], start=1 - num_context)
            ]
            free = [Panel(None)] * num_context
            rows = {name: [*(context if name == "truth" else free), *row] for name, row in rows.items()}
        blocks.append(grid(list(rows.values()), (height * scale, width * scale), clip.name, names=list(rows)))
    return stack(blocks)


def preview(clips: Sequence[Clip], scale: int) -> Iterator[Picture]:
    """The clips next to each other, truth or source above, the model's output below; a context plays in both rows."""
    scale = _scale(clips[0], scale, PREVIEW_CELL)
    clips = [clip.shrunk(PREVIEW_MOST) for clip in clips]
    height, width = clips[0].size
    num_context, num_steps = clips[0].num_context, len(clips[0].truth)
    names = ["source" if clips[0].aligned else "truth", "model"]
    for t in range(num_context + num_steps):
        step = t - num_context
        top, bottom = [], []
        for clip in clips:
            upper = clip.inputs[t] if clip.aligned or step < 0 else clip.truth[step]
            lower = clip.inputs[t] if step < 0 else clip.predicted[step]
            top.append(Panel(enlarge(upper, scale)))
            bottom.append(Panel(enlarge(lower, scale), edge=CONTEXT if step < 0 else GENERATED))
        yield grid(
            [top, bottom], (height * scale, width * scale), names=names, progress=_progress(t, num_context, num_steps)
        )


def _scale(clip: Clip, scale: int, most_pixels: int) -> int:
    """`scale`, or less where the frames of `clip` would be wider than `most_pixels`; 1 at least."""
    return max(1, min(scale, most_pixels // clip.size[1]))


def _progress(t: int, num_context: int, num_steps: int) -> tuple[float, float]:
    """What `grid` takes as progress when frame `t`, context included, is shown."""
    return num_context / (num_context + num_steps), (t + 1) / (num_context + num_steps)
