"""Runs of `flows.deploy` begin in forks of a process that has imported Prefect and the flows, which takes seconds.

Prefect's runner starts `python -m prefect.engine` for every run. Here it starts warm_client.py, which asks this process
for a fork. It has no threads, so that a fork is a whole process, and has opened neither network nor database. Where
a file of ours has changed since it was imported, it begins anew, and the run is started as Prefect starts it.
"""

import importlib
import json
import multiprocessing
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from flows import end_with_runner
from flows.warm_client import PID_BYTES, SOCKET

SOURCES = Path(__file__).parents[1]
ENGINE = "prefect.engine"
PRELOADED = [
    ENGINE, "prefect.flow_engine", "prefect.task_engine", "prefect.task_runners", "prefect.runtime",
    "prefect.artifacts", "prefect.events", "prefect.events.clients", "prefect.events.worker", "prefect.flows",
    "prefect.logging.handlers", "prefect.client.orchestration",
    "flows.retrain", "flows.generate", "flows.monitor", "flows.retention",
]  # fmt: skip


@contextmanager
def served() -> Iterator[None]:
    """Meanwhile Prefect's runner in this process begins its runs in forks of a warm one."""
    from prefect.settings import get_current_settings

    with tempfile.TemporaryDirectory(prefix="foreframe-") as folder:  # for its owner alone
        os.environ[SOCKET] = str(Path(folder) / "warm")
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.warm"],
            env={**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)},
            stdin=subprocess.PIPE,  # held open as long as this process lives
            start_new_session=True,  # so that Ctrl-C does not end it before its runs
        )
        prefects: Any = importlib.import_module("prefect.runner.runner")  # no public name says how a run is started
        client = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_client.py")), ENGINE])
        starter = prefects.EngineCommandStarter
        prefects.EngineCommandStarter = partial(starter, command=client)
        try:
            yield
        finally:
            prefects.EngineCommandStarter = starter
            del os.environ[SOCKET]
            process.kill()
            process.wait()


def main() -> None:
    """Import, then fork for every client, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # each fork has its own
    for name in PRELOADED:
        importlib.import_module(name)
    imported = _files()
    if threading.active_count() > 1:  # something that was imported has begun one: no fork would be whole
        sys.exit("warm: a library started a thread when it was imported; runs start cold")
    path = Path(os.environ[SOCKET])
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        while True:
            waited: list[Any] = [0, listener]
            ready, _, _ = select.select(waited, [], [], 60)
            if 0 in ready:
                return
            with suppress(ChildProcessError):  # those that have ended
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if listener in ready:
                channel, _ = listener.accept()
                if _files() != imported:
                    path.unlink()
                    channel.close()
                    os.execv(sys.executable, sys.orig_argv)  # noqa: S606
                _answer(channel, listener)


def _files() -> dict[str, tuple[int, int]]:
    """Size and time of every file of ours that is imported."""
    found = {}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if name is not None and Path(name).is_relative_to(SOURCES) and ".venv" not in name:
            with suppress(OSError):
                status = Path(name).stat()
                found[name] = (status.st_size, status.st_mtime_ns)
    return found


def _answer(channel: socket.socket, listener: socket.socket) -> None:
    """Fork for one client; it hears the fork's number, and the fork tells it the exit status."""
    with channel:
        try:
            channel.settimeout(5)
            size, descriptors, _, _ = socket.recv_fds(channel, PID_BYTES, 2)
            content = channel.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
            order = json.loads(content)
        except (OSError, ValueError):  # it was killed
            return
        pid = os.fork()
        if pid == 0:
            listener.close()
            _become(order, channel, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):
            channel.sendall(pid.to_bytes(PID_BYTES, "big"))


def _become(order: dict[str, Any], channel: socket.socket, out: int, errors: int) -> NoReturn:
    """In the fork: folder, streams and environment of the client, then the module as Python runs it."""
    code: Any = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, stream in enumerate((null, out, errors)):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        channel.settimeout(None)
        threading.Thread(target=_end_with, args=(channel,), daemon=True).start()
        _run(order["module"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code, channel)


def _run(module: str) -> None:
    from prefect.context import refresh_global_settings_context

    end_with_runner()
    refresh_global_settings_context()
    sys.argv = [module]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _leave(code: int, channel: socket.socket) -> NoReturn:
    """End as Python does, what is to be done at exit included, and tell the client last."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            channel.sendall(str(code).encode())
        os._exit(code)


def _end_with(channel: socket.socket) -> None:
    """End this run, and its workers, when its client is gone."""
    with suppress(OSError):
        channel.recv(1)
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(1)


if __name__ == "__main__":
    main()
