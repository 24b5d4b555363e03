"""Prefect flows: when and where the pipeline runs, and what follows. The work itself is in dvc.yaml's stages."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from pipeline.errors import PipelineError

# no telemetry; here, because Prefect reads it when it is imported
os.environ.setdefault("DO_NOT_TRACK", "1")


def at_the_prompt(flow: Callable[..., Any], *arguments: Any) -> Any:
    """Run a flow for a person at a terminal: a PipelineError ends in one line and exit code 1."""
    try:
        return flow(*arguments)
    except PipelineError as error:
        sys.exit(f"{flow.__name__}: {error}")


def _in_one_line(record: logging.LogRecord) -> bool:
    """A logging filter: a PipelineError's message says all that a user needs, so its traceback is left out."""
    if record.exc_info and isinstance(record.exc_info[1], PipelineError):
        record.exc_info = None
    return True


for name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(name).addFilter(_in_one_line)
