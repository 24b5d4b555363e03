"""Render test clips for people: a video a clip, a long rollout, a contact sheet, a preview, a page with it all."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import checkpoint, stage
from pipeline.clips import ClipDataset, to_uint8
from pipeline.evaluation import batches, best_device, check_fit, pick, predictor
from pipeline.panels import GENERATED, GIVEN, Panel, Picture, absolute_error, empty, enlarge, grid, heat, stack
from pipeline.params import RenderParams
from pipeline.report import page
from pipeline.video import write_animation, write_png, write_video

logger = logging.getLogger(__name__)

HOLD_SECONDS = 1.0  # a video stays on its last frame for so long before it begins again
SHEET_CONTEXT, SHEET_STEPS, SHEET_CELL = 3, 10, 96  # at most so many columns of each, cells about so many pixels wide
MOST_PREVIEW_CLIPS = 6


@dataclass(frozen=True)
class Clip:
    """A test clip and what the model made of it, uint8 (T, H, W, C) each."""

    name: str
    context: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    rollout: NDArray[np.uint8]  # further than the truth goes

    @property
    def size(self) -> tuple[int, int]:
        return self.truth.shape[1], self.truth.shape[2]


def render(frames: Path, clips: Path, model: Path, metrics: Path, renders: Path, *, render: RenderParams) -> None:
    """Write what MODEL makes of some test clips to RENDERS, with the figures in METRICS on a page."""
    dataset = ClipDataset(frames, clips, "test")
    device = best_device()
    generator, card = checkpoint.load(model, device)
    check_fit(card, dataset)
    steps = max(render.long_horizon, dataset.horizon)
    predict = predictor(generator, card, steps, device)
    chosen = pick(len(dataset), render.num_clips)
    shown = []
    for index, (context, truth) in zip(chosen, batches(dataset, chosen, 1), strict=True):
        rollout = to_uint8(predict(context))[0]
        shown.append(
            Clip(
                dataset.names([index])[0],
                to_uint8(context)[0],
                to_uint8(truth)[0],
                rollout[: dataset.horizon],
                rollout[: render.long_horizon],
            )
        )

    if renders.exists():
        shutil.rmtree(renders)
    renders.mkdir(parents=True)
    videos = {}
    for number, clip in enumerate(shown):
        videos[f"clip_{number:02d}.mp4"] = clip.name
        write_video(renders / f"clip_{number:02d}.mp4", hold(comparison(clip, render.scale), render.fps), render.fps)
    write_video(renders / "rollout.mp4", hold(long_rollout(shown, render.scale), render.fps), render.fps)
    write_png(renders / "sheet.png", sheet(shown, render.scale))
    write_animation(renders / "preview.webp", preview(shown[:MOST_PREVIEW_CLIPS], render.scale), render.fps)
    shutil.copyfile(metrics / "horizon.png", renders / "horizon.png")
    summary = json.loads((metrics / "metrics.json").read_text())
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    horizon = pd.read_csv(metrics / "horizon.csv")["step"].max()
    (renders / "index.html").write_text(
        page(card.model_dump(), parameters, summary, int(horizon), videos, render.long_horizon), encoding="utf-8"
    )
    logger.info("rendered %d clips; open %s", len(shown), renders / "index.html")


def hold(pictures: Iterator[Picture], fps: float) -> Iterator[Picture]:
    """The pictures, the last one of them for HOLD_SECONDS."""
    last = None
    for last in pictures:
        yield last
    if last is not None:
        yield from repeat(last, round(HOLD_SECONDS * fps))


def comparison(clip: Clip, scale: int) -> Iterator[Picture]:
    """First the context plays; then truth, prediction and error do, side by side, while its last frame stays."""
    height, width = clip.size
    given, steps = len(clip.context), len(clip.truth)
    for t in range(given + steps):
        step = t - given
        pictures = [clip.context[min(t, given - 1)], *[empty(clip.size)] * 3]
        if step >= 0:
            error = heat(absolute_error(clip.predicted[step], clip.truth[step]))
            pictures[1:] = [clip.truth[step], clip.predicted[step], error]
        labels = ["context", "truth", "prediction", "error"]
        edges = [GIVEN if step < 0 else None, None, GENERATED if step >= 0 else None, None]
        row = [
            Panel(enlarge(picture, scale), label, edge)
            for picture, label, edge in zip(pictures, labels, edges, strict=True)
        ]
        title = f"given {t + 1} of {given}" if step < 0 else f"predicted {step + 1} of {steps}"
        progress = given / (given + steps), (t + 1) / (given + steps)
        yield grid([row], (height * scale, width * scale), f"{title}  ·  {clip.name}", progress=progress)


def long_rollout(clips: list[Clip], scale: int) -> Iterator[Picture]:
    """The clips next to each other, going on far beyond the horizon that the model was trained for."""
    height, width = clips[0].size
    given, steps, trained = len(clips[0].context), len(clips[0].rollout), len(clips[0].truth)
    for t in range(given + steps):
        row = [
            Panel(
                enlarge(clip.context[t] if t < given else clip.rollout[t - given], scale),
                edge=GIVEN if t < given else GENERATED,
            )
            for clip in clips
        ]
        title = f"given {t + 1} of {given}"
        if t >= given:
            title = f"generated {t - given + 1} of {steps}" + ("" if t - given < trained else ", beyond training")
        progress = given / (given + steps), (t + 1) / (given + steps)
        yield grid([row], (height * scale, width * scale), title, progress=progress)


def sheet(clips: list[Clip], scale: int) -> Picture:
    """Truth, prediction and error of each clip at steps of its horizon, with the last of its context before them."""
    height, width = clips[0].size
    scale = max(1, min(scale, SHEET_CELL // width))
    given = min(SHEET_CONTEXT, len(clips[0].context))
    horizon = len(clips[0].truth)
    steps = sorted({round(step) for step in np.linspace(1, horizon, min(SHEET_STEPS, horizon))})
    blocks = []
    for clip in clips:
        before = [
            Panel(enlarge(frame, scale), label=f"{number - given + 1}" if number < given - 1 else "last")
            for number, frame in enumerate(clip.context[-given:])
        ]
        nothing = [Panel(None)] * given
        truth = [Panel(enlarge(clip.truth[step - 1], scale), label=f"+{step}") for step in steps]
        predicted = [Panel(enlarge(clip.predicted[step - 1], scale), edge=GENERATED) for step in steps]
        errors = absolute_error(clip.predicted, clip.truth)
        error = [Panel(enlarge(heat(errors[step - 1]), scale)) for step in steps]
        rows = [[*before, *truth], [*nothing, *predicted], [*nothing, *error]]
        blocks.append(grid(rows, (height * scale, width * scale), clip.name, names=["truth", "prediction", "error"]))
    return stack(blocks)


def preview(clips: list[Clip], scale: int) -> Iterator[Picture]:
    """Truth over prediction, the clips next to each other; both begin with the context."""
    height, width = clips[0].size
    given, steps = len(clips[0].context), len(clips[0].truth)
    for t in range(given + steps):
        truth = [enlarge(clip.context[t] if t < given else clip.truth[t - given], scale) for clip in clips]
        made = [enlarge(clip.context[t] if t < given else clip.predicted[t - given], scale) for clip in clips]
        rows = [
            [Panel(picture) for picture in truth],
            [Panel(picture, edge=GIVEN if t < given else GENERATED) for picture in made],
        ]
        progress = given / (given + steps), (t + 1) / (given + steps)
        yield grid(rows, (height * scale, width * scale), names=["truth", "model"], progress=progress)


if __name__ == "__main__":
    stage.run(render)
