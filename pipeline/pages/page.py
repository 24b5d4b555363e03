"""The page that people open: one HTML file beside the pictures and videos that it shows; it asks no other host.

What it says stands in page.html.jinja, how it looks in page.css; here are the figures of its table, also as Markdown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from tabulate import tabulate

from pipeline.errors import DataError
from pipeline.metrics import METRICS
from pipeline.runtime.files import read_json


def read_summary(metrics: Path) -> dict[str, Any]:
    """The content of metrics.json in the folder `metrics`; raises DataError where it is missing or damaged."""
    path, remedy = metrics / "metrics.json", "run `dvc repro --force evaluate`"
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


def page(
    card: Mapping[str, Any],
    num_parameters: int,
    summary: Mapping[str, Any],
    num_steps: int,
    videos: Mapping[str, str],
    long_horizon: int,
) -> str:
    """The page about a model.

    `card` is its ModelCard as a dict, `summary` the content of metrics.json, `num_steps` the steps that were
    measured, `videos` file -> name of each clip. It shows horizon.png, sheet.png and rollout.mp4 (of `long_horizon`
    frames; not for a translation), which lie beside it.
    """
    templates = Environment(
        loader=PackageLoader("pipeline.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    channels, height, width = card["frame_shape"]
    rows, columns = _figures(summary)
    best = {
        metric: (max if more else min)(row[metric] for row in rows.values()) for metric, (_, _, more) in columns.items()
    }
    return templates.get_template("page.html.jinja").render(
        card=card,
        translates=card["task"] == "translate",
        channels=channels,
        height=height,
        width=width,
        num_parameters=num_parameters,
        summary=summary,
        num_steps=num_steps,
        videos=videos,
        rows=rows,
        columns=columns,
        best=best,
        long_horizon=long_horizon,
    )


def markdown(summary: Mapping[str, Any]) -> str:
    """The content of metrics.json as a table in Markdown: the model, then the baselines from the best on."""
    rows, columns = _figures(summary)
    return tabulate(
        [[method.replace("_", " "), *(row[metric] for metric in columns)] for method, row in rows.items()],
        headers=["", *(heading for heading, _, _ in columns.values())],
        floatfmt=["", *(f".{digits}f" for _, digits, _ in columns.values())],
        tablefmt="pipe",
    )


def _figures(summary: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, float]], dict[str, tuple[str, int, bool]]]:
    """The rows, in the order in which they are shown, and of their metrics: heading, digits, is more better."""
    rows = {method: values for method, values in summary.items() if isinstance(values, Mapping)}
    order = ["model", *sorted(rows.keys() - {"model"}, key=lambda method: rows[method]["mse"])]
    columns = {
        name: (metric.column, metric.digits, metric.higher_is_better)
        for name, metric in METRICS.items()
        if name in rows["model"]
    }
    return {method: rows[method] for method in order}, columns
