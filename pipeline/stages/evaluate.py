"""Stage: measure the model on the test clips at every horizon step, beside non-learned baselines."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset
from pipeline.data.task import Task
from pipeline.measuring.baselines import background, baseline
from pipeline.measuring.evaluation import NO_BASELINES, Predictor, check_fit, measure, pick, predictor, stateless
from pipeline.metrics import METRICS
from pipeline.params import EvaluateParams
from pipeline.runtime.devices import best_device
from pipeline.runtime.files import replacing, write_json, write_text
from pipeline.training.start import begin

logger = logging.getLogger(__name__)

PANELS = ("mse", "ssim", "psnr")  # of the plot, from left to right
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
    """Write metrics.json, horizon.csv and horizon.png about MODEL to METRICS."""
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
    table = tabulate(measure(predictors, dataset, indices, evaluate.batch_size))
    summary: dict[str, Any] = {**summarize(table)}
    if not card.better_than_start:
        summary["better_than_start"] = False  # a key that is there only where it is so
        logger.warning("training never got better than its start: these are the weights that it began with")

    write_text(metrics / "horizon.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_json(metrics / "metrics.json", summary)
    with replacing(metrics / "horizon.png") as part:
        draw(table).savefig(part, format="png", dpi=110, metadata={"Software": None})  # no version: the same bytes
    logger.info(
        "%d of %d test clips; the model beats every baseline at %d of %d steps",
        len(indices),
        len(dataset),
        summary["useful_horizon"],
        table["step"].max(),
    )
    for name, row in summary.items():
        if isinstance(row, dict):
            logger.info("%-12s %s", name, "  ".join(f"{metric} {value:.4g}" for metric, value in row.items()))


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


def tabulate(measured: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> pd.DataFrame:
    """The content of horizon.csv: one row per method and step, with the means over the clips of each metric (N, T)."""
    rows = [
        {"method": method, "step": step + 1}
        | {metric: float(values[:, step].mean(dtype=np.float64)) for metric, values in values_of.items()}
        for method, values_of in measured.items()
        for step in range(values_of["mse"].shape[1])
    ]
    return pd.DataFrame(rows)


def summarize(table: pd.DataFrame) -> dict[str, dict[str, float] | int]:
    """The means over the horizon for each method, and useful_horizon: steps at which the model has the least MSE.

    `table` has the columns of horizon.csv. Six digits are kept: what lies beyond depends on the machine.
    """
    means = table.drop(columns="step").groupby("method", sort=False).mean()
    rows = {
        str(name): {str(key): float(f"{value:.6g}") for key, value in row.items()} for name, row in means.iterrows()
    }
    errors = table.pivot_table(index="step", columns="method", values="mse")
    others = errors.drop(columns=["model", *NO_BASELINES], errors="ignore")
    useful = int((errors["model"] < others.min(axis=1)).sum())
    return {**rows, "useful_horizon": useful}


def draw(table: pd.DataFrame) -> Figure:
    """Quality against horizon: one panel per metric, one line per method; the model stands out."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    for axes, metric in zip(panels, PANELS, strict=True):
        for method, rows in table.groupby("method", sort=False):
            label = str(method).replace("_", " ")
            axes.plot(rows["step"], rows[metric], label=label, **STYLES[str(method)])
        axes.set_title(METRICS[metric].title, fontsize=11)
        axes.set_xlabel("frames ahead")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eceff1")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STYLES), frameon=False)
    return figure


if __name__ == "__main__":
    stage.run(evaluate)
