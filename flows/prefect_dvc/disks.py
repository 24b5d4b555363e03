"""Which disk takes nothing more: what DVC says then ("disk I/O error") names neither the disk nor a remedy."""

import os
import tempfile
from pathlib import Path

from flows.prefect_dvc import site_cache
from pipeline.errors import told

ROOM_BYTES = 1 << 20  # what DVC's own files need


def notes() -> Path:
    """Where DVC keeps what it remembers of files."""
    return Path(os.environ.get(site_cache.VARIABLE) or "/var/tmp/dvc")  # noqa: S108 -- its default


def refusals(project: Path) -> list[str]:
    """One line per folder in which DVC writes for `project` and cannot: why not, and what to do."""
    found: dict[int, str] = {}  # by the disk
    for folder in (project.absolute(), project.absolute() / ".dvc/cache", notes()):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(ROOM_BYTES))
                file.flush()
        except FileNotFoundError:
            continue
        except OSError as error:
            found.setdefault(folder.stat().st_dev, told(OSError(error.errno, error.strerror, str(folder))))
    return list(found.values())
