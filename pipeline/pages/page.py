"""The page that people open: one HTML file beside the pictures that it shows; it asks no other host.

What it says stands in page.html.jinja, how it looks in page.css, how its player steps in player.js; the figures come
from figures.py, the curves from charts.py, what is said of the data from data_card.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.metrics import start_ahead
from pipeline.pages import figures
from pipeline.pages.charts import Chart
from pipeline.pages.data_card import DataCard
from pipeline.pages.figures import Interval, markdown, read_summary

__all__ = ["Content", "markdown", "page", "read_summary"]


@dataclass(frozen=True)
class Content:
    """All that the page shows; sheet.png and the files that `films` and `data` name lie beside it."""

    card: Mapping[str, Any]  # the ModelCard as a dict
    num_parameters: int
    summary: Mapping[str, Any]  # the content of metrics.json
    intervals: Mapping[tuple[str, str], Interval]
    previous: Mapping[str, Any] | None  # metrics.json of the run that this one is compared with
    num_steps: int  # that were measured
    scale: int  # pixels of the pictures per pixel of the frames that were measured, in height and width
    num_measured: int | None  # test clips that were measured; None: not known
    films: Sequence[Mapping[str, Any]]  # what player.write_film returned
    horizon_charts: Sequence[Chart]
    training_charts: Sequence[Chart]
    data: DataCard


def page(content: Content) -> str:
    """The page about a model, HTML."""
    templates = Environment(
        loader=PackageLoader("pipeline.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    channels, height, width = content.card["frame_shape"]
    return templates.get_template("page.html.jinja").render(
        vars(content),
        translates=content.card["task"] == "translate",
        channels=channels,
        height=height,
        width=width,
        rows=figures.cells(content.summary, content.intervals),
        columns=figures.columns(content.summary),
        ahead=figures.ahead(content.summary),
        changes=figures.changes(content.summary, content.previous),
        single=any(name == "test" and videos == 1 for name, videos, *_ in content.data.splits),
        made_worse=start_ahead(content.summary),
        label=figures.label,
    )
