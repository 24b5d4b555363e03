"""The page that people open: one HTML file beside the pictures and videos that it shows; it asks no other host."""

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #d5dbe1; --quiet: #5c6975; --strong: #c2185b; --card: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --line: #3a424c; --quiet: #9aa7b4; --strong: #f06292; --card: #20252b; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p { margin: .3rem 0; } .quiet, figcaption { color: var(--quiet); font-size: .9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: .4rem; }
tr.model td { color: var(--strong); font-weight: 600; } td.best { text-decoration: underline; }
figure { margin: 0; }
img, video { box-sizing: border-box; max-width: 100%; height: auto; border-radius: 6px; display: block; }
.videos { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1.2rem; }
.videos video { width: 100%; } .plot { background: #fff; padding: .4rem; border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; background: var(--card); padding: 1rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
"""


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
    channels, height, width = card["frame_shape"]
    translates = card["task"] == "translate"
    verb = "translates" if translates else "continues"
    given = f"Given {card['context']} frames of {width} × {height} pixels, it predicts the next {card['horizon']}."
    if translates:
        given = f"It translates frames of {width} × {height} pixels one by one, with what it remembers of those before."
    fed_back = "" if translates else ", each prediction fed back"
    plays = "First the context plays, then truth, prediction and their difference."
    if translates:
        plays = "Source, truth, prediction and their difference."
    clips = "\n".join(_video(file, name) for file, name in videos.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>foreframe: {escape(card["name"])}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(card["name"])} {verb} videos</h1>
<p>{given} On test clips its MSE is below that of every baseline that learns nothing at
<strong>{summary["useful_horizon"]} of {num_steps}</strong> steps.</p>

<h2>Test clips</h2>
<p class="quiet">{plays} A click stops a video.</p>
<div class="videos">
{clips}
</div>

<h2>Figures</h2>
{_table(summary)}
<p class="quiet">Means over the test clips and {num_steps} steps{fed_back}. MSE and MAE are sums over the
pixels of a frame, of values from 0 to 1. Underlined: the best of a column.</p>
<img class="plot" src="horizon.png" alt="Quality of the model and of four baselines against frames ahead">

{"" if translates else _rollout(long_horizon)}
<h2>Frame by frame</h2>
<a href="sheet.png"><img src="sheet.png" alt="Truth, prediction and error of each clip, step by step"></a>

<h2>Model</h2>
<dl>
<dt>generator</dt><dd>{escape(card["name"])}, {num_parameters:,} parameters</dd>
<dt>sizes</dt><dd>{escape(", ".join(f"{key} {value}" for key, value in sorted(card["sizes"].items())))}</dd>
<dt>frames</dt><dd>{channels} {"channel" if channels == 1 else "channels"}, {height} × {width} pixels</dd>
<dt>task</dt><dd>{escape(card["task"])}, {card["context"]} frames given, {card["horizon"]} predicted</dd>
<dt>training data</dt><dd>{escape(card["data"])}</dd>
</dl>
</body>
</html>
"""


def _video(file: str, name: str) -> str:
    # without controls, which would lie over a picture as small as these
    return (
        f'<figure><video src="{escape(file)}" loop muted autoplay playsinline '
        f'onclick="this.paused ? this.play() : this.pause()"></video>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _rollout(long_horizon: int) -> str:
    return f"""<h2>Far beyond the horizon</h2>
<p class="quiet">{long_horizon} frames, made from nothing but the model's own output after the context.</p>
{_video("rollout.mp4", "")}
"""


def markdown(summary: Mapping[str, Any]) -> str:
    """The content of metrics.json as a table in Markdown: the model, then the baselines from the best on."""
    rows, columns = _figures(summary)
    lines = [f"| | {' | '.join(heading for heading, _, _ in columns.values())} |", f"|{' --- |' * (len(columns) + 1)}"]
    for method, row in rows.items():
        cells = [f"{row[metric]:.{digits}f}" for metric, (_, digits, _) in columns.items()]
        lines.append(f"| {method.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(summary: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, float]], dict[str, tuple[str, int, bool]]]:
    """The rows, in the order in which they are shown, and of their metrics: heading, digits, is more better."""
    from pipeline.metrics import METRICS  # imports torch, which takes two seconds

    rows = {method: values for method, values in summary.items() if isinstance(values, Mapping)}
    order = ["model", *sorted(rows.keys() - {"model"}, key=lambda method: rows[method]["mse"])]
    columns = {
        name: (metric.column, metric.digits, metric.higher_is_better)
        for name, metric in METRICS.items()
        if name in rows["model"]
    }
    return {method: rows[method] for method in order}, columns


def _table(summary: Mapping[str, Any]) -> str:
    rows, columns = _figures(summary)
    best = {
        metric: (max if more else min)(row[metric] for row in rows.values()) for metric, (_, _, more) in columns.items()
    }

    def mark(condition: bool, name: str) -> str:
        return f' class="{name}"' if condition else ""

    lines = ["<table>", f"<tr><th></th>{''.join(f'<th>{heading}</th>' for heading, _, _ in columns.values())}</tr>"]
    for method, row in rows.items():
        cells = "".join(
            f"<td{mark(row[metric] == best[metric], 'best')}>{row[metric]:.{digits}f}</td>"
            for metric, (_, digits, _) in columns.items()
        )
        lines.append(f"<tr{mark(method == 'model', 'model')}><td>{escape(method.replace('_', ' '))}</td>{cells}</tr>")
    return "\n".join([*lines, "</table>"])
