"""Ends a process whose parent was killed: what nobody waits for any more must not go on writing beside the next run."""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import psutil

SECONDS_BETWEEN_LOOKS = 0.3
PATIENCE_SECONDS = 5.0  # for an end in order
BELOW_DVC = "DVC_STAGE"  # DVC sets it for the commands of its stages


def end_with_dvc() -> None:
    """From now on end this process, a stage, and its workers when the DVC that runs it is gone; at once if it is."""
    end_with(_from_parent_to_dvc())


def end_with(others: Sequence[psutil.Process]) -> None:
    """From now on end this process and its workers when one of `others` is gone; at once where there is none."""
    threading.Thread(target=_wait_and_end, args=(others,), daemon=True).start()


def end_with_input() -> None:
    """From now on end when standard input does: a pipe that the owner holds open until it ends or is killed."""
    threading.Thread(target=_read_and_end, daemon=True).start()


def _read_and_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_SECONDS)  # a connection that stays open keeps a server from ending
    os._exit(1)


def _wait_and_end(others: Sequence[psutil.Process]) -> None:
    while others and all(map(_lives, others)):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    import multiprocessing  # not above: nothing may stand between a stage's first line and its watch

    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(1)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE  # perhaps nobody reaps it
    except psutil.NoSuchProcess:
        return False


def _from_parent_to_dvc() -> list[psutil.Process]:
    """DVC, which lacks its own variable, and what stands between (a shell); empty if DVC was killed just before."""
    found = []
    try:
        process = psutil.Process().parent()
        while process is not None:
            found.append(process)
            process = process.parent() if _is_below_dvc(process) else None
        # orphans are inherited by a process of another session
        return found if found and os.getsid(found[-1].pid) == os.getsid(0) else []
    except (psutil.NoSuchProcess, OSError):
        return []


def _is_below_dvc(process: psutil.Process) -> bool:
    try:
        return BELOW_DVC in process.environ()
    except psutil.AccessDenied:
        return False
