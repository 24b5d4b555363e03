"""The report of a retrain run on the dashboard, with pictures and tables; and notifications."""

import base64
import os
from pathlib import Path
from typing import Any

import apprise
from prefect import Flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from tabulate import tabulate

from flows.dvc_graph import Stage
from pipeline.errors import DataError
from pipeline.model_versions import Verdict
from pipeline.runtime.files import read_json

NOTIFY = "FOREFRAME_NOTIFY"  # environment variable: an Apprise address; it may hold a password, so it is no parameter
PAGES = "FOREFRAME_PAGES"  # environment variable: where flows/deploy.py serves data/renders
RENDERS = Path("data/renders")
METRICS = Path("data/metrics/metrics.json")
PICTURES = {"preview.webp": "image/webp", "sheet.png": "image/png"}
MOST_BYTES = 350_000  # of a picture: from 2 MB on the server refuses the event of an artifact
MOST_CHANGES = 8  # that are told


def publish(
    verdict: Verdict, version: str | None, stages: list[Stage], outcome: dict[str, str], scores: dict[str, Any]
) -> None:
    """Inside a flow: publish report, metrics and a link to the rendered page as artifacts; notify of a promotion."""
    measured = read_metrics()
    rows = _rows(scores, measured)
    title = f"{version} is the new champion" if version else "The champion stays"
    never_better = measured.get("better_than_start") is False
    create_markdown_artifact(_markdown(verdict, stages, outcome, rows, never_better), key="report", description=title)
    create_table_artifact(rows, key="metrics", description="On today's test clips, means over the horizon")
    page = RENDERS / "index.html"
    if page.exists():
        link = f"{os.environ[PAGES]}/{page.name}" if PAGES in os.environ else page.resolve().as_uri()
        create_link_artifact(link, link_text="Rendered test clips", key="rendered-page")
    if version:
        notify(f"foreframe: {title}", verdict.reason)


def read_metrics() -> dict[str, Any]:
    """The figures of the model and of the baselines; DataError where the file is missing or damaged."""
    remedy = "run `dvc repro --force evaluate`"
    try:
        content = read_json(METRICS)
    except OSError as error:
        raise DataError(f"{METRICS}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise DataError(f"{METRICS}: is damaged ({' '.join(str(error).split())}); {remedy}") from error
    if not (isinstance(content, dict) and isinstance(content.get("model"), dict)):
        raise DataError(f"{METRICS}: is damaged (no figures of the model); {remedy}")
    return content


def notify(title: str, body: str) -> None:
    """Send a message to the address in FOREFRAME_NOTIFY, if it is set; a message that is lost stops nothing."""
    if address := os.environ.get(NOTIFY):
        sender = apprise.Apprise()
        if not (sender.add(address) and sender.notify(title=title, body=body)):
            get_run_logger().warning("%s: the message was not delivered", NOTIFY)


def trouble(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of Prefect for runs that fail, crash or are cancelled: notify."""
    notify(f"foreframe: {flow.name} {state.name}", f"{flow_run.name}: {state.message}")


def _rows(scores: dict[str, Any], measured: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per method: the candidate, the champion that it was compared with, and the non-learned baselines."""
    from pipeline.data.task import Predict  # torch takes two seconds to import

    rows = [{"method": "candidate", **scores["candidate"]["means"]}]
    if champion := scores.get("champion"):
        rows.append({"method": f"champion {champion['version']}", **champion["means"]})
    rows += [{"method": name, **row} for name, row in measured.items() if isinstance(row, dict) and name != "model"]
    return [{"method": row["method"], **{name: f"{row[name]:.4g}" for name in Predict.metrics}} for row in rows]


def _markdown(
    verdict: Verdict, stages: list[Stage], outcome: dict[str, str], rows: list[dict[str, Any]], never_better: bool
) -> str:
    """The text of the report; the dashboard shows its title above it."""
    changes = [change for stage in stages for change in stage.changes]
    shown = "; ".join(changes[:MOST_CHANGES]) + (" …" if len(changes) > MOST_CHANGES else "")
    lines = [f"**{verdict.reason}.**", ""]
    if never_better:
        lines += ["Training never got better than its start: the candidate has the weights that it began with.", ""]
    lines += [f"Changed since the last run: {shown or 'nothing'}.", ""]
    preview, sheet = (_picture(RENDERS / name, kind) for name, kind in PICTURES.items())
    lines += [preview, "", "## Metrics on today's test clips", "", table(rows)]
    lines += ["", "## Test clips", "", sheet]
    lines += ["", "## Stages", "", table([{"stage": name, "state": state} for name, state in outcome.items()])]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with the keys of `rows` as its header; what would end a cell or a line is escaped."""
    cells = [{name: str(cell).replace("|", "\\|").replace("\n", " ") for name, cell in row.items()} for row in rows]
    return tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True)


def _picture(path: Path, kind: str) -> str:
    if not path.exists():
        return ""
    if path.stat().st_size > MOST_BYTES:
        return f"{path} is too large to be shown here.\n"
    return f"![{path.stem}](data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()})\n"
