"""Runs one stage by `dvc repro`: stops it when the caller ends, and restores its last good outputs if it fails.

DVC leaves a stage running when DVC is killed, and deletes a stage's outputs before it starts. So this small process
stands between a flow and DVC. Its standard input is a pipe that the caller holds open; when it closes, because the
caller closed it or died, the stage is stopped.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from flows.prefect_dvc.command import DVC
from pipeline.dvc_lock import file_md5, folder_md5, restored_faults
from pipeline.runtime.files import replacing

SOURCES = Path(__file__).parents[2]  # where `flows` is imported from
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

    def command(self) -> list[str]:
        """The command line that carries out this order in the project's folder, of which it imports nothing."""
        start = f"import sys; sys.path.insert(0, {str(SOURCES)!r}); from {__spec__.name} import main; main()"
        return [sys.executable, "-P", "-c", start, json.dumps(asdict(self))]


def carry_out(order: Order) -> int:
    """Run the stage; returns DVC's exit status or STOPPED. If it is not 0, the last good outputs are back in place."""
    kept = KEPT / order.stage.replace("/", "_")
    for path, md5 in order.uncached.items():
        if _md5(Path(path)) == md5:
            _copy(Path(path), kept / path)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    status = _run([*DVC, "repro", "--single-item", order.stage], stop)
    if status != 0:
        _put_back(order, kept)
    shutil.rmtree(kept, ignore_errors=True)
    return status


def _watch(stop: threading.Event) -> None:
    """Set `stop` when standard input ends."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _run(command: list[str], stop: threading.Event) -> int:
    """Run a command until it ends or `stop` is set; returns its exit status or STOPPED."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not stop.wait(0.05):
        pass
    if process.poll() is not None:
        return process.returncode
    _stop(process)
    return STOPPED


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End DVC and its stage: the stage first, so that DVC cleans up after it and drops its locks."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    idle = 0
    while process.poll() is None and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            _signal(child.pid, signal.SIGTERM)
        idle = 0 if children else idle + 1
        if idle == 5:  # half a second without a stage: DVC is loading or waits for a lock; it can simply be ended
            process.terminate()
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
        print(f"putting back the last good {', '.join(order.cached)}", flush=True)  # noqa: T201 -- the task's log
        subprocess.run([*DVC, "checkout", "--quiet", "--force", *order.cached], check=False, start_new_session=True)
        for fault in restored_faults(Path(), order.cached) if order.in_lock else ():
            print(fault, flush=True)  # noqa: T201


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


def main() -> None:
    """Carry out the order that the command line holds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # only the pipe stops this process, so that nothing interrupts its cleaning up (DVC would inherit SIG_IGN)
        signal.signal(number, lambda *_: None)
    sys.exit(carry_out(Order(**json.loads(sys.argv[1]))))
