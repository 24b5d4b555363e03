"""One flow at a time redoes stages in this directory, and one at a time writes to a folder of results."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime import locks

LOCK = Path(".dvc/tmp/workspace.lock")


@contextmanager
def locked(path: Path = LOCK, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Wait until no other flow redoes stages here, whoever started it, and keep others waiting.

    The run's log, or `tell`, says for whom this one waits. The kernel releases the lock when a process dies. It is not
    reentrant: a flow that holds it must not ask again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    run, log = _run() if "prefect" in sys.modules else ("", logging.getLogger(__name__).warning)
    with locks.held(path, who=run, tell=tell or log):
        yield


def _run() -> tuple[str, Callable[[str], None]]:
    """What others are told of the run that this is part of, if it is, and where it tells for whom it waits."""
    from prefect import get_run_logger, runtime  # not above: it takes seconds, and some wait without it
    from prefect.exceptions import MissingContextError

    try:
        log = get_run_logger().info
    except MissingContextError:  # not in a run
        log = logging.getLogger(__name__).warning
    return f"run {runtime.flow_run.name} of {runtime.flow_run.flow_name}" if runtime.flow_run.id else "", log
