"""The report of a retrain run on the dashboard, with pictures and tables; and notifications."""

import base64
import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import MissingContextError
from tabulate import tabulate

from flows.prefect_dvc.graph import Stage
from pipeline.metrics import METRICS as MEASURES
from pipeline.model_versions import Verdict, champion
from pipeline.pages import figures
from pipeline.runtime.files import write_bytes

logger = logging.getLogger(__name__)

NOTIFY = "FOREFRAME_NOTIFY"  # environment variable: an Apprise address; it may hold a password, so it is no parameter
PAGES = "FOREFRAME_PAGES"  # environment variable: where flows/deploy.py serves data/renders
RENDERS = Path("data/renders")
METRICS = Path("data/metrics")
PREVIOUS = METRICS / "previous.json"  # metrics.json as the last run left it; render reads it too
PICTURES = ("preview.webp", "sheet.png")
MOST_BYTES = 300_000  # of a picture, which takes a third more as text: a report is to stay below a megabyte
ABOUT_PAGE = "A page with a player, figures, curves of the training, the data and the model"
MOST_CHANGES = 8  # that are told


def publish(
    verdict: Verdict,
    version: str | None,
    stages: list[Stage],
    outcome: dict[str, str],
    scores: dict[str, Any],
    refused: Sequence[str] = (),
) -> None:
    """Inside a flow: publish report, metrics and a link to the rendered page as artifacts; notify of a promotion.

    `refused` are overrides that leave params.yaml after this run, and the page data/renders with them.
    """
    measured = figures.read_summary(METRICS)
    rows = _rows(scores, measured, figures.read_intervals(METRICS))
    kept = "The champion stays" if champion() else "Refused; there is no champion yet"
    title = f"{version} is the new champion" if version else kept
    text = _markdown(verdict, stages, outcome, rows, measured, refused)
    create_markdown_artifact(text, key="report", description=title)
    in_brackets = [
        {
            "method": method,
            **{heading: f"{c.text} [{c.interval}]" if c.interval else c.text for heading, c in row.items()},
        }
        for method, row in rows.items()
    ]
    create_table_artifact(in_brackets, key="metrics", description="On today's test clips, means over the horizon")
    page = RENDERS / "index.html"
    if page.exists() and not refused:
        link = f"{os.environ[PAGES]}/{page.name}" if PAGES in os.environ else page.resolve().as_uri()
        create_link_artifact(link, link_text="Rendered test clips", key="rendered-page", description=ABOUT_PAGE)
    if version:
        notify(f"foreframe: {title}", verdict.reason)


def notify(title: str, body: str) -> None:
    """Send a message to the address in FOREFRAME_NOTIFY, if it is set; a message that is lost stops nothing."""
    if address := os.environ.get(NOTIFY):
        import apprise  # a quarter of a second, which a run without news does not need

        sender = apprise.Apprise()
        if not (sender.add(address) and sender.notify(title=title, body=body)):
            _warn("%s: the message was not delivered", NOTIFY)


def _warn(line: str, *arguments: object) -> None:
    try:
        get_run_logger().warning(line, *arguments)
    except MissingContextError:  # not in a run
        logger.warning(line, *arguments)


def trouble(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of Prefect for runs that fail, crash or are cancelled: notify."""
    notify(f"foreframe: {flow.name} {state.name}", f"{flow_run.name}: {state.message}")


@contextmanager
def keeping_previous(stages: list[Stage]) -> Iterator[None]:
    """While `stages` run: the last run's figures are kept, for page and report, where they are to be measured anew.

    If the run fails before they are, PREVIOUS is as it was: it is a dependency of the stage that renders, and in git.
    """
    metrics = METRICS / figures.SUMMARY
    if not metrics.exists() or not any(stage.stale and str(metrics) in stage.outs for stage in stages):
        yield
        return
    before, last = PREVIOUS.read_bytes() if PREVIOUS.exists() else None, metrics.read_bytes()
    write_bytes(PREVIOUS, last)
    try:
        yield
    except BaseException:
        if metrics.exists() and metrics.read_bytes() == last:
            PREVIOUS.unlink() if before is None else write_bytes(PREVIOUS, before)
        raise


def _rows(
    scores: dict[str, Any], measured: dict[str, Any], intervals: dict[tuple[str, str], figures.Interval]
) -> dict[str, dict[str, figures.Cell]]:
    """What each method has in each metric, as on the page: the candidate, the champion that it was compared with, and
    the non-learned baselines; metrics that one of them lacks are left out.
    """
    found = {"model": scores["candidate"]["means"]}
    if current := scores.get("champion"):
        method = f"champion {current['version']}"
        found[method] = current["means"]
        intervals = intervals | {(method, name): (low, high) for name, (low, high) in current["intervals"].items()}
    found |= {name: row for name, row in measured.items() if isinstance(row, dict) and name != "model"}
    names = [name for name in MEASURES if all(name in row for row in found.values())]
    shown = {method: {name: row[name] for name in names} for method, row in found.items()}
    headings = [metric.column for metric in figures.columns(shown)]
    return {
        "candidate" if method == "model" else figures.label(method): dict(zip(headings, cells, strict=True))
        for method, cells in figures.cells(shown, intervals).items()
    }


def _table_of_metrics(rows: dict[str, dict[str, figures.Cell]]) -> str:
    """A Markdown table with each method's intervals in a line below its figures: beside them it would be too wide."""
    lines = []
    for method, row in rows.items():
        lines.append({"method": method, **{heading: cell.text for heading, cell in row.items()}})
        if any(cell.interval for cell in row.values()):
            lines.append({"method": "", **{heading: cell.interval for heading, cell in row.items()}})
    return table(lines)


def _markdown(
    verdict: Verdict,
    stages: list[Stage],
    outcome: dict[str, str],
    rows: dict[str, dict[str, figures.Cell]],
    measured: dict[str, Any],
    refused: Sequence[str] = (),
) -> str:
    """The text of the report: verdict, preview, table, then all else; the dashboard shows its title above it."""
    changes = [change for stage in stages for change in stage.changes]
    shown = "; ".join(changes[:MOST_CHANGES]) + (" …" if len(changes) > MOST_CHANGES else "")
    lines = [f"**{verdict.reason}.**", ""]
    if measured.get("better_than_start") is False:
        why = f": {measured['start_kept_because']}" if measured.get("start_kept_because") else ""
        lines += [
            f"Training was not surely better than its start, the candidate has the weights that it began with{why}.",
            "",
        ]
    if refused:
        lines += [
            "Its parameters, outputs and page left the workspace with it. From DVC's cache, without training anew, "
            "this brings them back:",
            "",
            f"    python -m flows.repro {' '.join(f'-S {shlex.quote(override)}' for override in refused)}",
            "",
        ]
    preview, sheet = (_picture(RENDERS / name) for name in PICTURES)
    lines += [preview, "", "## Metrics on today's test clips", "", _table_of_metrics(rows), ""]
    if any(cell.interval for row in rows.values() for cell in row.values()):
        lines += ["Below each mean: its 95 % interval, for which videos are drawn anew (bootstrap).", ""]
    ahead = figures.ahead(measured)
    lines += [f"A baseline is ahead in {', '.join(ahead)}." if ahead else "No baseline is ahead in any metric.", ""]
    lines += ["## Since the last run", "", f"Changed: {shown or 'nothing'}.", "", _changes(measured)]
    lines += ["", "## Test clips", "", sheet]
    lines += ["", "## Stages", "", table([{"stage": name, "state": state} for name, state in outcome.items()])]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with the keys of `rows` as its header; what would end a cell or a line is escaped."""
    cells = [{name: str(cell).replace("|", "\\|").replace("\n", " ") for name, cell in row.items()} for row in rows]
    return tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True)


def _changes(measured: dict[str, Any]) -> str:
    """How the model's means differ from those of the last run, as a table; empty where that is not known."""
    changes = figures.changes(measured, figures.read_previous(METRICS))
    return table(
        [{"": c.heading, "before": c.before, "now": c.now, "change": f"{c.change} ({c.verdict})"} for c in changes]
    )


def _picture(path: Path) -> str:
    """The picture in Markdown, made to fit; in its place a line where it is damaged."""
    if not path.exists():
        return ""
    from pipeline.pages.shrinking import fitted  # NumPy and Pillow

    try:
        content, kind = fitted(path, MOST_BYTES)
    except OSError as error:
        return f"{path} cannot be shown ({error}).\n"
    return f"![{path.stem}](data:{kind};base64,{base64.b64encode(content).decode()})\n"
