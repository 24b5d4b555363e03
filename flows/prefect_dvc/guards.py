"""The processes that run a flow's stages, started and stopped together."""

from pathlib import Path
from threading import Lock

from flows.prefect_dvc.stage_process import Order
from flows.prefect_dvc.stage_server import StageRun, StageServer
from pipeline.errors import PipelineError


class StageError(PipelineError):
    """A stage ended with an error; the message ends with the last lines of its log."""


class Guards:
    """The processes that run a flow's stages (stage_process.py), to be stopped together."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.lock = Lock()
        self.stopped = False
        self.server = StageServer(project)
        self.stages: list[StageRun] = []

    def start(self, order: Order) -> StageRun:
        """Start a stage; it ends when this process does."""
        with self.lock:
            if self.stopped:
                raise StageError(f"{order.stage}: not started, the run was stopped")
            stage = self.server.start(order)
            self.stages.append(stage)
        return stage

    def stop(self) -> None:
        """Stop every stage that still runs and wait until nothing of it is left; none is started any more."""
        with self.lock:
            self.stopped = True
            self.server.close()
        for stage in self.stages:
            stage.stop()
        for stage in self.stages:
            stage.wait()
