"""Runs the flows on their schedules: `python -m flows.deploy` starts Prefect's server, dashboard and schedules."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    StateType,
)
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, PREFECT_RUNNER_POLL_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Crashed
from prefect.types.entrypoint import EntrypointType

from flows import RUNNER, UNTIL_EOF, arrivals, command_line, lateness, prefect_database, runner, running_server, warm
from flows.generate import generate
from flows.monitor import DRIFT, monitor
from flows.report import PAGES, RENDERS
from flows.retention import tidy
from flows.retrain import retrain
from flows.server import check_answers, check_api_url, check_host, check_running, refusal, url
from pipeline.errors import PipelineError, told
from pipeline.params import Params, load_params
from pipeline.runtime.interrupts import interruptible

logger = logging.getLogger(__name__)

NAME = "scheduled"  # of every deployment
PORT = 4200
MOST_PORTS = 20  # that are tried for the rendered page, from the one after the server's on
START_SECONDS = 300  # for the server: it is ready in 8 on a quiet machine
MOST_RUNS = 4  # at once: one of each flow
POLL_SECONDS = 1.0  # between two looks for runs that are due; Prefect's own 10 are many after a video has come
ARRIVAL = "arrival"  # tag of runs that new videos have started
# What becomes of a run that is due while the one before it is still running. New videos may have come after the running
# one looked for them, so a second retrain waits, and ends in seconds if there are none; the others are due again soon.
COLLISIONS = {
    "retrain": ConcurrencyLimitStrategy.ENQUEUE,
    "generate": ConcurrencyLimitStrategy.CANCEL_NEW,
    "monitor": ConcurrencyLimitStrategy.CANCEL_NEW,
    "tidy": ConcurrencyLimitStrategy.CANCEL_NEW,
}
FLOWS: list[Flow[Any, Any]] = [retrain, generate, monitor, tidy]


def deployments(params: Params) -> dict[str, RunnerDeployment]:
    """Every flow with its schedule, by the flow's name; retrain also runs when monitor reports drift."""
    by_name = {}
    for flow in FLOWS:
        cron = getattr(params.schedules, flow.name)
        drift = DeploymentEventTrigger(name="foreframe drift", expect={DRIFT})
        by_name[flow.name] = cast(  # to_deployment and add_deployment return coroutines to callers that are coroutines
            RunnerDeployment,
            flow.to_deployment(
                NAME,
                schedules=[Cron(cron, timezone=params.schedules.timezone)] if cron else [],
                concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=COLLISIONS[flow.name]),
                triggers=[drift] if flow is retrain else [],
                entrypoint_type=EntrypointType.MODULE_PATH,
            ),
        )
    return by_name


def missed(last: datetime, cron: str, timezone: str, now: datetime) -> bool:
    """Was a run due after `last`, the time of the last one, and until `now`?"""
    return following(last, cron, timezone) <= now


def following(moment: datetime, cron: str, timezone: str) -> datetime:
    """The first time after `moment` that a schedule names."""
    dates = asyncio.run(_dates(CronSchedule(cron=cron, timezone=timezone), moment))
    return next(date for date in dates if date > moment)  # the list begins with its start where that is a date


async def _dates(schedule: CronSchedule, start: datetime) -> Sequence[datetime]:
    from prefect.server.schemas.schedules import CronSchedule as ServerSchedule

    return await ServerSchedule(**schedule.model_dump()).get_dates(100, start=start)


def serve(params: Params, *, alone: bool) -> None:
    """Register the deployments and run what is due until SIGTERM or Ctrl-C; then their schedules are paused.

    Where runs of a flow were missed while nothing served it, one is started now. `alone` says that nobody else uses
    this API: runs that it takes for running are then those of a predecessor that was killed.
    """
    seconds = min(POLL_SECONDS, PREFECT_RUNNER_POLL_FREQUENCY.value())
    runner = Runner(name="foreframe", limit=MOST_RUNS, pause_on_shutdown=True, query_seconds=seconds)
    stopping = threading.Event()
    names: dict[UUID, str] = {}
    with get_client(sync_client=True) as client:
        for name, deployment in deployments(params).items():
            due = _settle(client, name, getattr(params.schedules, name), params.schedules.timezone, alone=alone)
            deployment_id = cast(UUID, runner.add_deployment(deployment))
            names[deployment_id] = name
            if due:
                client.create_flow_run_from_deployment(deployment_id, name=f"missed {name}", tags=["missed"])
            if name == "retrain" and params.schedules.watch:
                _in_background(partial(_watch, deployment_id, params.schedules.quiet_seconds, stopping))
    _in_background(partial(lateness.watch, names, stopping))
    for line in plans(params, datetime.now(UTC)):
        print(line, flush=True)  # noqa: T201 -- Prefect lets the root logger pass warnings only
    try:
        asyncio.run(runner.start())
    finally:
        stopping.set()
        if alone:  # their processes end with this one
            with suppress(httpx.HTTPError, PrefectHTTPStatusError), get_client(sync_client=True) as client:
                _close(client, list(names), "flows.deploy was stopped meanwhile")


def _in_background(work: Callable[[], None]) -> None:
    # in a copy of this context, which says where the API is
    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()


def plans(params: Params, now: datetime) -> list[str]:
    """One line per flow: when it runs next, and what else starts it."""
    lines = []
    for flow in FLOWS:
        cron, zone = getattr(params.schedules, flow.name), params.schedules.timezone
        when = []
        if cron:
            when.append(f"next at {following(now, cron, zone).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}")
        if flow is retrain:
            when += [f"when a video comes into {params.data.videos}"] if params.schedules.watch else []
            when += ["when monitor finds drift"]
        lines.append(f"{flow.name}: {', '.join(when) or 'never by itself (schedules in params.yaml)'}")
    return lines


def _watch(retrain_id: UUID, quiet_seconds: float, stopping: threading.Event) -> None:
    """Start `retrain` whenever something has come into data.videos, unless a run that will see it waits already."""

    def folder() -> Path:
        try:
            return Path(load_params(Path("params.yaml")).data.videos)
        except PipelineError:  # somebody edits it: the runs say what is wrong
            return Path("params.yaml")

    def arrived() -> None:
        mine = DeploymentFilter(id=DeploymentFilterId(any_=[retrain_id]))
        waiting = FlowRunFilter(
            tags=FlowRunFilterTags(all_=[ARRIVAL]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        )
        try:
            with get_client(sync_client=True) as client:
                if not client.read_flow_runs(deployment_filter=mine, flow_run_filter=waiting, limit=1):
                    client.create_flow_run_from_deployment(retrain_id, name="new videos", tags=[ARRIVAL])
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            logger.warning("%s: new videos start no run (%s); the next schedule sees them", folder(), error)

    arrivals.watch(folder, arrived, quiet_seconds, stopping)


def _settle(client: SyncPrefectClient, flow: str, cron: str | None, timezone: str, *, alone: bool) -> bool:
    """Close the runs of `flow` that a predecessor left open; returns whether a run was missed since."""
    try:
        known = client.read_deployment_by_name(f"{flow}/{NAME}")
    except ObjectNotFound:
        return False
    now = datetime.now(UTC)
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[known.id])),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )
    past = [run for run in runs if run.expected_start_time is not None and run.expected_start_time <= now]
    unserved = [run for run in past if run.state_type == StateType.SCHEDULED]
    for run in unserved:
        _set(client, run, Cancelled(name="Missed", message="nothing served this flow when it was due"))
    lateness.tell_missed(flow, unserved)
    if alone:
        _close(client, [known.id], "what served this run was killed")
    served = [run.expected_start_time for run in past if run not in unserved]
    last = max([moment for moment in served if moment is not None], default=known.created)
    return bool(unserved) or (cron is not None and last is not None and missed(last, cron, timezone, now))


def _close(client: SyncPrefectClient, deployment_ids: list[UUID], message: str) -> None:
    """Runs of these deployments that are going on have crashed."""
    types = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    for run in client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployment_ids)),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))),
    ):
        _set(client, run, Crashed(message=message))


def _set(client: SyncPrefectClient, run: FlowRun, state: Any) -> None:
    client.set_flow_run_state(run.id, state, force=True)


@contextmanager
def server(port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """A Prefect server with its dashboard on `host`, with SQLite; restarted if it dies, used if it runs already."""
    check_host(host)
    address = url(host, port)
    if _healthy(address):  # a predecessor that was killed left it, or it is somebody else's
        check_running(address, running_server.home())
    else:
        print("Prefect's server starts, which takes some seconds", flush=True)  # noqa: T201 -- as below
    stopping = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def keep_running() -> None:
        while not stopping.is_set():
            if not (started and started[-1].poll() is None) and not _healthy(address):
                started.append(_start(host, port))
            stopping.wait(1)

    keeper = threading.Thread(target=keep_running, daemon=True)
    keeper.start()
    deadline = time.monotonic() + START_SECONDS
    while not _healthy(address):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{address}: the server did not start; see {running_server.home() / 'server.log'}")
        time.sleep(0.2)
    print(f"dashboard: {address}", flush=True)  # noqa: T201 -- Prefect lets the root logger pass warnings only
    try:
        with temporary_settings({PREFECT_API_URL: f"{address}/api"}), running_server.noted(address):
            yield
    finally:
        stopping.set()
        keeper.join()
        for process in started:
            process.terminate()
            process.wait()


def _start(host: str, port: int) -> subprocess.Popen[bytes]:
    log = running_server.home() / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.server", "--host", host, "--port", str(port)],
            env={**os.environ, "PREFECT_HOME": str(running_server.home()), UNTIL_EOF: "1"},
            stdin=subprocess.PIPE,  # held open as long as this process lives, so that the server never outlives it
            stdout=file,
            stderr=file,
            start_new_session=True,  # so that Ctrl-C does not end it before its clients
        )


def _healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/health", timeout=2).is_success
    except httpx.TransportError:
        return False


@contextmanager
def pages(port: int) -> Iterator[None]:
    """Serve data/renders on 127.0.0.1, for the links in reports: a browser opens no files from a web page.

    At `port`, so that the links of earlier starts go on working; where it is taken, at the next one that is free.
    """
    with _listening(port, partial(_Quiet, directory=str(RENDERS.resolve()))) as service:
        os.environ[PAGES] = f"http://127.0.0.1:{service.server_port}"
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield
        service.shutdown()


def _listening(port: int, handler: Any) -> ThreadingHTTPServer:
    for wanted in range(port, port + MOST_PORTS):
        with suppress(OSError, OverflowError):  # taken, not allowed, or above 65,535
            return ThreadingHTTPServer(("127.0.0.1", wanted), handler)
    return ThreadingHTTPServer(("127.0.0.1", 0), handler)


class _Quiet(SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        """The beginning of every answer: 403 where flows.server would refuse the request, too."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        if reason := refusal(headers, hosts=[], origins=[]):
            self.send_error(HTTPStatus.FORBIDDEN, explain=f"foreframe: refused: {reason}")
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def main() -> None:
    """Start what is needed and serve until stopped."""
    parser = command_line.parser("flows.deploy", __doc__, "", "--port 4300")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded server (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="the embedded server listens on (default: %(default)s)")
    arguments = parser.parse_args()
    interruptible()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ[RUNNER] = runner()
    try:
        params = load_params(Path("params.yaml"))
        with pages(arguments.port + 1), warm.served():  # which imports while the server starts
            if api_url := PREFECT_API_URL.value():
                check_api_url(api_url)
                check_answers(api_url)
                serve(params, alone=False)
            else:
                prefect_database.compact()
                prefect_database.rotate_log(params.retain.server_log_mb)
                with server(arguments.port, arguments.host):
                    serve(params, alone=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)  # noqa: T201
        sys.exit(130)  # the shells' exit code for Ctrl-C
    except PipelineError as error:
        sys.exit(f"deploy: {error}")
    except OSError as error:
        sys.exit(f"deploy: {told(error)}")
    except httpx.TransportError as error:
        sys.exit(f"deploy: Prefect's API does not answer ({error}): is it still running? start this again")


if __name__ == "__main__":
    main()
