"""One flow at a time redoes stages in this directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

LOCK = Path(".dvc/tmp/workspace.lock")


@contextmanager
def locked() -> Iterator[None]:
    """Wait until no other flow redoes stages here, whoever started it, and keep others waiting.

    The kernel releases the lock when a process dies. It is not reentrant: a flow that holds it must not ask again.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(LOCK):
        yield
