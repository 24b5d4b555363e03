"""The processes that run a flow's stages, started and stopped together."""

import os
import subprocess
from pathlib import Path
from threading import Lock

from flows.prefect_dvc.stage_process import Order
from pipeline.errors import PipelineError


class StageError(PipelineError):
    """A stage ended with an error; the message ends with the last lines of its log."""


class Guards:
    """The processes that run a flow's stages (stage_process.py), to be stopped together."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.lock = Lock()
        self.stopped = False
        self.processes: set[subprocess.Popen[bytes]] = set()

    def start(self, order: Order) -> subprocess.Popen[bytes]:
        """Start a stage; it ends when this process does."""
        with self.lock:
            if self.stopped:
                raise StageError(f"{order.stage}: not started, the run was stopped")
            process = subprocess.Popen(
                order.command(),
                cwd=self.project,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            self.processes.add(process)
        return process

    def stop(self) -> None:
        """Stop every stage and wait until nothing of it is left."""
        with self.lock:
            self.stopped = True
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self.processes:
            process.wait()
