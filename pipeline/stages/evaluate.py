"""Stage: measure the model on the test clips at every horizon step, beside non-learned baselines."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset
from pipeline.data.task import Task
from pipeline.measuring.baselines import background, baseline
from pipeline.measuring.evaluation import Predictor, check_fit, measure, pick, predictor, stateless
from pipeline.measuring.lpips import lpips_by
from pipeline.measuring.tables import clip_scores, ends, headline, intervals, summarize, tabulate
from pipeline.metrics import METRICS
from pipeline.params import EvaluateParams
from pipeline.runtime.devices import best_device
from pipeline.runtime.files import replacing, write_json, write_text
from pipeline.runtime.progress import Progress
from pipeline.training.start import begin

logger = logging.getLogger(__name__)

PANELS = ("mse", "ssim", "psnr", "ms_ssim", "motion", "lpips")  # of the plot, by rows; those that are measured
COLUMNS = 3
STYLES: dict[str, dict[str, Any]] = {
    "model": {"color": "#c2185b", "linewidth": 2.6, "marker": "o", "markersize": 4, "zorder": 3},
    "last_frame": {"color": "#546e7a", "linestyle": "-"},
    "mean_frame": {"color": "#546e7a", "linestyle": "--"},
    "background": {"color": "#9e9e9e", "linestyle": ":"},
    "optical_flow": {"color": "#1976d2", "linestyle": "-."},
    "stateless": {"color": "#c2185b", "linestyle": "--"},
    "start": {"color": "#c2185b", "linestyle": ":"},
    "identity": {"color": "#546e7a", "linestyle": "-"},
    "bilateral": {"color": "#1976d2", "linestyle": "-."},
    "sharpened": {"color": "#546e7a", "linestyle": "--"},
}


def evaluate(frames: Path, clips: Path, model: Path, metrics: Path, *, evaluate: EvaluateParams) -> None:
    """Write what is measured of MODEL on the test clips to METRICS: tables, metrics.json, summary.json and a plot."""
    dataset = ClipDataset(frames, clips, "test")
    device = best_device()
    generator, card = model_dir.load(model, device)
    check_fit(card, dataset)
    picture = background(ClipDataset(frames, clips, "train"))
    predictors = predictors_of(dataset.task, predictor(generator, card, dataset.horizon, device), picture)
    if card.start == "pretrained":  # so that one sees what one's own data added
        untrained = card.build().to(device).eval()
        begin(untrained, card, "pretrained")
        predictors["start"] = predictor(untrained, card, dataset.horizon, device)
    indices = pick(len(dataset), evaluate.max_clips)
    logger.info("measuring %d of %d test clips by %d methods", len(indices), len(dataset), len(predictors))
    lpips = lpips_by(evaluate.lpips)
    more = {"lpips": lpips} if lpips is not None else {}
    progress = Progress(len(indices), "clips")
    measured = measure(predictors, dataset, indices, evaluate.batch_size, more, progress)
    table = tabulate(measured)
    scores = clip_scores(measured, indices, dataset.places(indices))
    between = intervals(scores)
    summary: dict[str, Any] = {**summarize(table)}
    # the columns of `dvc exp show`, where those of every baseline would be too many
    columns = {**summary["model"], "useful_horizon": summary["useful_horizon"]}
    for method, found in ends(between).items():
        summary[method]["intervals"] = found
    if not card.better_than_start:
        summary["better_than_start"] = False  # keys that are there only where it is so
        summary["start_kept_because"] = card.start_kept_because
        logger.warning(
            "training was not surely better than its start: these are the weights that it began with (%s)",
            card.start_kept_because,
        )

    _write_csv(metrics / "horizon.csv", table)
    _write_csv(metrics / "clip_scores.csv", scores)
    _write_csv(metrics / "intervals.csv", between)
    write_json(metrics / "metrics.json", summary)
    write_json(metrics / "summary.json", columns)
    with replacing(metrics / "horizon.png") as part:
        draw(table).savefig(part, format="png", dpi=110, metadata={"Software": None})  # no version: the same bytes
    for name, row in summary.items():
        if isinstance(row, dict):
            logger.info(
                "%-12s %s", name, "  ".join(f"{metric} {row[metric]:.4g}" for metric in METRICS if metric in row)
            )
    if len(scores["video"].unique()) == 1:
        logger.info("one test video: its clips overlap, so that no interval says how another video would do")
    logger.info("%s", headline(summary, int(table["step"].max())))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def predictors_of(task: Task, model: Predictor, background: Tensor) -> dict[str, Predictor]:
    """What is measured in `task`, by name: `model`, a translation without its state, and the non-learned baselines.

    `background` is the picture (C, H, W) for the baseline of that name.
    """
    predictors = {"model": model}
    if task.aligned:
        predictors["stateless"] = stateless(model)
    for name in task.baselines:
        predictors[name] = partial(baseline, name, num_frames=task.num_judged, background=background)
    return predictors


def draw(table: pd.DataFrame) -> Figure:
    """Quality against horizon: one panel per metric, one line per method; the model stands out."""
    names = [name for name in PANELS if name in table and table[name].notna().any()]
    num_rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(13, 0.6 + 3.6 * num_rows), layout="constrained")
    places = figure.subplots(num_rows, COLUMNS).ravel()
    for axes in places[len(names) :]:
        axes.remove()
    for axes, metric in zip(places, names, strict=False):
        for method, rows in table.groupby("method", sort=False):
            label = str(method).replace("_", " ")
            axes.plot(rows["step"], rows[metric], label=label, **STYLES[str(method)])
        axes.set_title(METRICS[metric].title, fontsize=11)
        axes.set_xlabel("frames ahead")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eceff1")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STYLES), frameon=False)
    return figure


if __name__ == "__main__":
    stage.run(evaluate)
