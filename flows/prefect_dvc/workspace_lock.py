"""One flow at a time redoes stages in this directory, and one at a time writes to a folder of results."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger, runtime
from prefect.exceptions import MissingContextError

from pipeline.runtime import locks

LOCK = Path(".dvc/tmp/workspace.lock")


@contextmanager
def locked(path: Path = LOCK) -> Iterator[None]:
    """Wait until no other flow redoes stages here, whoever started it, and keep others waiting.

    The log says for whom this one waits. The kernel releases the lock when a process dies. It is not reentrant: a flow
    that holds it must not ask again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        tell = get_run_logger().info
    except MissingContextError:  # not in a run
        tell = logging.getLogger(__name__).warning
    run = f"run {runtime.flow_run.name} of {runtime.flow_run.flow_name}" if runtime.flow_run.id else ""
    with locks.held(path, who=run, tell=tell):
        yield
