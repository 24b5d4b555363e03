"""A process that has imported the pipeline, DVC and Prefect and forks for every command, which then takes no imports.

DVC in such a fork forks once more for a stage, in place of a shell and a Python: the processes are those of a terminal,
parents and sessions too, but for the seconds in which they import.
"""

import ctypes
import importlib
import json
import logging
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

PRELOADED = [
    "pipeline.cli",
    "pipeline.inference.generation",
    "pipeline.inference.translation",
    "pipeline.measuring.scoring",
    *(f"pipeline.stages.{name}" for name in ("sample", "extract", "tensorize", "train", "evaluate", "render")),
    *(f"dvc.{name}" for name in ("cli", "cli.parser", "repo", "repo.reproduce", "commands.repro", "stage.run")),
    *("dvc.stage.cache", "dvc.config_schema", "dvc_data.hashfile.tree", "prefect.task_runners"),
    *(f"flows.{name}" for name in ("retrain", "repro", "generate")),
]
STAGE = "pipeline.stages."
CAPABILITIES = 0x20080522  # the version of Linux's structures


class Zygote:
    """The side of whoever wants commands run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None
        self.lock = Lock()

    def ask(self, order: dict[str, Any]) -> Any:
        """Send an order, return the answer."""
        with self.lock:
            return self._ask(order)

    def _ask(self, order: dict[str, Any]) -> Any:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote"], cwd=self.root, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "1"},
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


class Forked:
    """A command that runs in a fork, with what a subprocess.Popen has."""

    def __init__(
        self, zygote: Zygote, command: list[str], folder: Path, environment: dict[str, str], log: Path, powers: bool
    ) -> None:
        self.zygote = zygote
        self.returncode: int | None = None
        module, *arguments = command[command.index("-m") + 1 :]
        order = {"module": module, "arguments": arguments, "folder": str(folder), "log": str(log), "powers": powers}
        self.pid = int(zygote.ask({**order, "environment": environment}))

    def poll(self) -> int | None:
        """The exit status, None as long as there is none."""
        if self.returncode is None:
            self.returncode = self.zygote.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 1e9) -> int:
        """The exit status, once there is one; subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.02)
        return status


def main() -> None:
    """Fork for every order of standard input and print the number of the process, or print how one has ended."""
    for name in PRELOADED:
        importlib.import_module(name)
    warnings.simplefilter("ignore")  # runpy warns of what was imported before
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            done, status = os.waitpid(order["poll"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if done else None), flush=True)
            continue
        ready, begun = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(ready)
            os.close(begun)
            _begin(order)
        os.close(begun)
        os.read(ready, 1)  # nothing comes, once the child leads a group that can be signalled
        os.close(ready)
        print(pid, flush=True)


def _begin(order: dict[str, Any]) -> None:
    """In the child: folder, streams, environment and user, then the command."""
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((null, log, log)):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(order["environment"])
    _become(order["module"], order["arguments"], powers=order["powers"])


def _become(module: str, arguments: list[str], *, powers: bool = True) -> None:
    """In the child: run the module as Python does, then leave; without `powers` permissions bind root as well."""
    import dvc.stage.run
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    if not powers:
        ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)())
    vars(dvc.stage.run)["subprocess"] = _Subprocess
    if not module.startswith("flows."):
        logging.getLogger().handlers.clear()  # Prefect's, by which DVC's and a stage's lines would be written twice
    if module.startswith(("flows.", STAGE)):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as they do where they begin
    if module.startswith(STAGE):
        importlib.reload(importlib.import_module(STAGE.rstrip(".")))  # it watches DVC where DVC runs it
    sys.argv = [module, *arguments]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Stage:
    """A stage's process, as a subprocess.Popen of DVC's."""

    def __init__(self, module: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
        sys.stdout.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            _become(module, arguments)

    def communicate(self) -> None:
        """Wait for the end."""
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)


class _Subprocess:
    """In place of the module `subprocess` where DVC starts a stage."""

    check_output = subprocess.check_output

    @staticmethod
    def Popen(command: Any, **options: Any) -> Any:
        """A fork for `python -m pipeline.stages.…`, a process for all else."""
        words = shlex.split(command[-1] if isinstance(command, list) else command)
        if words[:2] == ["python", "-m"] and words[2].startswith(STAGE):
            return _Stage(words[2], words[3:], str(options["cwd"]), options["env"])
        return subprocess.Popen(command, **options)


if __name__ == "__main__":
    main()
