"""The champion in force: brought back where it is lost, rolled back, rid of what a killed promotion had begun.

Without Prefect, whose import takes seconds: every run asks for it before it knows whether there is anything to do.
"""

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

from flows import version_tags
from flows.git import git, signature
from flows.prefect_dvc import command
from flows.sealed import read_sealed, write_sealed
from pipeline import dvc_lock, model_versions
from pipeline.errors import ModelError, PipelineError
from pipeline.integrity import MODEL
from pipeline.model_versions import MODELS

logger = logging.getLogger(__name__)

JOURNAL = MODELS / "promoting.json"  # what a promotion is about to do


def settle() -> None:
    """Take back what a promotion that was killed had begun; make champion and tags one, whichever was changed."""
    with model_versions.locked():
        take_back()
        _align()


def rollback() -> str:
    """Make the version before the champion the champion again; returns its name. ModelError where there is none.

    What git tags know and models/ has lost is brought back first.
    """
    settle()
    if model_versions.in_force() is None and version_tags.assigned():
        restore()
    if version := _before_a_dismissal():
        with model_versions.locked():
            if not model_versions.is_whole(MODELS / version):
                _bring_back(version)
            model_versions.activate(version)
        settle()
        return version
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
        take_back()
        version = version_tags.assigned()
        if version is None:
            raise ModelError(f"{MODELS}: git tags name no champion (`git tag --list 'generator#champion*'`)")
        if not model_versions.is_whole(MODELS / version):
            _bring_back(version)
        model_versions.activate(version)
    return version


def current() -> Path | None:
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
    found = model_versions.champion()
    if found is not None:
        model_versions.check(found)
    return found


def absence() -> str:
    """One line for a workspace without a champion: why, and what to do."""
    try:
        version = version_tags.assigned()
    except PipelineError:  # no git repository
        version = None
    if version is None:
        return "no model was promoted yet: run python -m flows.retrain"
    return f"the champion {version}, which git tags name, is not in {MODELS}/: run python -m flows.retrain restore"


def note(facts: dict[str, Any]) -> None:
    """Add to the journal, before what it names is done."""
    known = _read_journal() if JOURNAL.exists() else {}
    write_sealed(JOURNAL, {**known, **facts})


def take_back() -> None:
    """Under model_versions.locked: undo what the journal names, unless its version is in force; then the journal
    goes."""
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


def _read_journal() -> dict[str, Any]:
    try:
        journal = read_sealed(JOURNAL)
        if "version" in journal:
            return journal
    except ValueError:
        pass
    raise PipelineError(
        f"{JOURNAL}: is damaged, so that what a killed promotion began cannot be taken back; remove it, and, "
        "if `git tag --list 'generator@*'` lists a version that models/ lacks, delete that tag"
    )


def _align() -> None:
    """Where the champion was switched without the tags (`foreframe rollback`), assign it the stage; where somebody
    dismissed it by a tag, it is the champion no more.
    """
    name = model_versions.in_force()
    if name is None or name not in version_tags.versions():
        return
    dismissed = version_tags.dismissed()
    if dismissed and dismissed[0] == name:
        model_versions.retire()
        logger.warning("%s is the champion no more: the git tag %s dismisses it", *dismissed)
    elif version_tags.assigned() != name:
        version_tags.assign(name, f"{name} is in force again")


def _before_a_dismissal() -> str | None:
    """The version before the one that was dismissed; None where none was, or another is in force."""
    dismissed = version_tags.dismissed()
    if dismissed is None or model_versions.in_force() is not None:
        return None
    return version_tags.before(dismissed[0])


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
