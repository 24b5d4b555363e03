"""One stage under `dvc repro`: ends when its caller ends, and puts the last good outputs back if it fails.

DVC leaves its stage running when it is killed, and deletes a stage's outputs before it starts. So between a flow and
DVC stands this small process: `python -m flows.guard JSON`. Its standard input is a pipe that the caller holds open;
when it closes, because the caller closed it or died, the stage is stopped.
"""

import hashlib
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

from pipeline.runtime.files import replacing

DVC = [sys.executable, "-m", "dvc", "--wait-for-lock"]
KEPT = Path(".dvc/tmp/kept")
STOPPED = 130
PATIENCE_SECONDS = 5.0  # for a stage to end after SIGTERM, and DVC after it


@dataclass(frozen=True)
class Order:
    """What to run, and what to put back: `cached` outputs are in DVC's cache; of the others copies are kept."""

    stage: str
    cached: list[str]
    uncached: dict[str, str]  # path: MD5 in dvc.lock

    def command(self) -> list[str]:
        """The command line that carries out this order."""
        return [sys.executable, "-m", "flows.guard", json.dumps(asdict(self))]


def carry_out(order: Order) -> int:
    """Run the stage and give DVC's exit status, or STOPPED; on anything but 0 its last good outputs are back."""
    kept = KEPT / order.stage.replace("/", "_")
    for path, md5 in order.uncached.items():
        if _md5(Path(path)) == md5:
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, kept / path)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    status = _run([*DVC, "repro", "--single-item", order.stage], stop)
    if status != 0:
        _put_back(order, kept)
    shutil.rmtree(kept, ignore_errors=True)
    return status


def _watch(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _run(command: list[str], stop: threading.Event) -> int:
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
        if idle == 5:  # half a second without a stage: DVC loads or waits for a lock, and can simply be ended
            process.terminate()
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever did not listen
    process.wait()


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _put_back(order: Order, kept: Path) -> None:
    for path in order.uncached:
        if (kept / path).exists() and _md5(Path(path)) != order.uncached[path]:
            with replacing(Path(path)) as part:
                shutil.copy2(kept / path, part)
    if order.cached:
        print(f"putting back the last good {', '.join(order.cached)}", flush=True)  # noqa: T201 -- the task's log
        subprocess.run([*DVC, "checkout", "--quiet", "--force", *order.cached], check=False, start_new_session=True)


def _md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # only the pipe decides, so that cleaning up is not cut short (not SIG_IGN: DVC would inherit that)
        signal.signal(number, lambda *_: None)
    sys.exit(carry_out(Order(**json.loads(sys.argv[1]))))
