"""The page that people open: one HTML file beside the pictures and videos that it shows; it asks no other host.

What it says stands in page.html.jinja, how it looks in page.css; here are the figures of its table, also as Markdown.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from tabulate import tabulate

from pipeline.metrics import METRICS


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
