"""Notices new videos: a folder is watched, and a file that is still being written is waited for.

A copy gives an event when the file is made and one when it is closed, and nothing for the seconds or hours between. So
after an event sizes and times are compared until they have been the same for a while, and the kernel is asked whether
anybody has a file open for writing.
"""

import errno
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import watchfiles

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25  # between two looks at a folder that changes
MOST_SECONDS = 600.0  # that a run waits for files that grow: a camera may never close its own
RECENT_SECONDS = 3600.0  # older files are not asked about: whoever copies leaves no file alone for an hour
FOLDER_SECONDS = 5  # between two looks for a folder that is not there, or at whether another one is to be watched

Look = dict[str, tuple[int, int]]


def watch(folder: Callable[[], Path], arrived: Callable[[], None], quiet_seconds: float, stop: threading.Event) -> None:
    """Call `arrived` once after each time that something has come into `folder()`, or has changed there, until `stop`.

    `folder` is asked again every few seconds: params.yaml may name another one.
    """
    import watchfiles  # not above: most runs only look

    while not stop.is_set():
        path = folder()
        if not path.is_dir():
            stop.wait(FOLDER_SECONDS)
            continue
        known = look(path)
        for changes in watchfiles.watch(
            path,
            watch_filter=_is_arrival,
            debounce=200,
            step=50,
            stop_event=stop,
            rust_timeout=FOLDER_SECONDS * 1000,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            if changes:
                settle(path, quiet_seconds, stop=stop)
                if (now := look(path)) != known and not stop.is_set():  # else events of what has been told already
                    known = now
                    arrived()
            if folder() != path or not path.is_dir():
                break


def settle(
    folder: Path, quiet_seconds: float, *, most_seconds: float = MOST_SECONDS, stop: threading.Event | None = None
) -> bool:
    """Wait until nothing in `folder` has changed for `quiet_seconds` and nobody writes there; False where it gave up.

    Returns at once where the last change is older than that.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + most_seconds
    seen = look(folder)
    quiet_since = time.monotonic() - quiet_seconds if _is_old(seen, quiet_seconds) else time.monotonic()
    while not stop.is_set():
        written = [name for name in _recent(seen) if is_written_to(folder / name)]
        if not written and time.monotonic() - quiet_since >= quiet_seconds:
            return True
        if time.monotonic() > deadline:
            logger.warning("%s: still changes after %g s; taken as it is", folder, most_seconds)
            return False
        stop.wait(LOOK_SECONDS)
        now = look(folder)
        if now != seen:
            seen, quiet_since = now, time.monotonic()
    return False


def is_settled(folder: Path, quiet_seconds: float) -> bool:
    """Whether `settle` would return at once."""
    seen = look(folder)
    return _is_old(seen, quiet_seconds) and not any(is_written_to(folder / name) for name in _recent(seen))


def look(folder: Path) -> Look:
    """Size and time of the last change, in nanoseconds, of every file under `folder` that is not hidden."""
    found: Look = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(parent, name)  # noqa: PTH118 -- 10,000 of them are looked at in 50 ms
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            found[path[len(str(folder)) + 1 :]] = (status.st_size, status.st_mtime_ns)
    return found


def is_written_to(path: Path) -> bool:
    """Whether any process has the file open for writing; False where the system does not tell.

    A lease on it for reading is refused while it is. One that is granted is given back at once.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # whoever opens it in this moment waits for us to be told: by a signal that does nothing by itself
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:  # other numbers: another user's file, a network drive
        return error.errno == errno.EAGAIN
    except AttributeError:  # no Linux
        return False
    finally:
        os.close(descriptor)
    return False


def _recent(seen: Look) -> list[str]:
    now = time.time_ns()
    return [name for name, (_, changed) in seen.items() if abs(now - changed) < RECENT_SECONDS * 1e9]


def _is_old(seen: Look, seconds: float) -> bool:
    return all(abs(time.time_ns() - changed) >= seconds * 1e9 for _, changed in seen.values())


def _is_arrival(change: "watchfiles.Change", name: str) -> bool:
    return change.raw_str() != "deleted" and not Path(name).name.startswith(".")
