"""Stages of a dvc.yaml as tasks of a Prefect run, each with its log, its progress and its outputs."""

import re
import time
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from prefect import Task, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.prefect_dvc import disks
from flows.prefect_dvc.assets import asset, describe
from flows.prefect_dvc.graph import Stage
from flows.prefect_dvc.guards import Guards, StageError
from pipeline import dvc_lock
from pipeline.errors import DataError

THREADS: TaskRunner[Any] = ThreadPoolTaskRunner()
LAST_LINES = 20  # of a failed stage's log, told in its state
LOCK_READS = 10
PROGRESS = re.compile(r"\b(?:step|epoch) (\d+)/(\d+)\b")


def run(stages: list[Stage], project: Path = Path()) -> dict[str, str]:
    """Inside a flow: bring `stages` of a project up to date, independent ones side by side; returns each state's name.

    Raises StageError where one fails; those that do not depend on it are finished first. Whatever ends the flow ends
    the stages.
    """
    guards = Guards(project)
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        for stage in stages:
            upstream = [futures[name] for name in stage.needs]
            futures[stage.name] = _as_task(stage, project).submit(stage, guards, wait_for=upstream)
        for future in futures.values():
            future.wait()
    finally:
        guards.stop()
    states = {name: future.state for name, future in futures.items()}
    if failed := [name for name, state in states.items() if state.is_failed() or state.is_crashed()]:
        left = [name for name, state in states.items() if not state.is_final()]
        messages = "\n".join(str(states[name].message) for name in failed)
        raise StageError(f"failed: {', '.join(failed)}; not run: {', '.join(left) or 'none'}\n{messages}")
    return {name: str(state.name) for name, state in states.items()}


def _as_task(stage: Stage, project: Path) -> Task[Any, Any]:
    """A task of its own for every stage, so that each has its name, and its outputs are assets."""
    options: dict[str, Any] = {"name": stage.name, "task_run_name": stage.name, "cache_policy": NO_CACHE}
    if not stage.outs:
        return task(**options)(reproduce)
    return materialize(*(asset(out, project) for out in stage.outs), by="dvc", **options)(reproduce)


def reproduce(stage: Stage, guards: Guards) -> State:
    """Bring one stage up to date: Cached where DVC finds nothing to do, else its output goes to this task's log."""
    if not stage.stale:
        return Completed(name="Cached", message="nothing that it depends on has changed")
    logger = get_run_logger()
    last: deque[str] = deque(maxlen=LAST_LINES)
    ran, progress = False, None
    process = guards.start(stage.order)
    for line in _lines(process.stdout):
        logger.info("%s", line)
        last.append(line)
        ran = ran or line.startswith(f"Running stage '{stage.name}'")
        if match := PROGRESS.search(line):
            progress = _show_progress(stage.name, progress, 100 * int(match[1]) / int(match[2]))
    status = process.wait()
    if status != 0:
        said = [f"{stage.name} ended with status {status}; its last lines:", *last]
        raise StageError("\n".join([*said, *disks.refusals(guards.project)]))
    if not ran and stage.in_lock:
        check_restored(stage.outs, guards.project)
    describe(stage, guards.project)
    if not ran:
        return Completed(name="Cached", message="DVC had its result already")
    return Completed(message="; ".join(stage.changes) or "what it depends on has changed")


def check_restored(paths: Collection[str], project: Path = Path()) -> None:
    """Raises DataError where what DVC has restored is not what dvc.lock names: DVC does not look itself."""
    for _ in range(LOCK_READS):
        faults = list(dvc_lock.restored_faults(project, paths))
        if not any(fault.startswith(f"{project / dvc_lock.LOCK}: ") for fault in faults):
            break
        time.sleep(0.5)  # DVC writes dvc.lock in place, perhaps at this moment for a stage beside this one
    if faults:
        raise DataError("\n".join(["what DVC restored is damaged:", *faults]))


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines as they come; of a progress bar, which ends its lines with a carriage return, only the last state."""
    for raw in stream:
        line = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
        if line.strip():
            yield line


def _show_progress(stage: str, artifact: Any, percent: float) -> Any:
    """Update the progress bar `artifact` on the run's page, or make it if it is None; returns it."""
    if artifact is None:
        key = re.sub(r"[^a-z0-9]+", "-", f"{stage} progress".lower()).strip("-")
        return create_progress_artifact(percent, key=key, description=f"Progress of {stage}")
    update_progress_artifact(artifact, percent)
    return artifact
