"""Render test clips for people: one video per clip, a long rollout, a contact sheet, a preview and a page."""

import logging
import shutil
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset, to_uint8
from pipeline.measuring.evaluation import batches, check_fit, pick, predictor
from pipeline.pages.contact_sheet import Clip, comparison, long_rollout, preview, sheet
from pipeline.pages.page import page, read_summary
from pipeline.params import RenderParams
from pipeline.runtime.devices import best_device
from pipeline.runtime.files import write_bytes, write_text
from pipeline.video import Image as Picture
from pipeline.video import write_animation, write_png, write_video

logger = logging.getLogger(__name__)

HOLD_SECONDS = 1.0  # a video stays on its last frame for so long before it begins again
MOST_PREVIEW_CLIPS = 6


def render(frames: Path, clips: Path, model: Path, metrics: Path, renders: Path, *, render: RenderParams) -> None:
    """Write what MODEL makes of some test clips to RENDERS, with the figures in METRICS on a page."""
    dataset = ClipDataset(frames, clips, "test")
    device = best_device()
    generator, card = model_dir.load(model, device)
    check_fit(card, dataset)

    predict = predictor(generator, card, max(render.long_horizon, dataset.horizon), device)
    chosen = pick(len(dataset), render.num_clips)
    drawn, rollouts = [], []
    for name, (inputs, truth) in zip(dataset.names(chosen), batches(dataset, chosen, 1), strict=True):
        output = to_uint8(predict(inputs))[0]
        steps = truth.shape[1]
        pictures_of_clip = to_uint8(inputs)[0], to_uint8(truth)[0], output[:steps]
        drawn.append(Clip(name, *pictures_of_clip, aligned=dataset.task.aligned))
        rollouts.append(output[: render.long_horizon])

    if renders.exists():
        shutil.rmtree(renders)  # nothing of an earlier run stays
    videos = {f"clip_{number:02d}.mp4": clip.name for number, clip in enumerate(drawn)}
    for file, clip in zip(videos, drawn, strict=True):
        write_video(renders / file, hold(comparison(clip, render.scale), render.fps), render.fps)
    if dataset.task.feeds_back:
        pictures = long_rollout([clip.inputs for clip in drawn], rollouts, dataset.horizon, render.scale)
        write_video(renders / "rollout.mp4", hold(pictures, render.fps), render.fps)
    write_png(renders / "sheet.png", sheet(drawn, render.scale))
    write_animation(renders / "preview.webp", preview(drawn[:MOST_PREVIEW_CLIPS], render.scale), render.fps)
    write_bytes(renders / "horizon.png", (metrics / "horizon.png").read_bytes())
    html = page(
        card.model_dump(),
        num_parameters=sum(parameter.numel() for parameter in generator.parameters()),
        summary=read_summary(metrics),
        num_steps=len(drawn[0].truth),
        videos=videos,
        long_horizon=render.long_horizon,
    )
    write_text(renders / "index.html", html)  # last: where there is a page, all that it shows is there
    logger.info("rendered %d clips; open %s", len(drawn), renders / "index.html")


def hold(pictures: Iterator[Picture], fps: float) -> Iterator[Picture]:
    """The pictures, the last one of them for HOLD_SECONDS more."""
    last = None
    for last in pictures:
        yield last
    if last is not None:
        yield from repeat(last, round(HOLD_SECONDS * fps))


if __name__ == "__main__":
    stage.run(render)
