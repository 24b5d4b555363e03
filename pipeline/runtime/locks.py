"""Lock files between processes: one holds the lock, others wait and are told for whom."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.3  # a shorter wait is not worth a line
NOTE_SECONDS = 2.0  # in which a new holder has said who it is


@contextmanager
def held(path: Path, *, who: str = "", tell: Callable[[str], None] = logger.warning) -> Iterator[None]:
    """Hold the lock file `path`, after whoever holds it; not reentrant.

    `who` is what others are told of this process beside its number, its command line by default; `tell` gets the line
    that says for whom this one waits. The kernel releases the lock when a process dies.
    """
    lock, note = FileLock(path), _note(path)
    try:
        lock.acquire(timeout=QUIET_SECONDS)
    except Timeout:
        tell(f"{path}: waiting for {holder(path)}")
        lock.acquire()
    try:
        with suppress(OSError):  # a full disk: others wait all the same
            note.write_text(f"{os.getpid()} {who or ' '.join(['python', *sys.orig_argv[1:]])[:200]}")
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def holder(path: Path) -> str:
    """Who holds the lock file `path`, as its holder has noted it: `process 123 (python -m flows.retrain)`."""
    deadline = time.monotonic() + NOTE_SECONDS
    while True:
        with suppress(OSError, ValueError):
            number, who = _note(path).read_text(errors="replace").split(" ", 1)
            if psutil.pid_exists(int(number)):  # one that was killed may have left its note
                return f"process {number} ({who})"
        if time.monotonic() > deadline:
            return "another process"
        time.sleep(0.05)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")
