"""Puts a candidate in force, all or nothing: pushed, stored, committed, tagged in DVC's registry, then switched.

A journal says what was begun. Whatever stops a promotion, an error, SIGKILL or a power cut, `settle` takes back what
the journal names; the switch is its last step, so before it the old champion is in force and after it the new one.
"""

import importlib
import json
import logging.config
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction, transaction

from flows import repro
from pipeline import registry
from pipeline.errors import PipelineError
from pipeline.runtime.files import write_json

ARTIFACT = "generator"  # the entry of dvc.yaml's `artifacts:`
STAGE = "champion"
JOURNAL = registry.MODELS / "promoting.json"
ROBOT = ("foreframe", "foreframe@localhost")  # signs where git knows nobody


def promote(candidate: Path, facts: dict[str, Any], tracked: list[str], message: str, *, commit: bool) -> str:
    """Inside a flow: make the model in `candidate` the champion; gives the version's name.

    `facts` go into its record, `tracked` are the files that describe it (dvc.lock, metrics …), committed on the current
    branch if `commit`. Raises what went wrong, with the champion, the branch and the tags as they were.
    """
    push()  # first, so that no commit or tag names what the remote lacks
    with registry.locked(), transaction():
        name = keep(candidate, facts)
        revision = write_down(name, tracked, message, commit)
        tag(name, revision, message)
        switch(name)
    return name


def settle() -> None:
    """Take back what a promotion that was killed had begun, and make the registry's tags name the champion."""
    with registry.locked():
        _undo()
        _align()


def rollback() -> str:
    """Put the version before the champion in force again; gives its name. ModelError where there is none."""
    settle()
    name = registry.rollback()
    settle()
    return name


@task(cache_policy=NO_CACHE, task_run_name="keep")
def keep(candidate: Path, facts: dict[str, Any]) -> str:
    """Store a copy of the candidate as a version that is not in force yet."""
    _undo()  # of a run that was killed
    name = registry.store(candidate, facts, taken=[tag.partition("@")[2] for tag in _tags("@v*")])
    _note({"version": name, "head": _git("rev-parse", "HEAD")})
    return name


@keep.on_rollback
def take_back(_: Transaction) -> None:
    """Undo what this promotion has done so far, when a later task of it fails."""
    _undo()


@task(cache_policy=NO_CACHE, task_run_name="push")
def push() -> None:
    """Send data and models to the remote, where one is set; they are of use there, promoted or not."""
    if repro.has_remote():
        repro.dvc("push")


@task(cache_policy=NO_CACHE, task_run_name="write down")
def write_down(name: str, tracked: list[str], message: str, commit: bool) -> str:
    """A revision that holds what the model was made from: of the branch if `commit`, beside it where that lacks it."""
    head = _git("rev-parse", "HEAD")
    if commit:
        made = _commit(head, tracked, message, everything=False)
        if made != head:
            _note({"commit": made, "tracked": _known(tracked)})
            _git("update-ref", "-m", f"promote: {name}", "HEAD", made, head)
            _git("add", "--", *_known(tracked))
            head = made
    return _commit(head, tracked, message, everything=True)


@task(cache_policy=NO_CACHE, task_run_name="tag")
def tag(name: str, revision: str, message: str) -> None:
    """Register the version with DVC's registry (GTO tags) and assign it the champion's stage."""
    author, address = _signer()
    _note({"revision": revision, "tags_before": _tags("*")})
    _gto().register(
        ".", ARTIFACT, revision, version=name, message=message, force=True, author=author, author_email=address
    )
    _assign(name, message)


@task(cache_policy=NO_CACHE, task_run_name="switch")
def switch(name: str) -> None:
    """Put the version in force: one rename."""
    registry.activate(name)
    JOURNAL.unlink()


def _note(facts: dict[str, Any]) -> None:
    """Add to the journal, before what it names is done."""
    known = json.loads(JOURNAL.read_text()) if JOURNAL.exists() else {}
    write_json(JOURNAL, {**known, **facts})


def _undo() -> None:
    if not JOURNAL.exists():
        return
    journal = json.loads(JOURNAL.read_text())
    current = registry.champion()
    if current is None or current.name != journal["version"]:
        if "tags_before" in journal:
            pointing = _tags("*", "--points-at", journal["revision"])
            for made in sorted(set(pointing) - set(journal["tags_before"])):
                _git("tag", "--delete", made)
        if "commit" in journal and _git("rev-parse", "HEAD") == journal["commit"]:
            _git("update-ref", "HEAD", journal["head"], journal["commit"])
            _git("reset", "--quiet", "--", *journal["tracked"])
        registry.discard(journal["version"])
    JOURNAL.unlink()


def _align() -> None:
    """Where the champion was switched without the tags (`foreframe rollback`), assign it the stage."""
    current = registry.champion()
    if current is None or f"{ARTIFACT}@{current.name}" not in _tags("@*"):
        return
    assigned = _gto().show(".", f"{ARTIFACT}#{STAGE}")
    if not assigned or assigned[0]["version"] != current.name:
        _assign(current.name, f"{current.name} is in force again")


def _gto() -> Any:
    """The module gto.api, imported when it is first needed: a quarter of a second, and most runs promote nothing."""
    # on import it sets up logging anew, which closes all handlers there are: Prefect's waits for a thread, and that for
    # the lock that logging holds, until five seconds are over
    configure, logging.config.dictConfig = logging.config.dictConfig, lambda config: None
    try:
        return importlib.import_module("gto.api")
    finally:
        logging.config.dictConfig = configure


def _assign(name: str, message: str) -> None:
    author, address = _signer()
    _gto().assign(".", ARTIFACT, STAGE, version=name, message=message, force=True, author=author, author_email=address)


def _commit(parent: str, tracked: list[str], message: str, *, everything: bool) -> str:
    """A commit on `parent` with `tracked` as they are on disk, or every file that git knows; `parent` if equal.

    Made with an index of its own: what the user has staged, and the branch, stay as they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", parent, **index)
        _git("add", "--", *_known(tracked), **index)
        if everything:
            _git("add", "--update", ":/", **index)
        tree = _git("write-tree", **index)
    if tree == _git("rev-parse", f"{parent}^{{tree}}"):
        return parent
    return _git("commit-tree", tree, "-p", parent, "-m", message)


def _known(paths: list[str]) -> list[str]:
    """Those of `paths` that are there and that git does not ignore."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard", "--", *paths).splitlines()
    return sorted({path for path in listed if Path(path).exists()})


def _tags(pattern: str, *options: str) -> list[str]:
    return _git("tag", *options, "--list", f"{ARTIFACT}{pattern}").splitlines()


def _signer() -> tuple[str, str]:
    """Name and address of who commits: git's own, else ours, so that a machine without an identity can promote."""
    if subprocess.run(["git", "var", "GIT_COMMITTER_IDENT"], capture_output=True, check=False).returncode:
        return ROBOT
    name, _, rest = _run_git(["var", "GIT_COMMITTER_IDENT"], {}).partition(" <")
    return name, rest.partition(">")[0]


def _git(*arguments: str, **environment: str) -> str:
    """What git prints; PipelineError with what it complains of where it fails."""
    if arguments[0] in ("commit-tree", "update-ref"):  # they ask who it is
        for role in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{role}_NAME"], environment[f"GIT_{role}_EMAIL"] = _signer()
    return _run_git(list(arguments), environment)


def _run_git(arguments: list[str], environment: dict[str, str]) -> str:
    result = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if result.returncode:
        raise PipelineError(f"git {' '.join(arguments[:2])}: {result.stderr.strip()}")
    return result.stdout.strip()
