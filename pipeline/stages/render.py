"""Render test clips for people: a video a clip, a long rollout, a contact sheet, a preview, a page with it all."""

import json
import logging
import shutil
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset, to_uint8
from pipeline.measuring.evaluation import batches, check_fit, pick, predictor
from pipeline.pages import contact_sheet
from pipeline.pages.contact_sheet import Clip
from pipeline.pages.page import page
from pipeline.pages.panels import Picture
from pipeline.params import RenderParams
from pipeline.runtime.devices import best_device
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
    names = dataset.names(chosen)
    shown, rollouts = [], []
    for name, (given, truth) in zip(names, batches(dataset, chosen, 1), strict=True):
        made = to_uint8(predict(given))[0]
        steps = truth.shape[1]
        shown.append(Clip(name, to_uint8(given)[0], to_uint8(truth)[0], made[:steps], aligned=dataset.task.aligned))
        rollouts.append(made[: render.long_horizon])

    if renders.exists():
        shutil.rmtree(renders)
    renders.mkdir(parents=True)
    videos = {f"clip_{number:02d}.mp4": clip.name for number, clip in enumerate(shown)}
    for file, clip in zip(videos, shown, strict=True):
        write_video(renders / file, hold(contact_sheet.comparison(clip, render.scale), render.fps), render.fps)
    if dataset.task.feeds_back:
        pictures = contact_sheet.long_rollout([clip.given for clip in shown], rollouts, dataset.horizon, render.scale)
        write_video(renders / "rollout.mp4", hold(pictures, render.fps), render.fps)
    write_png(renders / "sheet.png", contact_sheet.sheet(shown, render.scale))
    write_animation(
        renders / "preview.webp", contact_sheet.preview(shown[:MOST_PREVIEW_CLIPS], render.scale), render.fps
    )
    shutil.copyfile(metrics / "horizon.png", renders / "horizon.png")
    html = page(
        card.model_dump(),
        num_parameters=sum(parameter.numel() for parameter in generator.parameters()),
        summary=json.loads((metrics / "metrics.json").read_text()),
        num_steps=len(shown[0].truth),
        videos=videos,
        long_horizon=render.long_horizon,
    )
    (renders / "index.html").write_text(html, encoding="utf-8")
    logger.info("rendered %d clips; open %s", len(shown), renders / "index.html")


def hold(pictures: Iterator[Picture], fps: float) -> Iterator[Picture]:
    """The pictures, the last one of them for HOLD_SECONDS."""
    last = None
    for last in pictures:
        yield last
    if last is not None:
        yield from repeat(last, round(HOLD_SECONDS * fps))


if __name__ == "__main__":
    stage.run(render)
