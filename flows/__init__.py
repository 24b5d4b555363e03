"""Prefect flows: when, where and what next. The work itself is dvc.yaml's."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from pipeline.errors import PipelineError

# here, because Prefect looks at it when it is imported: what runs on this machine tells nobody
os.environ.setdefault("DO_NOT_TRACK", "1")


def at_the_prompt(flow: Callable[..., Any], *arguments: Any) -> Any:
    """Run a flow for whoever typed its name: a mistake of theirs ends in one line and exit code 1."""
    try:
        return flow(*arguments)
    except PipelineError as error:
        sys.exit(f"{flow.__name__}: {error}")


def _in_one_line(record: logging.LogRecord) -> bool:
    """A mistake of the user's says what to do in its message; where in the code it was noticed helps nobody."""
    if record.exc_info and isinstance(record.exc_info[1], PipelineError):
        record.exc_info = None
    return True


for name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(name).addFilter(_in_one_line)
