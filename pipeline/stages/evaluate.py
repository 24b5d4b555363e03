"""Measure the model on the test clips at every horizon step, beside baselines that learn nothing."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset, to_float
from pipeline.measuring.baselines import baseline
from pipeline.measuring.evaluation import Predictor, check_fit, measure, pick, predictor, stateless
from pipeline.params import EvaluateParams
from pipeline.runtime.devices import best_device

logger = logging.getLogger(__name__)

BACKGROUND_FRAMES = 256  # training frames whose median is the background
# what each panel says of its metric, and where better is
PANELS = {
    "mse": "MSE, summed over pixels (lower is better)",
    "ssim": "SSIM (higher is better)",
    "psnr": "PSNR, dB (higher is better)",
}
STYLES: dict[str, dict[str, Any]] = {
    "model": {"color": "#c2185b", "linewidth": 2.6, "marker": "o", "markersize": 4, "zorder": 3},
    "last_frame": {"color": "#546e7a", "linestyle": "-"},
    "mean_frame": {"color": "#546e7a", "linestyle": "--"},
    "background": {"color": "#9e9e9e", "linestyle": ":"},
    "optical_flow": {"color": "#1976d2", "linestyle": "-."},
    "stateless": {"color": "#c2185b", "linestyle": "--"},
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
    of_model = predictor(generator, card, dataset.horizon, device)
    predictors: dict[str, Predictor] = {"model": of_model}
    if dataset.task.aligned:
        predictors["stateless"] = stateless(of_model)
    for name in dataset.task.baselines:
        predictors[name] = partial(baseline, name, num_frames=dataset.task.num_judged, background=picture)
    indices = pick(len(dataset), evaluate.max_clips)
    measured = measure(predictors, dataset, indices, evaluate.batch_size)

    table = pd.DataFrame(
        [
            {"method": name, "step": step + 1}
            | {metric: float(values[:, step].mean(dtype=np.float64)) for metric, values in of_metric.items()}
            for name, of_metric in measured.items()
            for step in range(of_metric["mse"].shape[1])
        ]
    )
    summary = summarize(table)
    metrics.mkdir(parents=True, exist_ok=True)
    table.to_csv(metrics / "horizon.csv", index=False, float_format="%.6g", lineterminator="\n")
    (metrics / "metrics.json").write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n")
    draw(table).savefig(metrics / "horizon.png", dpi=110, metadata={"Software": None})  # no version: the same bytes
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


def background(dataset: ClipDataset) -> Tensor:
    """What the pictures look like when nothing is in them: the median of training frames, (C, H, W) in [-1, 1].

    Black for digits on black, the empty scene for a camera that stands still.
    """
    indices = pick(len(dataset), BACKGROUND_FRAMES)
    first = np.stack([dataset.gather([index])[0, 0] for index in indices])  # (N, H, W, C)
    return to_float(np.median(first, axis=0).astype(np.uint8)[None, None])[0, 0]


def summarize(table: pd.DataFrame) -> dict[str, dict[str, float] | int]:
    """The means over the horizon for each method, and useful_horizon: steps at which the model has the least MSE.

    `table` has the columns of horizon.csv. Six digits are kept: what lies beyond depends on the machine.
    """
    means = table.drop(columns="step").groupby("method", sort=False).mean()
    rows = {
        str(name): {str(key): float(f"{value:.6g}") for key, value in row.items()} for name, row in means.iterrows()
    }
    errors = table.pivot_table(index="step", columns="method", values="mse")
    others = errors.drop(columns=["model", "stateless"], errors="ignore")
    useful = int((errors["model"] < others.min(axis=1)).sum())
    return {**rows, "useful_horizon": useful}


def draw(table: pd.DataFrame) -> Figure:
    """Quality against horizon: a panel a metric, a line a method; the model stands out."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
        for method, rows in table.groupby("method", sort=False):
            label = str(method).replace("_", " ")
            axes.plot(rows["step"], rows[metric], label=label, **STYLES[str(method)])
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("frames ahead")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#eceff1")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STYLES), frameon=False)
    return figure


if __name__ == "__main__":
    stage.run(evaluate)
