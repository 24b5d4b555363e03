"""Tells when a scheduled run has not begun in time, which Prefect calls Late, and when nothing served it at all."""

import logging
import threading
from collections.abc import Sequence
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from flows.report import notify

logger = logging.getLogger(__name__)

LATE = "Late"  # the state's name, which the server's own service sets 15 s after a run was due
LOOK_SECONDS = 30.0


def watch(deployments: dict[UUID, str], stop: threading.Event) -> None:
    """Until `stop`: tell of every run of these deployments (their flows' names) that is late, once each."""
    told: set[UUID] = set()
    while not stop.wait(LOOK_SECONDS):
        try:
            with get_client(sync_client=True) as client:
                tell(client, deployments, told)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            logger.warning("whether runs are late is not known: %s", error)


def tell(client: SyncPrefectClient, deployments: dict[UUID, str], told: set[UUID]) -> None:
    """Tell of the late runs that are not in `told`, which they are added to."""
    late = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=list(deployments))),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[LATE]))),
    )
    for run in late:
        if run.id not in told:
            told.add(run.id)
            flow = deployments[run.deployment_id] if run.deployment_id else "a flow"
            notify(f"foreframe: {flow} is late", f"{run.name}: was due {_due([run])} and has not begun")


def tell_missed(flow: str, runs: Sequence[FlowRun]) -> None:
    """Tell that `runs` of a flow were due while nothing served it."""
    if runs:
        notify(f"foreframe: {flow} was missed", f"{len(runs)} due {_due(runs)}: nothing served the flow")


def _due(runs: Sequence[FlowRun]) -> str:
    """When runs were due, such as `2026-11-27 03:00 UTC` or that and a second time, for the first and the last."""
    moments = sorted(f"{run.expected_start_time:%Y-%m-%d %H:%M} UTC" for run in runs if run.expected_start_time)
    return " to ".join(dict.fromkeys([*moments[:1], *moments[-1:]]))
