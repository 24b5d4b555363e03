"""Line charts as figures for the page, which draws them as SVG in its own colours, light or dark; no picture files."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.metrics import METRICS
from pipeline.pages.figures import HORIZON, read_table

WIDTH, HEIGHT = 340, 210  # of the drawing, in its own units: about the pixels of a narrow screen
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 30  # between its edges and the axes
DASH = 6  # half the length of a curve of one point
PANELS = {"mse": True, "ssim": False, "psnr": False}  # against the horizon: metric -> on a logarithmic scale?
# dvclive's file -> title of the chart, its y axis on a logarithmic scale?
TRAINING = {
    "train_loss": ("Loss in training", True),
    "val_mse": ("MSE in validation, running free", False),
    "val_ssim": ("SSIM in validation, running free", False),
    "learning_rate": ("Learning rate", False),
}


@dataclass(frozen=True)
class Line:
    """One curve: points in the drawing's units, and which of the page's styles it has."""

    label: str
    style: int  # 0 stands out
    points: str


@dataclass(frozen=True)
class Chart:
    """Curves in axes: ticks are (place, text)."""

    title: str
    x_label: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str  # what it shows, for those who do not see it
    # place of x = 1 and of one more, where x are the steps that the player shows
    steps: tuple[float, float] | None = field(default=None)


def chart(
    title: str,
    x_label: str,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    log: bool = False,
    by_step: bool = False,
) -> Chart | None:
    """The chart of `curves`, label -> (x, y); what is not finite is left out. None where nothing is left.

    `log` asks for a logarithmic y axis, which it gets where all y are above 0.
    """
    kept = {
        label: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for label, points in curves.items()
    }
    kept = {label: points for label, points in kept.items() if points}
    if not kept:
        return None
    xs, ys = ([point[axis] for points in kept.values() for point in points] for axis in (0, 1))
    log = log and min(ys) > 0
    x_place, x_ticks = _axis(min(xs), max(xs), (LEFT, WIDTH - RIGHT), integer=True)
    y_place, y_ticks = _axis(min(ys), max(ys), (HEIGHT - BOTTOM, TOP), log=log)
    lines = [
        Line(label, style, _drawn([(x_place(x), y_place(y)) for x, y in points]))
        for style, (label, points) in enumerate(kept.items())
    ]
    ends = "; ".join(f"{label}: from {points[0][1]:.4g} to {points[-1][1]:.4g}" for label, points in kept.items())
    steps = (round(x_place(1), 1), round(x_place(2) - x_place(1), 2)) if by_step else None
    return Chart(title, x_label, lines, x_ticks, y_ticks, f"{title} against {x_label}. {ends}", steps)


def _drawn(places: Sequence[tuple[float, float]]) -> str:
    """The points of an SVG polyline; one point alone becomes a dash, for it would not be seen."""
    if len(places) == 1:
        ((x, y),) = places
        places = [(x - DASH, y), (x + DASH, y)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _axis(
    low: float, high: float, ends: tuple[float, float], *, integer: bool = False, log: bool = False
) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """The function from a value to its place between `ends`, and the ticks, for values from `low` to `high`."""
    if log:
        low, high = math.log10(low), math.log10(high)
    if high - low < 1e-12:
        margin = 0.5 if integer else abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    elif not integer:
        low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)

    def place(value: float) -> float:
        value = math.log10(value) if log else value
        return ends[0] + (value - low) / (high - low) * (ends[1] - ends[0])

    if log and high - low >= 1:
        subs = (1.0,) if high - low >= 3 else (1.0, 3.0)
        values = [v for v in LogLocator(subs=subs).tick_values(10**low, 10**high) if low <= math.log10(v) <= high]
    elif log:
        values = [v for v in MaxNLocator(4).tick_values(10**low, 10**high) if v > 0 and low <= math.log10(v) <= high]
    else:
        values = [v for v in MaxNLocator(5, integer=integer).tick_values(low, high) if low <= v <= high]
        if integer:  # where there is room for one alone, there are others between
            values = [v for v in values if float(v).is_integer()]
    return place, [(round(place(v), 1), f"{v:.4g}") for v in values]


def horizon_charts(metrics: Path, order: Sequence[str], x: str = "frames ahead") -> list[Chart]:
    """Quality against the horizon from horizon.csv in `metrics`, methods in `order`; empty where there is none.

    `x` is what its steps are called.
    """
    table = read_table(metrics / HORIZON, "method", "step")
    if table is None:
        return []
    found = []
    for name, log in PANELS.items():
        if name in table:
            curves = {
                method: list(zip(rows["step"], rows[name], strict=True))
                for method, rows in sorted(table.groupby("method"), key=lambda item: _place(order, item[0]))
            }
            found.append(chart(METRICS[name].title, x, curves, log=log, by_step=True))
    return [drawn for drawn in found if drawn is not None]


def _place(order: Sequence[str], method: object) -> int:
    return order.index(str(method)) if method in order else len(order)


def training_charts(training: Path) -> list[Chart]:
    """Loss, validation, learning rate and gradients from the train stage's folder; those whose files are there."""
    found = []
    for name, (title, log) in TRAINING.items():
        table = read_table(training / f"plots/metrics/{name}.tsv", "step", name)
        if table is not None and len(table) > 1:  # one epoch is no curve
            if table[name].min() < 0:
                title, log = f"{title}, as a logarithm", False  # the recipe's loss.log
            # dvclive counts epochs from 0, people from 1
            curve = list(zip(table["step"] + 1, table[name], strict=True))
            found.append(chart(title, "epoch", {name.replace("_", " "): curve}, log=log))
    table = read_table(training / "gradients.csv", "steps_back", "before", "after")
    if table is not None:
        curves = {
            f"{when} training": list(zip(table["steps_back"], table[when], strict=True)) for when in ("after", "before")
        }
        found.append(chart("How far back the gradient reaches", "steps back", curves, log=True))
    return [drawn for drawn in found if drawn is not None]
