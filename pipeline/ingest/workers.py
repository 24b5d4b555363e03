"""Runs one function in processes of its own, which a crash, a hang or a lack of memory takes down alone.

`python -m pipeline.ingest.workers` is such a process: the first line that it reads is its task, as JSON, each other one
a job, which it answers with one line. A thread of the caller waits for each process; under Dask a task does.
"""

import ctypes
import importlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from pipeline.errors import PipelineError, told
from pipeline.ingest.forked import Forked
from pipeline.runtime.cores import usable_cores
from pipeline.video import log_errors_to_stderr

logger = logging.getLogger(__name__)

DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG
MOST_SPARES = 4  # forks that wait for work
_spares: list[Forked] = []


@dataclass(frozen=True)
class Task:
    """The function that workers run, by name, and what a worker may take."""

    module: str
    function: str  # (job, heartbeat, count_errors) -> outcome; job and outcome are dataclasses, named here
    job_type: str
    outcome_type: str
    timeout_seconds: float  # without a heartbeat
    max_memory_mb: int


class WorkerDied(Exception):
    """A worker was lost over a job, or failed in a way that nobody foresaw; the message says how, for a person."""


class Worker:
    """A process that does one job after the other, and is replaced when it is lost."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def run(self, job: Any) -> Any:
        """The function's outcome for `job`; raises WorkerDied if the process is lost over it."""
        lines = [job]
        if self._process is None:
            self._process = _started()
            lines = [self._task, job]
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.writelines(json.dumps(asdict(line)).encode() + b"\n" for line in lines)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            code = process.wait()
            self.kill()
            raise WorkerDied(self._cause_of_death(code))
        result = json.loads(answer)
        if "bug" in result:
            logger.debug("in a worker:\n%s", result["trace"])
            raise WorkerDied(f"the decoder failed: {result['bug']}")
        if "file_error" in result:
            raise PipelineError(result["file_error"])
        if "out_of_memory" in result:
            self.kill()  # what is left of its memory may be fragmented
            raise WorkerDied(f"needs more than extract.max_memory_mb ({self._task.max_memory_mb})")
        return getattr(importlib.import_module(self._task.module), self._task.outcome_type)(**result["outcome"])

    def _cause_of_death(self, code: int) -> str:
        if code == -signal.SIGALRM:
            return f"the decoder hung: no frame in {self._task.timeout_seconds:g} seconds (extract.timeout_seconds)"
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the decoder crashed ({cause})"


@contextmanager
def spare() -> Iterator[None]:
    """The first workers that are wanted are forks made here, before this process has threads or knows of many files."""
    if sys.platform == "linux":  # elsewhere libraries break in a fork
        _spares.extend(Forked(serve) for _ in range(min(MOST_SPARES, usable_cores())))
    try:
        yield
    finally:
        for process in _spares:  # nobody wanted it
            process.kill()
            process.wait()
        _spares.clear()


def _started() -> subprocess.Popen[bytes] | Forked:
    with suppress(IndexError):
        return _spares.pop()
    command = [sys.executable, "-m", "pipeline.ingest.workers"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def run_alone(task: Task, job: Any) -> Any:
    """One job in a process of its own: the outcome, or WorkerDied as a value. This is what a Dask worker does."""
    with Worker(task) as worker:
        try:
            return worker.run(job)
        except WorkerDied as error:
            return error


@contextmanager
def local(task: Task, count: int) -> Iterator[Callable[[Sequence[Any]], Iterator[tuple[int, Any]]]]:
    """A function from jobs to (number of the job, outcome or WorkerDied) as they are done, by `count` processes."""
    with ExitStack() as stack:
        idle: SimpleQueue[Worker] = SimpleQueue()
        workers = [stack.enter_context(Worker(task)) for _ in range(count)]
        for worker in workers:
            idle.put(worker)

        def run(job: Any) -> Any:
            worker = idle.get()
            try:
                return worker.run(job)
            except WorkerDied as error:
                return error
            finally:
                idle.put(worker)

        executor = ThreadPoolExecutor(count)
        # on an error no further job is begun, and those at work are killed
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        yield lambda jobs: _done(executor, run, jobs)


@contextmanager
def dask(task: Task) -> Iterator[Callable[[Sequence[Any]], Iterator[tuple[int, Any]]]]:
    """As `local`, on the Dask cluster whose scheduler DASK_SCHEDULER_ADDRESS names; it must see the same files."""
    from distributed import Client  # half a second that only this needs

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise PipelineError("extract.executor is dask: set DASK_SCHEDULER_ADDRESS, such as tcp://127.0.0.1:8786")
    try:
        client = Client(address, timeout=30, set_as_default=False)
    except OSError as error:
        raise PipelineError(f"DASK_SCHEDULER_ADDRESS: no scheduler answers at {address}") from error
    with client:
        executor = client.get_executor(pure=False)
        yield lambda jobs: _done(executor, lambda job: run_alone(task, job), jobs)


def _done(executor: Executor, run: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    numbers = {executor.submit(run, job): number for number, job in enumerate(jobs)}
    for future in as_completed(numbers):
        yield numbers[future], future.result()


def serve() -> None:
    """Do the jobs of a task, all from standard input, until it ends; this is the process that may be lost."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    # FFmpeg's errors go to a file, where they are counted: through Python they can block its threads for ever
    log = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
    os.dup2(log.fileno(), 2)
    os.dup2(log.fileno(), 1)
    log_errors_to_stderr()
    if not (first := jobs.readline()):
        return
    task = Task(**json.loads(first))
    limit = task.max_memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module = importlib.import_module(task.module)
    function, job_type = getattr(module, task.function), getattr(module, task.job_type)

    def heartbeat() -> None:
        # the alarm's default action ends a process that hangs
        signal.setitimer(signal.ITIMER_REAL, task.timeout_seconds)

    def count_errors() -> int:
        return os.fstat(log.fileno()).st_size  # in bytes, which is enough to see that there is another one

    for line in jobs:
        job = job_type(**json.loads(line))
        heartbeat()
        try:
            answer: dict[str, Any] = {"outcome": asdict(function(job, heartbeat, count_errors))}
        except MemoryError:
            answer = {"out_of_memory": True}
        except OSError as error:
            # a full disk, say; without a file it is a bug
            answer = {"file_error": told(error)} if error.filename else _bug(error)
        except Exception as error:
            answer = _bug(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.ftruncate(log.fileno(), 0)
        os.lseek(log.fileno(), 0, os.SEEK_SET)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _bug(error: Exception) -> dict[str, Any]:
    """An exception that nobody foresaw, in one line with the place of it, and whole; it concerns one job alone."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:200]
    line = f"{type(error).__name__}{': ' if text else ''}{text} ({Path(place.filename).name}, line {place.lineno})"
    return {"bug": line, "trace": traceback.format_exc()}


if __name__ == "__main__":
    serve()
