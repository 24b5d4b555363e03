"""The figures in metrics.json for people: the table with intervals, who is ahead in what, the change since a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from pipeline.errors import DataError
from pipeline.metrics import METRICS, Metric, baselines_ahead
from pipeline.runtime.files import read_json

if TYPE_CHECKING:
    import pandas as pd

Interval = tuple[float, float]  # low, high

SUMMARY, PREVIOUS = "metrics.json", "previous.json"
MOST_DIGITS = 4  # of a mean: more would not fit on a phone
TEXTS = {"video", "method", "metric"}  # columns of tables that hold no numbers
INTERVALS, CLIP_SCORES, HORIZON = "intervals.csv", "clip_scores.csv", "horizon.csv"
REMEDY = "run `dvc repro --force evaluate`"


@dataclass(frozen=True)
class Cell:
    """A mean as it is shown."""

    text: str
    interval: str = ""  # `3.01 to 3.44`; empty: not known
    best: bool = False  # of its column


@dataclass(frozen=True)
class Change:
    """A mean of the model then and now."""

    heading: str
    before: str
    now: str
    change: str  # with its sign
    verdict: str  # better | worse | same


def read_summary(metrics: Path) -> dict[str, Any]:
    """The content of metrics.json in the folder `metrics`; raises DataError where it is missing or damaged."""
    return read_figures(metrics / SUMMARY, REMEDY)


def read_previous(metrics: Path) -> dict[str, Any] | None:
    """The content of previous.json, the metrics.json of an earlier run; None where there is none."""
    path = metrics / PREVIOUS
    return read_figures(path, "remove it") if path.exists() else None


def read_figures(path: Path, remedy: str) -> dict[str, Any]:
    """The content of a file like metrics.json; raises DataError, with the `remedy`, where it is missing or damaged."""
    try:
        summary = read_json(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({' '.join(str(error).split())}); {remedy}") from error
    rows = [row for row in summary.values() if isinstance(row, dict)] if isinstance(summary, dict) else []
    if not rows or "model" not in summary or not all(_is_row(row, summary["model"]) for row in rows):
        raise DataError(f"{path}: is damaged (no figures of the model and its baselines); {remedy}")
    return summary


def _is_row(row: Any, model: Any) -> bool:
    """Whether `row` has a number for MSE and for each metric that `model` has."""
    names = {"mse", *(name for name in METRICS if isinstance(model, dict) and name in model)}
    return isinstance(row, dict) and all(isinstance(row.get(name), int | float) for name in names)


def read_table(path: Path, *columns: str) -> "pd.DataFrame | None":
    """A csv or tsv file that a stage may have written; None where it is not there.

    Raises DataError where it cannot be read or `columns` are missing.
    """
    if not path.exists():
        return None
    import pandas as pd  # takes a third of a second, and is not needed where there is no table

    try:
        table = pd.read_csv(
            path,
            sep="\t" if path.suffix == ".tsv" else ",",
            dtype={"video": "str", "method": "str"},
            keep_default_na=False,
            na_values=["", "nan"],
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); {_remedy(path)}") from error
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path}: is damaged (no column {missing[0]}); {_remedy(path)}")
    if words := [name for name in table if name not in TEXTS and not pd.api.types.is_numeric_dtype(table[name])]:
        raise DataError(f"{path}: is damaged ({words[0]} is not all numbers); {_remedy(path)}")
    return table


def _remedy(path: Path) -> str:
    return REMEDY if path.name in (INTERVALS, CLIP_SCORES, HORIZON) else "run `dvc repro --force train`"


def read_intervals(metrics: Path) -> dict[tuple[str, str], Interval]:
    """The 95 % intervals in intervals.csv, by method and metric; empty where there is no such file."""
    table = read_table(metrics / INTERVALS, "method", "metric", "low", "high")
    if table is None:
        return {}
    rows = table.dropna(subset=["low", "high"])
    return {(row.method, row.metric): (float(row.low), float(row.high)) for row in rows.itertuples()}


def methods(summary: Mapping[str, Any]) -> list[str]:
    """The rows of the table: the model, then all else from the least MSE on."""
    rows = {method: values for method, values in summary.items() if isinstance(values, Mapping)}
    return ["model", *sorted(rows.keys() - {"model"}, key=lambda method: rows[method]["mse"])]


def columns(summary: Mapping[str, Any]) -> list[Metric]:
    """The columns of the table: the metrics that the model has."""
    return [metric for name, metric in METRICS.items() if name in summary["model"]]


def cells(summary: Mapping[str, Any], intervals: Mapping[tuple[str, str], Interval]) -> dict[str, list[Cell]]:
    """The rows of the table, by method, in the order of `methods` and `columns`."""
    rows: dict[str, list[Cell]] = {method: [] for method in methods(summary)}
    for metric in columns(summary):
        best = min((summary[method][metric.name] for method in rows), key=metric.loss)
        for method, row in rows.items():
            value = summary[method][metric.name]
            between = [_text(end, metric) for end in intervals.get((method, metric.name), ())]
            row.append(Cell(_text(value, metric), " to ".join(between), value == best))
    return rows


def ahead(summary: Mapping[str, Any]) -> list[str]:
    """One phrase for each metric in which a non-learned baseline is ahead of the model, with both figures."""
    return [
        f"{metric.heading} ({label(method)} {_told(summary[method][metric.name], metric)} "
        f"against {_told(summary['model'][metric.name], metric)})"
        for metric, method in ((METRICS[name], method) for name, method in baselines_ahead(summary).items())
    ]


def changes(summary: Mapping[str, Any], previous: Mapping[str, Any] | None) -> list[Change]:
    """How the model's means differ from those of an earlier run; empty where that is not known."""
    if previous is None:
        return []
    found = []
    for metric in columns(summary):
        now, before = summary["model"][metric.name], previous["model"].get(metric.name)
        if before is None:
            continue
        difference = now - before
        verdict = "same" if difference == 0 else "better" if metric.loss(now) < metric.loss(before) else "worse"
        change = f"{difference:+.{metric.digits + 1}f}"
        found.append(Change(metric.column, _text(before, metric), _text(now, metric), change, verdict))
    return found


def label(method: str) -> str:
    """What people call a method."""
    return "the model without its state" if method == "stateless" else method.replace("_", " ")


def markdown(summary: Mapping[str, Any], intervals: Mapping[tuple[str, str], Interval] | None = None) -> str:
    """The same table in Markdown; intervals in brackets."""
    rows = cells(summary, intervals or {})
    table = [
        [method.replace("_", " "), *(f"{c.text} [{c.interval}]" if c.interval else c.text for c in row)]
        for method, row in rows.items()
    ]
    headings = [metric.column for metric in columns(summary)]
    align = ["left", *["right"] * len(headings)]
    return tabulate(table, headers=["", *headings], tablefmt="pipe", colalign=align, disable_numparse=True)


def _text(value: float, metric: Metric) -> str:
    """`value` with the metric's digits after the point, fewer where it has more than four in all: 3.04, 127.3, 2347."""
    if not math.isfinite(value):
        return "–"
    before = len(str(int(abs(value))))
    return f"{value:.{max(0, min(metric.digits, MOST_DIGITS - before))}f}"


def _told(value: float, metric: Metric) -> str:
    return f"{_text(value, metric)} {metric.unit}".rstrip()
