"""The tables about a model: by method and step, by clip, means with their intervals, and who is ahead in what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.measuring.evaluation import mean
from pipeline.measuring.intervals import bootstrap
from pipeline.metrics import METRICS, NO_BASELINES, baselines_ahead, start_ahead

Measured = Mapping[str, Mapping[str, NDArray[np.float32]]]  # method -> metric -> (N, T), as evaluation.measure has it


def tabulate(measured: Measured) -> pd.DataFrame:
    """The content of horizon.csv: one row per method and step, with the means over the clips of each metric."""
    tables = []
    for method, values_of in measured.items():
        means = {metric: mean(metric, values, axis=0) for metric, values in values_of.items()}
        steps = range(1, len(means["mse"]) + 1)
        tables.append(pd.DataFrame({"method": method, "step": steps, **means}))
    return pd.concat(tables, ignore_index=True)


def clip_scores(measured: Measured, indices: Sequence[int], places: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """The content of clip_scores.csv: one row per clip and method, with the means over the horizon of each metric.

    `indices` are the clips' in the test set, `places` the video and the first frame of each.
    """
    columns = {"clip": indices, "video": [video for video, _ in places], "start": [start for _, start in places]}
    tables = [
        pd.DataFrame(
            columns
            | {"method": method}
            | {metric: mean(metric, values, axis=1) for metric, values in values_of.items()}
        )
        for method, values_of in measured.items()
    ]
    return pd.concat(tables, ignore_index=True).sort_values("clip", kind="stable", ignore_index=True)


def intervals(scores: pd.DataFrame) -> pd.DataFrame:
    """The content of intervals.csv: the mean of each metric of each method over the clips, and its 95 % interval.

    `scores` has the columns of clip_scores.csv, in any order.
    """
    metrics = [name for name in scores.columns if name in METRICS]
    tables = []
    for method, rows in scores.groupby("method", sort=False):
        low, high = bootstrap(rows[metrics].to_numpy(), rows["video"].to_numpy())
        means = np.array([mean(metric, rows[metric].to_numpy(), axis=0) for metric in metrics])
        low[np.isnan(means)] = high[np.isnan(means)] = np.nan
        tables.append(pd.DataFrame({"method": method, "metric": metrics, "mean": means, "low": low, "high": high}))
    return pd.concat(tables, ignore_index=True)


def ends(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """The 95 % intervals [low, high] in a table like intervals.csv, by method and metric; those that are known.

    Six digits are kept, as of the means.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for row in table.dropna(subset=["low", "high"]).itertuples():
        found.setdefault(row.method, {})[row.metric] = [float(f"{end:.6g}") for end in (row.low, row.high)]
    return found


def summarize(table: pd.DataFrame) -> dict[str, dict[str, float] | int]:
    """The means over the horizon for each method, and useful_horizon: steps at which the model has the least MSE.

    `table` has the columns of horizon.csv. Six digits are kept: what lies beyond depends on the machine. A metric that
    no step defines is left out.
    """
    metrics = [name for name in table.columns[2:] if not (METRICS[name].partial and table[name].isna().all())]
    rows = {
        str(method): {name: float(f"{mean(name, values[name].to_numpy(), axis=0):.6g}") for name in metrics}
        for method, values in table.groupby("method", sort=False)
    }
    errors = table.pivot_table(index="step", columns="method", values="mse")
    others = errors.drop(columns=["model", *NO_BASELINES], errors="ignore")
    useful = int((errors["model"] < others.min(axis=1)).sum())
    return {**rows, "useful_horizon": useful}


def headline(summary: Mapping[str, Any], num_steps: int) -> str:
    """What the figures say, in one line: where the model leads by MSE, and every metric in which a baseline does.

    `summary` is the content of metrics.json, `num_steps` the steps that were measured.
    """
    text = f"the model's MSE is below every baseline's at {summary['useful_horizon']} of {num_steps} steps"
    if start_ahead(summary):
        text += (
            f"; training made it worse: as it began its MSE was {summary['start']['mse']:.2f}, it is "
            f"{summary['model']['mse']:.2f} (`foreframe predict --model pretrained` takes the weights that come along)"
        )
    ahead = baselines_ahead(summary)
    if not ahead:
        return f"{text}; in the means over them no baseline is ahead in any metric"
    own = summary["model"]
    told = []
    for name, method in ahead.items():
        digits, heading = METRICS[name].digits, METRICS[name].heading
        figures = f"{summary[method][name]:.{digits}f}, the model {own[name]:.{digits}f}"
        told.append(f"{heading} ({method.replace('_', ' ')} {figures})")
    return f"{text}; in the means over them a baseline is ahead in {', '.join(told)}"
