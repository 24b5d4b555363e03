"""A flow for any DVC project: `python -m flows.prefect_dvc FOLDER`."""

from pathlib import Path

from prefect import flow, runtime

from flows.prefect_dvc import execution, graph, workspace_lock
from pipeline.errors import PipelineError


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"{Path(parameters['project']).resolve().name}: {' '.join(parameters.get('targets') or ['all'])}"


@flow(name="dvc-repro", task_runner=execution.THREADS, flow_run_name=_run_name)
def dvc_repro(project: str = ".", targets: list[str] | None = None) -> dict[str, str]:
    """Bring every stage of the DVC project in a folder up to date (or `targets` and what they need).

    Returns the name of every stage's state: Completed, or Cached where nothing had changed.
    """
    folder = Path(project)
    if not (folder / ".dvc").is_dir():
        raise PipelineError(f"{folder}: is no DVC project (`dvc init` makes it one)")
    with workspace_lock.locked(folder / workspace_lock.LOCK):
        return execution.run(graph.plan(targets, folder), folder)
