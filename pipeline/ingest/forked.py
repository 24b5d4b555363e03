"""A worker that is a fork of the stage: what a process of its own has to import first, it has already."""

import gc
import os
import signal
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn


class Forked:
    """A fork that runs `serve` between two pipes, with what is asked of a subprocess.Popen."""

    def __init__(self, serve: Callable[[], None]) -> None:
        jobs, answers = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            # of Python 3.12 on, about threads: those of this process hold no lock that a worker wants
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _become(serve, jobs[0], answers[1])
        os.close(jobs[0])
        os.close(answers[1])
        self.stdin, self.stdout = os.fdopen(jobs[1], "wb"), os.fdopen(answers[0], "rb")
        self._code: int | None = None

    def kill(self) -> None:
        """End it at once."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code once it has ended; of a signal, minus its number."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code


def _become(serve: Callable[[], None], jobs: int, answers: int) -> NoReturn:
    """In the fork: nothing of the caller's stays open."""
    code = 1
    try:
        os.dup2(jobs, 0)
        os.dup2(answers, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        gc.enable()
        serve()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
