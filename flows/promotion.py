"""Makes a model directory the champion, all or nothing: push, store, commit, tag, then switch.

A journal, models/promoting.json, names what a promotion is about to do. Whatever stops it (an error, SIGKILL, a power
cut), `settle` takes back what the journal names. The switch is the last step: before it the old champion is in force,
after it the new one.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction, transaction

from flows import version_tags
from flows.git import git, signature
from flows.prefect_dvc import command, graph
from pipeline import dvc_lock, model_versions
from pipeline.errors import ModelError, PipelineError
from pipeline.integrity import MODEL
from pipeline.model_versions import MODELS
from pipeline.runtime.files import read_json, write_json

JOURNAL = MODELS / "promoting.json"


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


def settle() -> None:
    """Take back what a promotion that was killed had begun, and make the registry's tags name the champion."""
    with model_versions.locked():
        _take_back()
        _align_tags()


def rollback() -> str:
    """Make the version before the champion the champion again; returns its name. ModelError where there is none.

    What git tags know and models/ has lost is brought back first.
    """
    settle()
    if model_versions.in_force() is None and version_tags.assigned():
        restore()
    try:
        version = model_versions.rollback()
    except ModelError:
        lost = version_tags.before(model_versions.in_force() or "")
        if lost is None or model_versions.is_whole(MODELS / lost):
            raise
        with model_versions.locked():
            _bring_back(lost)
        version = model_versions.rollback()
    settle()
    return version


def restore() -> str:
    """Bring the champion that git tags name back from DVC's cache or remote, or raise ModelError; returns its name."""
    with model_versions.locked():
        _take_back()
        version = version_tags.assigned()
        if version is None:
            raise ModelError(f"{MODELS}: git tags name no champion (`git tag --list 'generator#champion*'`)")
        if not model_versions.is_whole(MODELS / version):
            _bring_back(version)
        model_versions.activate(version)
    return version


def champion() -> Path | None:
    """The champion's model directory, whose bytes are those of its promotion; None where there is none.

    One that git tags know and models/ has lost is brought back. Raises ModelError where it is damaged, or lost for
    good: without it a worse model could be promoted.
    """
    if model_versions.champion() is None and (version := version_tags.assigned()):
        try:
            restore()
        except ModelError as error:
            raise ModelError(
                f"{MODELS}: the champion {version}, which git tags name, is not here ({error}); "
                f"`git tag '{version_tags.next_dismissal()}'` declares that there is none, to begin anew"
            ) from error
    current = model_versions.champion()
    if current is not None:
        model_versions.check(current)
    return current


@task(cache_policy=NO_CACHE, task_run_name="push")
def push() -> None:
    """Send data and models to the remote, where one is set; they are of use there, promoted or not."""
    if graph.has_remote():
        command.run("push")


@task(cache_policy=NO_CACHE, task_run_name="store")
def store(candidate: Path, facts: dict[str, Any]) -> str:
    """Store a copy of the candidate as a version that is not in force yet; returns its name."""
    _take_back()  # of a promotion that was killed
    version = model_versions.store(candidate, facts, taken=version_tags.versions())
    _note({"version": version, "head": git("rev-parse", "HEAD")})
    return version


@store.on_rollback
def take_back(_: Transaction) -> None:
    """Undo what this promotion has done so far, when one of its later tasks fails."""
    _take_back()


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
            _note({"commit": made, "tracked": _committable(tracked)})
            git("update-ref", "-m", f"promote: {version}", "HEAD", made, head, **signature())
            git("add", "--", *_committable(tracked))
            head = made
    return _commit(head, tracked, message, everything=True)


@task(cache_policy=NO_CACHE, task_run_name="tag")
def tag(version: str, revision: str, message: str) -> None:
    """Register the version of the commit `revision` and assign it the champion's stage, both as git tags."""
    _note({"revision": revision, "tags_before": version_tags.tags()})
    version_tags.register(version, revision, message)
    version_tags.assign(version, message)


@task(cache_policy=NO_CACHE, task_run_name="switch")
def switch(version: str) -> None:
    """Put the version in force: one rename."""
    model_versions.activate(version)
    JOURNAL.unlink()


def _note(facts: dict[str, Any]) -> None:
    """Add to the journal, before what it names is done."""
    known = _read_journal() if JOURNAL.exists() else {}
    write_json(JOURNAL, {**known, **facts})


def _read_journal() -> dict[str, Any]:
    try:
        journal = read_json(JOURNAL)
        if isinstance(journal, dict) and "version" in journal:
            return journal
    except ValueError:
        pass
    raise PipelineError(
        f"{JOURNAL}: is damaged, so that what a killed promotion began cannot be taken back; remove it, and, "
        "if `git tag --list 'generator@*'` lists a version that models/ lacks, delete that tag"
    )


def _take_back() -> None:
    """Undo what the journal names, unless its version is in force; then the journal goes."""
    if not JOURNAL.exists():
        return
    journal = _read_journal()
    if model_versions.in_force() != journal["version"]:
        if "tags_before" in journal:
            pointing = version_tags.tags("--points-at", journal["revision"])
            for made in sorted(set(pointing) - set(journal["tags_before"])):
                version_tags.delete(made)
        if "commit" in journal and git("rev-parse", "HEAD") == journal["commit"]:
            git("update-ref", "HEAD", journal["head"], journal["commit"], **signature())
            git("reset", "--quiet", "--", *journal["tracked"])
        model_versions.discard(journal["version"])
    JOURNAL.unlink()


def _align_tags() -> None:
    """Where the champion was switched without the tags (`foreframe rollback`), assign it the stage."""
    name = model_versions.in_force()
    if name is None or name not in version_tags.versions():
        return
    if version_tags.assigned() != name:
        version_tags.assign(name, f"{name} is in force again")


def _bring_back(version: str) -> None:
    """Put the model of a version that git tags know into models/, as dvc.lock at its tag names it."""
    tag = version_tags.version_tag(version)
    outs = {out.path: out.md5 for out in dvc_lock.locked_outs(git("show", f"{tag}:dvc.lock"))}
    if str(MODEL) not in outs:
        raise ModelError(f"{MODELS / version}: dvc.lock at {tag} names no {MODEL}")
    incoming = MODELS / f".incoming-{version}"
    shutil.rmtree(incoming, ignore_errors=True)
    # DVC asks its cache, then the remote
    arguments = [*command.DVC, "get", ".", str(MODEL), "--rev", tag, "--out", str(incoming)]
    result = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
        raise ModelError(
            f"{MODELS / version}: neither DVC's cache nor a remote has it ({(lines or ['no output'])[0]}); "
            "copy it from a backup or another clone"
        )
    if dvc_lock.folder_md5(incoming) != outs[str(MODEL)]:
        shutil.rmtree(incoming)
        raise ModelError(
            f"{MODELS / version}: its copy in DVC's cache is damaged; `foreframe check` names the objects to remove, "
            f"`dvc fetch --all-tags {MODEL}` then asks the remote"
        )
    try:
        facts = model_versions.record(MODELS / version)
    except ModelError:  # lost with it: the errors at its promotion, which `monitor` compares with, are not known
        facts = {"reason": f"brought back from {tag}", "previous": version_tags.before(version)}
    model_versions.adopt(incoming, version, facts)


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
