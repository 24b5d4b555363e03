"""The DVC graph as a Prefect run: every stage of dvc.yaml is a task; the only caller of DVC that runs anything."""

import argparse
import fcntl
import os
import re
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any

from dvc.dependency.param import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from prefect import Task, flow, get_run_logger, runtime, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from ruamel.yaml import YAML

from flows import at_the_prompt
from flows.guard import DVC, Order
from pipeline.errors import ParamsError, PipelineError
from pipeline.params import Params, load_params, parse_params
from pipeline.runtime.files import replacing, write_bytes

PARAMS = Path("params.yaml")
THREADS: TaskRunner[Any] = ThreadPoolTaskRunner()
LAST_LINES = 20  # of a failed stage's log, told in its state
NULL = "tag:yaml.org,2002:null"
PROGRESS = re.compile(r"\b(?:step|epoch) (\d+)/(\d+)\b")


class StageError(PipelineError):
    """A stage ended with an error; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Stage:
    """A stage as DVC sees it now."""

    name: str
    needs: tuple[str, ...]  # the stages that write what it reads
    changes: tuple[str, ...]  # what DVC says has changed since it last ran; empty: nothing
    stale: bool  # it has changes, or one that it needs has
    outs: tuple[str, ...]
    stored: tuple[str, ...]  # of the outs, those that DVC's cache or remote can give back
    order: Order


def plan(targets: list[str] | None = None) -> list[Stage]:
    """The stages of dvc.yaml (of `targets` and what they need, where given), each after all that it needs.

    Reads only. Raises PipelineError where DVC cannot make sense of dvc.yaml, a target is no stage, or a stage reads
    what is not there.
    """
    try:
        return _plan(targets)
    except DvcException as error:
        raise PipelineError(f"dvc.yaml: {error}") from error


def _plan(targets: list[str] | None) -> list[Stage]:
    with Repo(".", _wait_for_lock=True) as repo:
        graph = repo.index.graph
        names = {node: node.addressing for node in graph}
        wanted = set(names.values())
        if unknown := sorted(set(targets or []) - wanted):
            raise PipelineError(f"dvc.yaml: no stage {', '.join(unknown)} (there are: {', '.join(sorted(wanted))})")
        needs = {names[node]: tuple(sorted(names[up] for up in graph.successors(node))) for node in graph}
        never = {names[node] for node in graph if not any(out.hash_info for out in node.outs)}
        changes = {
            name: ("has not run here yet",) if name in never else tuple(_reasons(entries))
            for name, entries in repo.status().items()
        }
        missing = {names[node]: _missing(node, graph) for node in graph}
        orders = {names[node]: _order(node) for node in graph}
        outs = {names[node]: tuple(sorted(str(out) for out in node.outs)) for node in graph}
        stored = {
            names[node]: tuple(sorted(str(out) for out in node.outs if out.use_cache and out.hash_info))
            for node in graph
        }
    stages: dict[str, Stage] = {}

    def add(name: str) -> None:
        if name not in stages:
            for up in needs[name]:
                add(up)
            stale = name in changes or any(stages[up].stale for up in needs[name])
            stages[name] = Stage(
                name, needs[name], changes.get(name, ()), stale, outs[name], stored[name], orders[name]
            )

    for name in targets or sorted(needs):
        add(name)
    for name in stages:
        if missing[name]:
            raise PipelineError(f"{missing[name]}: there is no such file or folder, and stage {name} reads it")
    return list(stages.values())


def _missing(node: Any, graph: Any) -> str:
    """The first thing that a stage reads, no stage writes and nobody has put there; empty if there is none."""
    outs = [Path(str(out)) for other in graph for out in other.outs]
    for dep in sorted(node.deps, key=str):
        path = Path(str(dep))
        made = any(
            path in (out, *out.parents) or out in path.parents for out in outs
        )  # or parts of it, or what holds it
        if isinstance(dep, ParamsDependency) or dep.exists or made:
            continue
        return f"{_key(path)}{path}"
    return ""


def _key(path: Path) -> str:
    """Where params.yaml names `path`, to be put before it."""
    return f"{PARAMS}: data.videos: " if PARAMS.exists() and load_params(PARAMS).data.videos == str(path) else ""


def _order(node: Any) -> Order:
    # outputs that persist are not deleted by DVC, and keep what a stopped stage has done so far
    outs = sorted((out for out in node.outs if not out.persist), key=str)
    return Order(
        stage=node.addressing,
        cached=[str(out) for out in outs if out.use_cache and out.hash_info],
        uncached={str(out): out.hash_info.value for out in outs if not out.use_cache and out.hash_info},
    )


def _reasons(entries: list[Any]) -> Iterator[str]:
    """DVC's nested status in lines such as `videos: modified`."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for what in entry.values():
            if not isinstance(what, dict):
                yield str(what)
                continue
            for path, state in what.items():
                yield f"{path}: {', '.join(state) if isinstance(state, dict) else state}"


def asset(path: str) -> str:
    """Prefect's key for an output; it takes few characters."""
    return f"dvc://foreframe/{re.sub(r'[^A-Za-z0-9_./-]', '_', path)}"


class Guards:
    """The stages of one flow run that are running; all are stopped together."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.stopped = False
        self.processes: set[subprocess.Popen[bytes]] = set()

    def start(self, order: Order) -> subprocess.Popen[bytes]:
        """Start a stage; it ends when this process does."""
        with self.lock:
            if self.stopped:
                raise StageError(f"{order.stage}: not started, the run was stopped")
            process = subprocess.Popen(
                order.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            self.processes.add(process)
        return process

    def stop(self) -> None:
        """Stop every stage and wait until nothing of it is left."""
        with self.lock:
            self.stopped = True
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self.processes:
            process.wait()


def reproduce(stage: Stage, guards: Guards) -> State:
    """Bring one stage up to date: Cached where DVC finds nothing to do, else its output goes to this task's log."""
    if not stage.stale:
        return Completed(name="Cached", message="nothing that it depends on has changed")
    logger = get_run_logger()
    last: deque[str] = deque(maxlen=LAST_LINES)
    ran, progress = False, None
    process = guards.start(stage.order)
    assert process.stdout is not None
    for line in _lines(process.stdout):
        logger.info("%s", line)
        last.append(line)
        ran = ran or line.startswith(f"Running stage '{stage.name}'")
        if match := PROGRESS.search(line):
            progress = _show_progress(stage.name, progress, 100 * int(match[1]) / int(match[2]))
    status = process.wait()
    if status != 0:
        raise StageError("\n".join([f"{stage.name} ended with status {status}; its last lines:", *last]))
    if not ran:
        return Completed(name="Cached", message="DVC had its result already")
    return Completed(message="; ".join(stage.changes) or "what it depends on has changed")


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines as they come; of a progress bar, which ends its lines with a carriage return, only the last state."""
    for raw in stream:
        line = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
        if line.strip():
            yield line


def _show_progress(stage: str, artifact: Any, percent: float) -> Any:
    if artifact is None:
        key = re.sub(r"[^a-z0-9]+", "-", f"{stage} progress".lower()).strip("-")
        return create_progress_artifact(percent, key=key, description=f"Progress of {stage}")
    update_progress_artifact(artifact, percent)
    return artifact


def _as_task(stage: Stage) -> Task[Any, Any]:
    """A task of its own for every stage, so that each has its name, and its outputs are assets."""
    options: dict[str, Any] = {"name": stage.name, "task_run_name": stage.name, "cache_policy": NO_CACHE}
    if not stage.outs:
        return task(**options)(reproduce)
    return materialize(*(asset(out) for out in stage.outs), by="dvc", **options)(reproduce)


def run(stages: list[Stage]) -> dict[str, str]:
    """Inside a flow: bring `stages` up to date, independent ones side by side; gives each one's state name.

    Raises StageError where one fails; those that do not depend on it are finished first. Whatever ends the flow ends
    the stages.
    """
    guards = Guards()
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        for stage in stages:
            upstream = [futures[name] for name in stage.needs]
            futures[stage.name] = _as_task(stage).submit(stage, guards, wait_for=upstream)
        for future in futures.values():
            future.wait()
    except BaseException:
        guards.stop()
        raise
    states = {name: future.state for name, future in futures.items()}
    if failed := [name for name, state in states.items() if state.is_failed() or state.is_crashed()]:
        left = [name for name, state in states.items() if not state.is_final()]
        messages = "\n".join(str(states[name].message) for name in failed)
        raise StageError(f"failed: {', '.join(failed)}; not run: {', '.join(left) or 'none'}\n{messages}")
    return {name: str(state.name) for name, state in states.items()}


def set_params(overrides: list[str], path: Path = PARAMS) -> Params:
    """Write `overrides`, such as `model.name=lstm`, into params.yaml, as `dvc exp run -S` does; comments stay.

    All of them, and all that the file holds besides, are checked before anything is written; gives what it holds then.
    Raises ParamsError, one line an override or key that is wrong.
    """
    if not overrides:
        return load_params(path)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    content = yaml.load(path)
    for override in overrides:
        key, found, text = override.partition("=")
        *parents, name = key.strip().split(".")
        section = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not found or not isinstance(section, dict) or name not in section:
            raise ParamsError(f"{override}: should be key=value with a key of {path}")
        section[name] = YAML().load(text)  # [8, 8] stays on its line
    params = parse_params(content, path)
    with replacing(path) as part:
        yaml.dump(content, part)
    return params


def prepare(overrides: list[str], targets: list[str] | None = None) -> tuple[Params, list[Stage]]:
    """Write `overrides` into params.yaml and plan; where that raises PipelineError, params.yaml is as it was."""
    before = PARAMS.read_bytes()
    params = set_params(overrides)
    try:
        return params, plan(targets)
    except PipelineError:
        write_bytes(PARAMS, before)
        raise


@contextmanager
def workspace() -> Iterator[None]:
    """One flow at a time redoes stages in this folder, whoever starts it; the kernel lets go when a process dies."""
    path = Path(".dvc/tmp/workspace.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def dvc(*arguments: str) -> None:
    """Inside a task: run a DVC command, its output to the log; raises PipelineError with what it said if it fails."""
    result = subprocess.run([*DVC, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    for line in (result.stdout + result.stderr).splitlines():
        get_run_logger().info("%s", line)
    if result.returncode:
        raise PipelineError(f"dvc {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")


def has_remote() -> bool:
    """Is a default remote set?"""
    with Repo(".") as repo:
        return "remote" in repo.config["core"]


def _name() -> str:
    return f"repro {' '.join(runtime.flow_run.parameters.get('targets') or ['all'])}"


@flow(name="repro", task_runner=THREADS, flow_run_name=_name)
def repro(targets: list[str] | None = None, overrides: list[str] | None = None) -> dict[str, str]:
    """Bring every stage of dvc.yaml up to date (or `targets` and what they need), with `overrides` in params.yaml."""
    with workspace():
        return run(prepare(overrides or [], targets)[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.repro", description="`dvc repro` as a Prefect run")
    parser.add_argument("targets", nargs="*", help="stages to bring up to date, with what they need (default: all)")
    parser.add_argument("-S", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    at_the_prompt(repro, arguments.targets or None, arguments.overrides)
