"""Test clips drawn for people: side by side as a video, step by step as a sheet, far beyond the horizon."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.panels import GENERATED, GIVEN, Panel, Picture, absolute_error, empty, enlarge, grid, heat, stack

# at most so many columns of each in a sheet, cells about so many pixels wide
SHEET_CONTEXT, SHEET_STEPS, SHEET_CELL = 3, 10, 96

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A test clip and what the model made of it, uint8 (T, H, W, C) each.

    `given` are the frames before those of `truth`, or, where `aligned`, those that belong to them: the source of a
    translation.
    """

    name: str
    given: Frames
    truth: Frames
    predicted: Frames
    aligned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a frame."""
        return self.truth.shape[1], self.truth.shape[2]


def comparison(clip: Clip, scale: int) -> Iterator[Picture]:
    """What is given, truth, prediction and error, side by side; a context plays first and then stays."""
    height, width = clip.size
    before, steps = 0 if clip.aligned else len(clip.given), len(clip.truth)
    labels = ["source" if clip.aligned else "context", "truth", "prediction", "error"]
    for t in range(before + steps):
        step = t - before
        pictures = [clip.given[min(t, len(clip.given) - 1)], *[empty(clip.size)] * 3]
        if step >= 0:
            error = heat(absolute_error(clip.predicted[step], clip.truth[step]))
            pictures[1:] = [clip.truth[step], clip.predicted[step], error]
        edges = [GIVEN if step < 0 else None, None, GENERATED if step >= 0 else None, None]
        row = [
            Panel(enlarge(picture, scale), label, edge)
            for picture, label, edge in zip(pictures, labels, edges, strict=True)
        ]
        made = f"{'translated' if clip.aligned else 'predicted'} {step + 1} of {steps}"
        title = f"given {t + 1} of {before}" if step < 0 else made
        progress = before / (before + steps), (t + 1) / (before + steps)
        yield grid([row], (height * scale, width * scale), f"{title}  ·  {clip.name}", progress=progress)


def long_rollout(contexts: Sequence[Frames], rollouts: Sequence[Frames], trained: int, scale: int) -> Iterator[Picture]:
    """Clips next to each other, going on far beyond the `trained` steps of horizon: uint8 (T, H, W, C) each."""
    given, steps = len(contexts[0]), len(rollouts[0])
    height, width = contexts[0].shape[1:3]
    for t in range(given + steps):
        frames = [context[t] for context in contexts] if t < given else [rollout[t - given] for rollout in rollouts]
        row = [Panel(enlarge(frame, scale), edge=GIVEN if t < given else GENERATED) for frame in frames]
        title = f"given {t + 1} of {given}"
        if t >= given:
            title = f"generated {t - given + 1} of {steps}" + ("" if t - given < trained else ", beyond training")
        progress = given / (given + steps), (t + 1) / (given + steps)
        yield grid([row], (height * scale, width * scale), title, progress=progress)


def sheet(clips: Sequence[Clip], scale: int) -> Picture:
    """Truth, prediction and error of each clip at some of its steps, below the source or after the context."""
    height, width = clips[0].size
    scale = max(1, min(scale, SHEET_CELL // width))
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
            source = [Panel(enlarge(clip.given[step - 1], scale), label=f"{step}") for step in steps]
            rows = {"source": source} | rows | {"truth": [Panel(panel.picture) for panel in rows["truth"]]}
        else:
            given = min(SHEET_CONTEXT, len(clip.given))
            before = [
                Panel(enlarge(frame, scale), label=f"{number - given + 1}" if number < given - 1 else "last")
                for number, frame in enumerate(clip.given[-given:])
            ]
            nothing = [Panel(None)] * given
            rows = {name: [*(before if name == "truth" else nothing), *row] for name, row in rows.items()}
        blocks.append(grid(list(rows.values()), (height * scale, width * scale), clip.name, names=list(rows)))
    return stack(blocks)


def preview(clips: Sequence[Clip], scale: int) -> Iterator[Picture]:
    """The clips next to each other: truth, or source, over what the model made; a context plays first, in both rows."""
    height, width = clips[0].size
    before, steps = 0 if clips[0].aligned else len(clips[0].given), len(clips[0].truth)
    for t in range(before + steps):
        top, made = [], []
        for clip in clips:
            shown = clip.given if clip.aligned or t < before else clip.truth
            top.append(Panel(enlarge(shown[t if shown is clip.given else t - before], scale)))
            frame = clip.given[t] if t < before else clip.predicted[t - before]
            made.append(Panel(enlarge(frame, scale), edge=GIVEN if t < before else GENERATED))
        names = ["source" if clips[0].aligned else "truth", "model"]
        progress = before / (before + steps), (t + 1) / (before + steps)
        yield grid([top, made], (height * scale, width * scale), names=names, progress=progress)
