"""A process that has imported the pipeline and forks for every command: a trial then takes no seconds of imports."""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

PRELOADED = [
    "pipeline.cli",
    "pipeline.inference.generation",
    "pipeline.inference.translation",
    *(f"pipeline.stages.{name}" for name in ("sample", "extract", "tensorize", "train", "evaluate", "render")),
]


class Zygote:
    """The side of whoever wants commands run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None

    def run(self, module: str, arguments: list[str], folder: Path, log: Path, seconds: float) -> int:
        """The exit status of `python -m module …` in `folder`, both streams in `log`; 124 if it was killed."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.zygote"], cwd=self.root, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"module": module, "arguments": arguments, "folder": str(folder), "log": str(log), "seconds": seconds}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


def main() -> None:
    """Fork for every line of standard input; print each one's exit status."""
    for name in PRELOADED:
        importlib.import_module(name)
    warnings.simplefilter("ignore")  # runpy warns of what was imported before
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        print(_wait(pid, order["seconds"]), flush=True)


def _become(order: dict) -> None:
    """In the child: run the module as Python does, then leave."""
    os.setsid()
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((null, log, log)):
        os.dup2(stream, number)
    sys.argv = [order["module"], *order["arguments"]]
    code = 0
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
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


def _wait(pid: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 124


if __name__ == "__main__":
    main()
