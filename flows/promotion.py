"""Makes a model directory the champion, all or nothing: push, store, commit, tag, then switch.

A journal, models/promoting.json, names what a promotion is about to do. Whatever stops it (an error, SIGKILL, a power
cut), `champions.settle` takes back what the journal names. The switch is the last step: before it the old champion is
in force, after it the new one.
"""

import tempfile
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction, transaction

from flows import champions, version_tags
from flows.git import git, signature
from flows.prefect_dvc import command, graph
from pipeline import model_versions


def promote(candidate: Path, facts: dict[str, Any], tracked: list[str], message: str, *, commit: bool) -> str:
    """Inside a flow: make the model in `candidate` the champion; returns the version's name.

    `facts` go into the version's record. `tracked` are the files that describe the model (dvc.lock, metrics and so on);
    they are committed on the current branch if `commit`. Raises what went wrong, with champion, branch and tags as they
    were.
    """
    push()  # first, so that no commit or tag names what the remote lacks
    with model_versions.locked(), transaction():
        version = store(candidate, facts)
        revision = record_revision(version, tracked, message, commit)
        tag(version, revision, message)
        switch(version)
    return version


@task(cache_policy=NO_CACHE, task_run_name="push")
def push() -> None:
    """Send data and models to the remote, where one is set; they are of use there, promoted or not."""
    if graph.has_remote():
        command.run("push")


@task(cache_policy=NO_CACHE, task_run_name="store")
def store(candidate: Path, facts: dict[str, Any]) -> str:
    """Store a copy of the candidate as a version that is not in force yet; returns its name."""
    champions.take_back()  # of a promotion that was killed
    version = model_versions.store(candidate, facts, taken=version_tags.versions())
    champions.note({"version": version, "head": git("rev-parse", "HEAD")})
    return version


@store.on_rollback
def take_back(_: Transaction) -> None:
    """Undo what this promotion has done so far, when one of its later tasks fails."""
    champions.take_back()


@task(cache_policy=NO_CACHE, task_run_name="record revision")
def record_revision(version: str, tracked: list[str], message: str, commit: bool) -> str:
    """A commit that holds what the model was made from; returns its hash.

    With `commit` the tracked files are committed on the branch. Where the branch still differs from the files on disk,
    because of uncommitted code for instance, the result is a further commit that no branch has, only the version's tag.
    """
    head = git("rev-parse", "HEAD")
    if commit:
        made = _commit(head, tracked, message, everything=False)
        if made != head:
            champions.note({"commit": made, "tracked": _committable(tracked)})
            git("update-ref", "-m", f"promote: {version}", "HEAD", made, head, **signature())
            git("add", "--", *_committable(tracked))
            head = made
    return _commit(head, tracked, message, everything=True)


@task(cache_policy=NO_CACHE, task_run_name="tag")
def tag(version: str, revision: str, message: str) -> None:
    """Register the version of the commit `revision` and assign it the champion's stage, both as git tags."""
    champions.note({"revision": revision, "tags_before": version_tags.tags()})
    version_tags.register(version, revision, message)
    version_tags.assign(version, message)


@task(cache_policy=NO_CACHE, task_run_name="switch")
def switch(version: str) -> None:
    """Put the version in force: one rename."""
    model_versions.activate(version)
    champions.JOURNAL.unlink()


def _commit(parent: str, tracked: list[str], message: str, *, everything: bool) -> str:
    """Commit `tracked` (or, with `everything`, every file that git knows) as it is on disk; returns the commit's hash.

    `parent` where that changes nothing. Made with an index of its own: what the user has staged, and the branch, stay
    as they are.
    """
    with tempfile.TemporaryDirectory() as directory:
        index = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
        git("read-tree", parent, **index)
        git("add", "--", *_committable(tracked), **index)
        if everything:
            git("add", "--update", ":/", **index)
        tree = git("write-tree", **index)
    if tree == git("rev-parse", f"{parent}^{{tree}}"):
        return parent
    return git("commit-tree", tree, "-p", parent, "-m", message, **signature())


def _committable(paths: list[str]) -> list[str]:
    """Those of `paths` that are there and that git does not ignore."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--", *paths).splitlines()
    return sorted({path for path in listed if Path(path).exists()})
