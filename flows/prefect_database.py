"""Keeps Prefect's database and the embedded server's log from growing: old runs go, free pages go back to the disk."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from flows.running_server import home

FLOWS = ["compare", "generate", "monitor", "repro", "retrain", "tidy"]  # ours: others may use the same server
BATCH = 50  # runs whose artifacts are asked for at once
MOST_RUNS = 5000  # that one tidying deletes, some minutes' work; the next goes on
MEGABYTE = 1_000_000


def delete_runs(days: float, *, dry_run: bool) -> list[str]:
    """Delete runs of our flows that ended more than `days` ago through the API in force, whatever its database.

    With a run go its tasks' runs and its logs (the server does that) and its artifacts. Events are deleted by the
    server alone, after PREFECT_SERVER_EVENTS_RETENTION_PERIOD. The newest run of every flow that was due stays: by it
    flows/deploy.py knows whether one was missed.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    with get_client(sync_client=True) as client:
        kept = {run.id for name in FLOWS for run in _newest(client, name)}
        runs = [run for run in _ended(client, before) if run.id not in kept]
        for start in range(0, 0 if dry_run else len(runs), BATCH):
            batch = [run.id for run in runs[start : start + BATCH]]
            _delete_artifacts(client, batch)
            for identity in batch:
                try:
                    client.delete_flow_run(identity)
                except ObjectNotFound:
                    continue  # somebody was faster
    return [f"run {run.name} of {run.end_time:%Y-%m-%d %H:%M}" for run in runs]


def _newest(client: SyncPrefectClient, flow: str) -> list[FlowRun]:
    ended = FlowRunFilter(end_time=FlowRunFilterEndTime(is_null_=False))
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=ended,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=1,
    )


def _ended(client: SyncPrefectClient, before: datetime) -> Iterator[FlowRun]:
    """Our runs that ended before a time, the oldest MOST_RUNS."""
    for offset in range(0, MOST_RUNS, 200):
        page = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=FLOWS)),
            flow_run_filter=FlowRunFilter(end_time=FlowRunFilterEndTime(before_=before)),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=200,
            offset=offset,
        )
        yield from page
        if len(page) < 200:
            return


def _delete_artifacts(client: SyncPrefectClient, runs: list[UUID]) -> None:
    made_by = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs))
    while found := client.read_artifacts(artifact_filter=made_by, limit=100):
        for artifact in found:
            try:
                client.delete_artifact(artifact.id)
            except ObjectNotFound:
                continue


def compact(database: Path | None = None) -> bool:
    """Give free pages of the embedded server's SQLite file back to the disk; False where there is nothing to gain.

    Deleted rows leave free pages, which later rows fill, so that a file stays as large as it once was. Only where no
    process has the file open: SQLite refuses EXCLUSIVE mode while another connection holds its shared lock.
    """
    database = home() / "prefect.db" if database is None else database
    if not database.is_file():
        return False
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            (pages,), (free,) = (
                connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count")
            )
            if free * 4 < pages:
                return False
            connection.execute("VACUUM")
        except sqlite3.OperationalError:  # in use, or no space for the copy: it stays as it is
            return False
    return True


def rotate_log(megabytes: float | None, log: Path | None = None, *, dry_run: bool = False) -> list[str]:
    """Move what is in server.log to server.log.1, its end at most, where it is larger than `megabytes`.

    The server has the file open to append to it, so it is emptied in place.
    """
    log = home() / "server.log" if log is None else log
    if megabytes is None or not log.is_file() or log.stat().st_size <= megabytes * MEGABYTE:
        return []
    size = log.stat().st_size
    if not dry_run:
        with log.open("rb") as source, log.with_name(f"{log.name}.1").open("wb") as target:
            source.seek(max(0, size - int(megabytes * MEGABYTE)))
            shutil.copyfileobj(source, target)
        os.truncate(log, 0)
    return [f"{log} ({size / MEGABYTE:.1f} MB)"]
