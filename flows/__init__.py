"""Prefect flows: when and where the pipeline runs, and what follows. The work itself is in dvc.yaml's stages."""

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from flows import termination
from flows.prefect_dvc import site_cache
from pipeline.errors import PipelineError, told
from pipeline.runtime import interrupts
from pipeline.runtime.parents import end_with, end_with_input

# no telemetry; here, because Prefect reads it when it is imported
os.environ.setdefault("DO_NOT_TRACK", "1")
# a temporary server, in whatever project: Prefect's 20 seconds are few on a busy machine
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")


def _keep_loopback_from_proxies() -> None:
    """Adds this machine's own names to NO_PROXY: a proxy (HTTP_PROXY) cannot reach Prefect's server on loopback."""
    hosts = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    if "*" not in hosts:
        value = ",".join(dict.fromkeys([*filter(None, hosts), "127.0.0.1", "localhost", "::1"]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = value  # some libraries read one of them, some the other


_keep_loopback_from_proxies()
interrupts.end_quietly()
site_cache.use_private()

# both here, before Prefect is imported, which takes seconds
UNTIL_EOF = "FOREFRAME_UNTIL_EOF"  # set for a server whose standard input is a pipe of its owner
if os.environ.pop(UNTIL_EOF, None):
    end_with_input()
RUNNER = "FOREFRAME_RUNNER"  # set by flows.deploy for the runs that it starts: its own number and time of start
WATCHED = "FOREFRAME_WATCHED"  # set by a run for what it starts, which ends in order when the run does


def runner() -> str:
    """This process, as RUNNER names it."""
    return f"{os.getpid()} {psutil.Process().create_time()}"


def _runner() -> list[psutil.Process]:
    """The process that started this run: flows.deploy, a worker; empty if it is gone."""
    if RUNNER not in os.environ:
        return [process for process in [psutil.Process().parent()] if process is not None]
    number, start = os.environ[RUNNER].split()
    try:
        process = psutil.Process(int(number))
        return [process] if abs(process.create_time() - float(start)) < 1 else []
    except psutil.NoSuchProcess:
        return []


def end_with_runner() -> None:
    """A run that Prefect has started ends with what started it, and takes its stages along."""
    if "PREFECT__FLOW_RUN_ID" in os.environ and WATCHED not in os.environ:
        os.environ[WATCHED] = "1"
        end_with(_runner())


end_with_runner()


def at_the_prompt(flow: Callable[..., Any], *arguments: Any, first: Callable[[], object] | None = None) -> Any:
    """Run a flow for a person at a terminal: a mistake, or what the system refuses, ends in one line, exit code 1.

    `first` is called before a server is started: it raises PipelineError for mistakes in what was typed.
    """
    import httpx  # as Prefect does, below

    try:
        if first is not None:
            first()
        with _server_of_our_own(flow), termination.orderly():
            return flow(*arguments)
    except PipelineError as error:
        sys.exit(f"{flow.__name__}: {error}")
    except OSError as error:
        sys.exit(f"{flow.__name__}: {told(error)}")
    except httpx.TransportError as error:
        sys.exit(f"{flow.__name__}: Prefect's API does not answer ({error}): is the machine too busy? run it again")
    except RuntimeError as error:
        if "ephemeral Prefect API" not in str(error):
            raise
        sys.exit(f"{flow.__name__}: Prefect's temporary server does not answer: is the machine too busy? run it again")


@contextmanager
def _server_of_our_own(flow: Callable[..., Any]) -> Iterator[None]:
    """Where no API is set, the server that runs for this workspace, else one of our own for as long as we live.

    That one is flows/server.py with a password: Prefect's own checks neither Host nor Origin, so that any web page
    could reach it, and lives on if we are killed. Its database is the workspace's. Where an API is set, it must
    answer: PipelineError if it does not.
    """
    from prefect import Flow
    from prefect.settings import (  # not above: it reads the environment that is set there
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_SERVER_API_AUTH_STRING,
        temporary_settings,
    )

    from flows import running_server

    if api_url := PREFECT_API_URL.value() or running_server.api():
        if isinstance(flow, Flow):
            from flows.server import check_answers

            check_answers(api_url)
        with temporary_settings({PREFECT_API_URL: api_url}):
            yield
    else:
        if isinstance(flow, Flow):
            from prefect.server.api.server import SubprocessASGIServer

            SubprocessASGIServer._run_uvicorn_command = _start_server  # type: ignore[method-assign, assignment]
            if not flow.fn.__module__.startswith("flows.prefect_dvc"):  # that one is for projects of others
                os.environ["PREFECT_HOME"] = str(running_server.home())
        password = f"foreframe:{secrets.token_urlsafe()}"
        with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: password, PREFECT_API_AUTH_STRING: password}):
            yield


def _start_server(prefects: Any) -> "subprocess.Popen[bytes]":
    """In place of the method by which Prefect's SubprocessASGIServer starts its server, once it is needed."""
    from prefect.settings import get_current_settings

    return subprocess.Popen(
        [sys.executable, "-m", "flows.server", "--port", str(prefects.port)],
        env={
            **os.environ,
            **get_current_settings().to_environment_variables(exclude_unset=True),
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",  # without the services that schedules need
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
            UNTIL_EOF: "1",
            **{name: os.environ[name] for name in ["PREFECT_HOME"] if name in os.environ},
        },
        stdin=subprocess.PIPE,  # held open as long as this process lives
        start_new_session=True,  # Ctrl-C is for the flow, which still has to tell the server how it ended
    )


def _in_one_line(record: logging.LogRecord) -> bool:
    """A logging filter: where messages say all that a user needs, or he ended the run, tracebacks are left out."""
    if record.exc_info and (termination.told() or isinstance(record.exc_info[1], PipelineError | OSError)):
        record.exc_info = None
    return True


for name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(name).addFilter(_in_one_line)
