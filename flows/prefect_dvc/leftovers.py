"""What a killed DVC leaves half-written is made whole again.

DVC writes dvc.lock and .dvc/tmp/rwlock in place: killed in the middle, it leaves a part of a file, and every later
command ends with an error. Both are written under DVC's lock of the repository, so whoever holds it is alone.
A dvc.lock cut between two stages is a valid one; for those that it lacks DVC finds results in its run cache.
"""

import json
import shutil
from pathlib import Path

from pipeline.dvc_lock import LOCK, locked_outs
from pipeline.errors import PipelineError
from pipeline.runtime.files import replacing

KEPT = Path(".dvc/tmp/kept.lock")  # dvc.lock as the last plan found it
RWLOCK = Path(".dvc/tmp/rwlock")  # which process reads and writes what


def keep(project: Path) -> None:
    """Keep a copy of dvc.lock, which a plan could be made from."""
    if (project / LOCK).is_file():
        with replacing(project / KEPT, durable=False) as part:
            shutil.copyfile(project / LOCK, part)


def is_emptied(project: Path) -> bool:
    """Whether dvc.lock is an empty file, which DVC takes for a project that never ran."""
    return (project / LOCK).is_file() and (project / LOCK).stat().st_size == 0


def mend(project: Path) -> bool:
    """Under DVC's lock: put the last dvc.lock in place of a damaged one, and drop a damaged rwlock; was there any?

    Results that came after that copy are not lost: DVC finds them in its run cache.
    """
    damaged = _damaged(project)
    if RWLOCK in damaged:
        (project / RWLOCK).unlink()
    if Path(LOCK) in damaged:
        with replacing(project / LOCK) as part:
            shutil.copyfile(project / KEPT, part)
    return bool(damaged)


def are_left(project: Path) -> bool:
    """Whether there is anything to mend."""
    return bool(_damaged(project))


def _damaged(project: Path) -> list[Path]:
    """What can be mended."""
    damaged = []
    if (project / RWLOCK).is_file() and not _is_json(project / RWLOCK):
        damaged.append(RWLOCK)
    if (project / KEPT).is_file() and (project / LOCK).is_file() and not _is_whole(project / LOCK):
        damaged.append(Path(LOCK))
    return damaged


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _is_whole(lock: Path) -> bool:
    try:
        locked_outs(lock.read_text(encoding="utf-8"))
    except (PipelineError, UnicodeDecodeError):
        return False
    return True
