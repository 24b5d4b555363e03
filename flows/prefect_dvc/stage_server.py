"""One process for all stages of a run: it has imported DVC, which takes longer than many stages, and forks for each.

It has no threads, so that a fork is a whole process, and nothing of a repository is read before one.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import IO, NoReturn

from flows.prefect_dvc.stage_process import Order, become

SOURCES = Path(__file__).parents[2]  # where `flows` is imported from
SIZE_BYTES = 8  # of the number that tells how long an order is
# what `dvc repro` imports, most of it only once it runs
PRELOADED = [
    "dvc.cli", "dvc.cli.parser", "dvc.commands.repro", "dvc.repo", "dvc.repo.reproduce", "dvc.stage.run",
    "dvc.stage.cache", "dvc.stage.loader", "dvc.config_schema", "dvc.data_cloud", "dvc.cachemgr", "dvc.analytics",
    "dvc.scm", "dvc_data.hashfile.tree", "dvc_data.hashfile.build", "dvc_data.hashfile.transfer",
    "dvc_data.hashfile.checkout", "dvc_data.hashfile.diff", "dvc_data.index", "dvc_objects.fs.local", "pygit2",
]  # fmt: skip


class StageRun:
    """A stage at work: what it prints, and how it ends. It goes on as long as this process holds it."""

    def __init__(self, stdout: IO[bytes], hold: int, status: int) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._hold: int | None = hold
        self._status = status
        self._lock = Lock()

    def stop(self) -> None:
        """Have the stage stopped, if it still runs."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def wait(self) -> int:
        """The exit status, once nothing of the stage is left; that of SIGKILL where its process was killed."""
        with self._lock:
            if self.returncode is None:
                with os.fdopen(self._status, "rb") as file:
                    self.returncode = int(file.read() or -signal.SIGKILL)
        return self.returncode


class StageServer:
    """Starts stages of the project in a folder; one process does, from the first stage to `close`."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.channel: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, order: Order) -> StageRun:
        """Start a stage; it ends when this process does."""
        keep, give = os.pipe(), os.pipe()
        told = os.pipe()
        theirs = [keep[0], give[1], told[1]]
        try:
            self._send(json.dumps(asdict(order)).encode(), theirs)
        except OSError:  # it was killed
            self.close()
            self._send(json.dumps(asdict(order)).encode(), theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return StageRun(os.fdopen(give[0], "rb"), keep[1], told[0])

    def _send(self, order: bytes, descriptors: list[int]) -> None:
        if self.channel is None:
            self.channel, theirs = socket.socketpair()
            start = f"import sys; sys.path.insert(0, {str(SOURCES)!r}); from {__spec__.name} import serve; serve()"
            with theirs:
                self.process = subprocess.Popen(  # -P: nothing is imported from the project's folder
                    [sys.executable, "-P", "-c", start, str(self.project.resolve())],
                    cwd=self.project,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
        socket.send_fds(self.channel, [len(order).to_bytes(SIZE_BYTES, "big")], descriptors)
        self.channel.sendall(order)

    def close(self) -> None:
        """End the process; stages that run go on, each a process of its own, held by this one."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        if self.process is not None:
            self.process.kill()  # it may be importing
            self.process.wait()
            self.process = None


def serve() -> None:
    """Fork for every order that comes over standard input, a socket, until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for name in PRELOADED:
        with suppress(ImportError):  # another version of DVC: its parts are imported in each fork then
            importlib.import_module(name)
    with socket.socket(fileno=os.dup(0)) as channel:
        while (received := _receive(channel)) is not None:
            order, descriptors = received
            if os.fork() == 0:
                channel.close()
                _begin(order, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(ChildProcessError):  # those that have ended
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _receive(channel: socket.socket) -> tuple[Order, list[int]] | None:
    """The next order with its descriptors; None where the channel is closed."""
    size, descriptors, _, _ = socket.recv_fds(channel, SIZE_BYTES, 3)
    if len(size) < SIZE_BYTES:
        return None
    content, length = b"", int.from_bytes(size, "big")
    while len(content) < length:
        if not (part := channel.recv(length - len(content))):
            return None
        content += part
    return Order(**json.loads(content)), list(descriptors)


def _begin(order: Order, hold: int, out: int, status: int) -> NoReturn:
    """In the fork: its streams, then the order."""
    os.setsid()
    os.dup2(hold, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(hold)
    os.close(out)
    become(order, status)
