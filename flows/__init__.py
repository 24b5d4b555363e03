"""Prefect flows: when and where the pipeline runs, and what follows. The work itself is in dvc.yaml's stages."""

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import PipelineError

# no telemetry; here, because Prefect reads it when it is imported
os.environ.setdefault("DO_NOT_TRACK", "1")


def _keep_loopback_from_proxies() -> None:
    """Adds this machine's own names to NO_PROXY: a proxy (HTTP_PROXY) cannot reach Prefect's server on loopback."""
    hosts = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    if "*" not in hosts:
        value = ",".join(dict.fromkeys([*filter(None, hosts), "127.0.0.1", "localhost", "::1"]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = value  # some libraries read one of them, some the other


_keep_loopback_from_proxies()


def at_the_prompt(flow: Callable[..., Any], *arguments: Any) -> Any:
    """Run a flow for a person at a terminal: a PipelineError ends in one line and exit code 1."""
    try:
        with _temporary_server_with_password():
            return flow(*arguments)
    except PipelineError as error:
        sys.exit(f"{flow.__name__}: {error}")


@contextmanager
def _temporary_server_with_password() -> Iterator[None]:
    """The server that Prefect starts where no API is set answers this process and its children alone.

    It checks neither Host nor Origin (flows/server.py does), so that any web page could reach it.
    """
    from prefect.settings import (  # not above: it reads the environment that is set there
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_SERVER_API_AUTH_STRING,
        temporary_settings,
    )

    if PREFECT_API_URL.value():
        yield
    else:
        password = f"foreframe:{secrets.token_urlsafe()}"
        with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: password, PREFECT_API_AUTH_STRING: password}):
            yield


def _in_one_line(record: logging.LogRecord) -> bool:
    """A logging filter: a PipelineError's message says all that a user needs, so its traceback is left out."""
    if record.exc_info and isinstance(record.exc_info[1], PipelineError):
        record.exc_info = None
    return True


for name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(name).addFilter(_in_one_line)
