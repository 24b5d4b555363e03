"""Render test clips for people: a page with a player, one video per clip, a long rollout, a sheet, a preview."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset, read_clips, to_uint8
from pipeline.data.frames import FrameStore
from pipeline.inference.large_clips import Originals, Place, large_clip
from pipeline.measuring.evaluation import batches, check_fit, predictor
from pipeline.measuring.motion import motion
from pipeline.pages import figures
from pipeline.pages.charts import horizon_charts, training_charts
from pipeline.pages.choice import Choice, choose
from pipeline.pages.contact_sheet import Clip, comparison, long_rollout, preview, sheet
from pipeline.pages.data_card import DataCard, data_card
from pipeline.pages.page import Content, page
from pipeline.pages.panels import enlarge
from pipeline.pages.player import Frames, clip_film, rollout_film, write_film
from pipeline.params import DataParams, ExtractParams, RenderParams
from pipeline.runtime.devices import best_device
from pipeline.runtime.files import write_text
from pipeline.video import Image as Picture
from pipeline.video import write_animation, write_png, write_video

logger = logging.getLogger(__name__)

HOLD_SECONDS = 1.0  # a video stays on its last frame for so long before it begins again
MOST_PREVIEW_CLIPS = 6


def render(
    frames: Path,
    clips: Path,
    model: Path,
    training: Path,
    metrics: Path,
    renders: Path,
    *,
    render: RenderParams,
    data: DataParams,
    extract: ExtractParams,
) -> None:
    """Write what MODEL makes of some test clips to RENDERS, with the curves in TRAINING and the figures in METRICS."""
    dataset = ClipDataset(frames, clips, "test")
    device = best_device()
    generator, card = model_dir.load(model, device)
    check_fit(card, dataset)
    summary = figures.read_summary(metrics)
    scores = figures.read_table(metrics / figures.CLIP_SCORES, "clip", "method", "mse")

    choices = choose(len(dataset), render.num_clips, scores)
    chosen = [choice.index for choice in choices]
    num_frames = max(render.long_horizon, dataset.horizon)
    predict = predictor(generator, card, num_frames, device)
    places = [Place(video, start, start + dataset.context + dataset.horizon) for video, start in dataset.places(chosen)]
    originals = Originals(FrameStore(frames), data, extract)
    scale = originals.scale(places, render.scale) if dataset.task.feeds_back else 1
    drawn, rollouts = [], []
    for place, name, (inputs, truth) in zip(places, dataset.names(chosen), batches(dataset, chosen, 1), strict=True):
        shown = large_clip(originals, place, scale, generator, card, num_frames, device) if scale > 1 else None
        if shown is None:
            context, true, output = (enlarged(to_uint8(part)[0], scale) for part in (inputs, truth, predict(inputs)))
        else:
            context, true, output = shown
        drawn.append(Clip(name, context, true, output[: len(true)], aligned=dataset.task.aligned))
        rollouts.append(output[: render.long_horizon])
        logger.info("clip %d/%d is predicted: %s", len(drawn), len(chosen), name)
    # screen pixels per pixel of what is drawn
    render = render.model_copy(update={"scale": max(1, render.scale // scale)})

    if renders.exists():
        shutil.rmtree(renders)  # nothing of an earlier run stays
    films = write_films(renders, choices, drawn, rollouts if dataset.task.feeds_back else [], dataset.horizon, render)
    write_png(renders / "sheet.png", sheet(drawn, render.scale))
    write_animation(renders / "preview.webp", preview(drawn[:MOST_PREVIEW_CLIPS], render.scale), render.fps)
    logger.info("contact sheet and preview are written")
    content = Content(
        card=card.model_dump(),
        num_parameters=sum(parameter.numel() for parameter in generator.parameters()),
        summary=summary,
        intervals=figures.read_intervals(metrics),
        previous=figures.read_previous(metrics),
        num_steps=len(drawn[0].truth),
        scale=scale,
        num_measured=None if scores is None else scores["clip"].nunique(),
        films=films,
        horizon_charts=horizon_charts(
            metrics, figures.methods(summary), "frame of the clip" if dataset.task.aligned else "frames ahead"
        ),
        training_charts=training_charts(training),
        data=card_of_data(frames, clips, dataset.context + dataset.horizon, renders),
    )
    write_text(renders / "index.html", page(content))  # last: where there is a page, all that it shows is there
    logger.info("rendered %d clips; open %s", len(drawn), renders / "index.html")


def write_films(
    renders: Path,
    choices: Sequence[Choice],
    clips: Sequence[Clip],
    rollouts: Sequence[Frames],
    horizon: int,
    params: RenderParams,
) -> list[dict[str, Any]]:
    """Write each clip, and the `rollouts` if there are any, as a video and for the page's player.

    Returns what the page needs to know of each, the clips in the order of `choices`.
    """
    films = []
    for number, (choice, clip) in enumerate(zip(choices, clips, strict=True)):
        file = f"clip_{number:02d}"
        films.append(write_film(renders, clip_film(clip, file, choice.title, choice.detail), params.fps))
        write_video(renders / f"{file}.mp4", hold(comparison(clip, params.scale), params.fps), params.fps)
        logger.info("film %d/%d is written", number + 1, len(clips) + bool(rollouts))
    if rollouts:
        films.append(write_film(renders, rollout_film(clips, rollouts, "rollout", horizon), params.fps))
        pictures = long_rollout([clip.inputs for clip in clips], rollouts, horizon, params.scale)
        write_video(renders / "rollout.mp4", hold(pictures, params.fps), params.fps)
        logger.info("film %d/%d is written: the long rollout", len(films), len(films))
    return films


def card_of_data(frames: Path, clips: Path, clip_length: int, renders: Path) -> DataCard:
    """What the page says of the frame store `frames` and of `clips`, which are of `clip_length` frames."""
    store = FrameStore(frames)
    card = data_card(store, read_clips(clips, store), clip_length, motion(store, store.videos), renders)
    logger.info("the data card is made: %d files, %d left out", len(store.index), card.num_left_out)
    return card


def enlarged(frames: Frames, scale: int) -> Frames:
    """`frames` (T, H, W, C) with each pixel as a square, RGB; as they are where `scale` is 1."""
    return frames if scale == 1 else np.stack([enlarge(frame, scale) for frame in frames])


def hold(pictures: Iterator[Picture], fps: float) -> Iterator[Picture]:
    """The pictures, the last one of them for HOLD_SECONDS more."""
    last = None
    for last in pictures:
        yield last
    if last is not None:
        yield from repeat(last, round(HOLD_SECONDS * fps))


if __name__ == "__main__":
    stage.run(render)
