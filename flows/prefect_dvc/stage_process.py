"""Runs one stage by `dvc repro`: stops it when the caller ends, and restores its last good outputs if it fails.

DVC leaves a stage running when DVC is killed, and deletes a stage's outputs before it starts. So this small process
stands between a flow and DVC. Its standard input is a pipe that the caller holds open; when it closes, because the
caller closed it or died, the stage is stopped. It is a fork of a process that has imported DVC (stage_server.py), and
so is DVC, a fork of this one.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

from flows.prefect_dvc.command import DVC
from pipeline.dvc_lock import file_md5, folder_md5, restored_faults
from pipeline.runtime.files import replacing

KEPT = Path(".dvc/tmp/kept")
STOPPED = 130
PATIENCE_SECONDS = 5.0  # for a stage to end after SIGTERM, and DVC after it


@dataclass(frozen=True)
class Order:
    """Which stage to run, and its outputs: those in DVC's cache, and those that git keeps, of which copies are made."""

    stage: str
    cached: list[str]
    uncached: dict[str, str]  # MD5 in dvc.lock, by path
    in_lock: bool = True  # as in graph.Stage


class _Dvc:
    """A DVC command in a fork of this process, with what is asked of a subprocess.Popen."""

    def __init__(self, *arguments: str, own: int) -> None:
        """`own` is a descriptor of this process's alone."""
        sys.stdout.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(own)
            _become_dvc(arguments)

    def poll(self) -> int | None:
        """The exit status, None as long as there is none."""
        return self.returncode if self.returncode is not None else self._ask(os.WNOHANG)

    def wait(self) -> None:
        """Wait for the end."""
        if self.returncode is None:
            self._ask(0)

    def _ask(self, options: int) -> int | None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _become_dvc(arguments: tuple[str, ...]) -> NoReturn:
    """In a fork: run a DVC command as `python -m dvc` does, then leave."""
    code = 255
    try:
        os.setsid()
        call_process("dvc")
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        from dvc.cli import main  # as `python -m dvc` does; imported already

        sys.argv = ["dvc", *arguments]  # which DVC notes beside what it locks
        code = main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 255
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def call_process(name: str) -> None:
    """Have `ps -o comm` and others call this process so, where the system can."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def carry_out(order: Order, own: int) -> int:
    """Run the stage; returns DVC's exit status or STOPPED. If it is not 0, the last good outputs are back in place.

    `own` is a descriptor that no other process may hold open.
    """
    kept = KEPT / order.stage.replace("/", "_")
    for path, md5 in order.uncached.items():
        if _md5(Path(path)) == md5:
            _copy(Path(path), kept / path)
    process = _Dvc("--wait-for-lock", "repro", "--single-item", order.stage, own=own)
    stop = threading.Event()  # after the fork, which takes no threads along
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    status = _end(process, stop)
    if status == STOPPED:
        from flows.prefect_dvc import graph  # with DVC, which is imported already

        graph.mend(Path())
    if status != 0:
        _put_back(order, kept)
    shutil.rmtree(kept, ignore_errors=True)
    return status


def _watch(stop: threading.Event) -> None:
    """Set `stop` when standard input ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _end(process: _Dvc, stop: threading.Event) -> int:
    """Wait until DVC ends or `stop` is set; returns its exit status or STOPPED."""
    while process.poll() is None and not stop.wait(0.05):
        pass
    if process.returncode is not None:
        return process.returncode
    _stop(process)
    return STOPPED


def _stop(process: _Dvc) -> None:
    """End DVC and its stage: the stage first, so that DVC cleans up after it and drops its locks."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    idle = 0
    while process.poll() is None and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            _signal(child.pid, signal.SIGTERM)
        idle = 0 if children else idle + 1
        if idle == 5:  # half a second without a stage: DVC is loading or waits for a lock; it can simply be ended
            _signal(process.pid, signal.SIGTERM)
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what ignored SIGTERM
    process.wait()


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _put_back(order: Order, kept: Path) -> None:
    """Restore the outputs: copies from `kept`, the others from DVC's cache."""
    for path in order.uncached:
        # a copy may be older: of a run that was killed
        if _md5(kept / path) == order.uncached[path] != _md5(Path(path)):
            _copy(kept / path, Path(path))
    if order.cached:
        _say(f"putting back the last good {', '.join(order.cached)}")
        subprocess.run([*DVC, "checkout", "--quiet", "--force", *order.cached], check=False, start_new_session=True)
        for fault in restored_faults(Path(), order.cached) if order.in_lock else ():
            _say(fault)


def _say(line: str) -> None:
    """A line for the task's log; from now on none where the caller, who reads it, was killed."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
        return
    with replacing(target) as part:
        shutil.copy2(source, part)


def _md5(path: Path) -> str | None:
    """As dvc.lock names a file or a folder; None where there is none."""
    if path.is_dir():
        return folder_md5(path)
    return file_md5(path) if path.is_file() else None


def _flush() -> None:
    """Print what is still to be printed, if somebody reads it."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


def become(order: Order, status: int) -> NoReturn:
    """In a fork whose standard input the caller holds: carry out the order, write its exit status to `status`, end."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # only the pipe stops this process, so that nothing interrupts its cleaning up (DVC would inherit SIG_IGN)
            signal.signal(number, lambda *_: None)
        code = carry_out(order, status)
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        with suppress(OSError):
            os.write(status, str(code).encode())
        os._exit(0)
