"""What DVC knows about a dvc.yaml: its stages, what each needs, what has changed, what can be fetched back.

The only module that reads DVC's internals. They are no public interface (DVC promises its command line, and of Python
`dvc.api`, which knows no stages), so pyproject.toml bounds DVC's version above; the tests in
tests/flows/prefect_dvc/test_graph.py say whether a newer one still fits. Everything here only reads, but for what
leftovers.py mends.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.dependency.base import Dependency
from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo

from flows.prefect_dvc import disks, leftovers
from flows.prefect_dvc.stage_process import Order
from pipeline.errors import PipelineError

NEVER_RAN = "has not run here yet"  # what has changed of a stage without results


class MissingDependency(PipelineError):
    """A stage reads `path`, which is not there and which no stage writes."""

    def __init__(self, path: Path, stage: str) -> None:
        super().__init__(f"{path}: there is no such file or folder, and stage {stage} reads it")
        self.path = path


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, or a .dvc file, and its state when the plan was made; paths are relative to the project."""

    name: str  # as `dvc repro` takes it: train, train@0-mlp, sub/dvc.yaml:train, data.xml.dvc
    needs: tuple[str, ...]  # the stages that write what it reads; of a frozen one none
    changes: tuple[str, ...]  # what DVC says has changed since it last ran; empty: nothing
    stale: bool  # it has changes, or one that it needs has
    outs: tuple[str, ...]
    stored: tuple[str, ...]  # of the outs, those that DVC's cache or remote can give back
    order: Order  # what to run, and what to put back if that fails
    in_lock: bool = True  # the project's dvc.lock names its outs; else that of another folder, or a .dvc file


def plan(targets: list[str] | None = None, project: Path = Path()) -> list[Stage]:
    """The stages of a project (of `targets` and what they need, where given), each after all that it needs.

    `project` is the folder of a DVC repository; all its dvc.yaml and .dvc files are in the plan.

    Raises PipelineError where DVC cannot make sense of dvc.yaml or a target is no stage, MissingDependency where a
    stage reads what is not there.
    """
    with _opened(project) as repo:
        stages = _mended(repo, lambda: _plan(repo, targets, repo.status()))
    leftovers.keep(project)
    return stages


def plan_changed(project: Path = Path()) -> list[Stage]:
    """As `plan`, but none where every stage of the project is up to date: then its graph, which takes longer than their
    states, is not drawn.
    """
    with _opened(project) as repo:
        stages = _mended(repo, lambda: _plan(repo, None, entries) if (entries := repo.status()) else [])
    leftovers.keep(project)
    return stages


def mend(project: Path) -> None:
    """Make whole what a DVC that was killed has left half-written, where anything is."""
    if leftovers.are_left(project):
        with _opened(project) as repo, lock_repo(repo):
            leftovers.mend(project)


def has_remote() -> bool:
    """Is a default remote set?"""
    with _opened(Path()) as repo:
        return "remote" in repo.config["core"]


@contextmanager
def _opened(project: Path) -> Iterator[Repo]:
    """A project as DVC sees it; PipelineError where DVC cannot make sense of it, or cannot write what it remembers."""
    try:
        with Repo(str(project), _wait_for_lock=True) as repo:
            yield repo
    except ConfigError as error:
        raise PipelineError(f"{project / '.dvc/config'} (or config.local beside it): {error}") from error
    except DvcException as error:
        raise PipelineError(f"{project / 'dvc.yaml'}: {error}") from error
    except RecursionError as error:  # of JSON, in the list of a folder's files
        raise PipelineError(
            f"{project / '.dvc/cache'}: an object is no list of files; `foreframe check` says which, and what to do"
        ) from error
    except sqlite3.Error as error:
        why = disks.refusals(project) or [f"remove {disks.notes()}, which DVC then begins anew"]
        raise PipelineError(f"what DVC remembers of files: {error}; {'; '.join(why)}") from error


def _mended(repo: Repo, read: Callable[[], list[Stage]]) -> list[Stage]:
    """What `read` reads of the project, once what a killed DVC left of its files is made whole."""
    project = Path(repo.root_dir)
    try:
        if not leftovers.is_emptied(project):
            return read()
    except DvcException:
        with lock_repo(repo):
            if not leftovers.mend(project):
                raise
    else:
        with lock_repo(repo):
            leftovers.mend(project)
    return read()


def _plan(repo: Repo, targets: list[str] | None, entries: dict[str, Any]) -> list[Stage]:
    """`entries` is DVC's status of the project."""
    graph = repo.index.graph  # its edges go from a stage to those that it needs
    nodes = {_name(node): node for node in graph}
    if unknown := sorted(set(targets or []) - nodes.keys()):
        raise PipelineError(f"dvc.yaml: no stage {', '.join(unknown)} (there are: {', '.join(sorted(nodes))})")
    status = {_name(node): entries[node.addressing] for node in graph if node.addressing in entries}
    planned: dict[str, Stage] = {}

    def add(name: str) -> None:
        if name in planned:
            return
        node = nodes[name]
        needs = () if node.frozen else tuple(sorted(_name(other) for other in graph.successors(node)))
        for need in needs:
            add(need)
        planned[name] = Stage(
            name=name,
            needs=needs,
            changes=_changes(node, status.get(name, [])),
            stale=name in status or any(planned[need].stale for need in needs),
            outs=tuple(sorted(_path(out) for out in node.outs)),
            stored=tuple(sorted(_path(out) for out in node.outs if out.use_cache and out.hash_info)),
            in_lock=_in_lock(node),
            order=_order(node),
        )

    for name in targets or sorted(nodes):
        add(name)
    written = [Path(_path(out)) for node in graph for out in node.outs]
    for name in planned:
        if missing := _missing(nodes[name], written):
            raise MissingDependency(missing, name)
    return list(planned.values())


def _changes(node: Any, entries: list[Any]) -> tuple[str, ...]:
    if entries and not any(out.hash_info for out in node.outs):
        return (NEVER_RAN,)
    return tuple(_lines(entries))


def _lines(entries: list[Any]) -> Iterator[str]:
    """DVC's nested status of one stage in lines such as `videos: modified`."""
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


def _name(node: Any) -> str:
    """What DVC calls a stage in the project's folder: its own `addressing` is from the current one."""
    file = os.path.relpath(node.path, node.repo.root_dir)
    name = getattr(node, "name", None)
    if name is None:  # of a .dvc file
        return file
    return name if file == PROJECT_FILE else f"{file}:{name}"


def _path(entry: Any) -> str:
    """Where an output or a dependency is, from the project's folder; the address of one elsewhere."""
    return os.path.relpath(entry.fs_path, entry.repo.root_dir) if entry.is_in_repo else str(entry)


def _in_lock(node: Any) -> bool:
    folders = {Path(node.wdir).resolve(), Path(node.path).parent.resolve()}
    return bool(node.cmd) and folders == {Path(node.repo.root_dir).resolve()}


def _order(node: Any) -> Order:
    outs = sorted(node.outs, key=_path)
    return Order(
        stage=_name(node),
        # outputs that persist are not deleted by DVC, and keep what a stopped stage has done so far
        cached=[_path(out) for out in outs if out.use_cache and out.hash_info and not out.persist],
        uncached={_path(out): out.hash_info.value for out in outs if not out.use_cache and out.hash_info},
        in_lock=_in_lock(node),
    )


def _missing(node: Any, written: list[Path]) -> Path | None:
    """The first thing that a stage reads and that neither is there nor will be; None if there is none.

    `written` are the outputs of all stages: what lies in one, holds one or is one will be there.
    """
    for dep in sorted(node.deps, key=str):
        if type(dep) is not Dependency or not dep.is_in_repo or dep.exists:
            continue  # parameters, imports, addresses: DVC looks itself
        path = Path(_path(dep))
        if not any(path in (out, *out.parents) or out in path.parents for out in written):
            return path
    return None
