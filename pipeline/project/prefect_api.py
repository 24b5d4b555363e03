"""What Prefect knows of a project, without Prefect: its import takes longer than a person waits for a status."""

import os
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

LOCAL_API = "http://127.0.0.1:4200/api"  # flows/deploy.py's
ANSWERS_WITHIN_SECONDS = 0.7
RUNS = """
    select flow.name, flow_run.name, flow_run.state_name, state.message, flow_run.start_time
    from flow_run join flow on flow.id = flow_run.flow_id
    left join flow_run_state state on state.id = flow_run.state_id
    where flow_run.start_time is not null and flow_run.parent_task_run_id is null
    order by flow_run.start_time desc limit ?
"""
NEXT = """
    select flow.name, min(flow_run.expected_start_time)
    from flow_run join flow on flow.id = flow_run.flow_id
    where flow_run.state_type = 'SCHEDULED' and flow_run.expected_start_time > ?
    group by flow.name order by 2
"""


@dataclass(frozen=True)
class Run:
    """A run of a flow that has begun."""

    flow: str
    name: str
    state: str
    message: str  # why it ended so; empty where it did not say
    started: str  # UTC, such as 2026-11-27 03:00:00


def api_url() -> str:
    """Where Prefect's API is: as the environment says, else where `python -m flows.deploy` starts it."""
    return os.environ.get("PREFECT_API_URL", LOCAL_API)


def answers(url: str) -> bool:
    """Whether the API at `url` answers now. No proxy is asked: it cannot reach this machine's own names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if "127.0.0.1" in url else None))
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with opener.open(f"{url.rstrip('/')}/health", timeout=ANSWERS_WITHIN_SECONDS) as answer:
            return answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


def database(folder: Path) -> Path:
    """The database of the server that `python -m flows.deploy` starts in the project at `folder`."""
    return Path(os.environ.get("PREFECT_HOME", folder / ".prefect")) / "prefect.db"


def last_runs(path: Path, count: int) -> list[Run]:
    """The newest runs in the database at `path`, whether its server is up or not; none where there is no such file."""
    return [
        Run(flow, name, state or "", message or "", str(at)[:19])
        for flow, name, state, message, at in _ask(path, RUNS, count)
    ]


def next_runs(path: Path) -> dict[str, str]:
    """When each flow is due next, UTC, as its server has planned."""
    return {flow: str(at)[:19] for flow, at in _ask(path, NEXT, datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))}


def _ask(path: Path, query: str, value: object) -> list[tuple[str, ...]]:
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.5)) as connection:
            return connection.execute(query, (value,)).fetchall()
    except sqlite3.Error:  # another Prefect wrote it, or it is being written
        return []
