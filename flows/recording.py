"""Puts a run that had nothing to do into Prefect's records by its REST API, without Prefect's seconds of import.

Only where that is plain: an address in PREFECT_API_URL, or the server that `flows.deploy` runs for this workspace, and
a password or key in the environment. Else, and wherever the API does not answer as expected, the caller runs the flow,
by which Prefect does all of it.
"""

import base64
import http.client
import json
import os
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flows import running_server

SECONDS = 5.0  # for one answer
FAILURES = (OSError, ValueError, KeyError, TypeError, http.client.HTTPException)
OTHERS = ("PREFECT_CLIENT_CUSTOM_HEADERS", "PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "PREFECT_API_SSL_CERT_FILE")


@dataclass(frozen=True)
class Api:
    """Where Prefect's API is, and what opens it."""

    url: str  # ends in /api, or in a workspace of Prefect Cloud's
    headers: dict[str, str]

    def ask(self, path: str, content: Any = None, method: str = "POST") -> Any:
        """What the API answers; OSError, ValueError or HTTPException where it refuses or does not answer."""
        body = json.dumps(content).encode()
        url = f"{self.url}/{path}"
        request = urllib.request.Request(url, body, self.headers, method=method)  # noqa: S310 -- see api()
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            said = answer.read()
        return json.loads(said) if said else None


def api() -> Api | None:
    """The API that a run would use; None where only Prefect itself knows, or there is no server yet."""
    url = os.environ.get("PREFECT_API_URL") or running_server.api()
    if not url or not url.startswith(("http://", "https://")) or any(os.environ.get(name) for name in OTHERS):
        return None
    headers = {"Content-Type": "application/json"}
    if password := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    elif key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return Api(url.rstrip("/"), headers)


def record(api: Api, flow: str, state: str, message: str, begun: datetime, parameters: dict[str, Any]) -> bool:
    """Record a run of `flow` that began at `begun` and has completed in this state; False where that failed.

    What is begun and cannot be ended is deleted again; a run that stays in the state Running is of a process that was
    killed between the two.
    """
    path = ""
    try:
        known = api.ask("flows/", {"name": flow})
        running = {"type": "RUNNING", "name": "Running"}
        run = {"flow_id": known["id"], "name": state.lower(), "parameters": parameters, "state": running}
        identity = api.ask("flow_runs/", run)["id"]
        path = f"flow_runs/{identity}"
        ended = {"type": "COMPLETED", "name": state, "message": message}
        if api.ask(f"{path}/set_state", {"state": ended, "force": True})["status"] != "ACCEPT":
            raise ValueError(path)
    except FAILURES:
        with suppress(*FAILURES):
            if path:
                api.ask(path, method="DELETE")
        return False
    seconds = (datetime.now(UTC) - begun).total_seconds()
    line = f"{message}; found by looking for {seconds:.2f} s, no task was begun"
    entry = {"name": "prefect.flow_runs", "level": 20, "message": line, "timestamp": datetime.now(UTC).isoformat()}
    with suppress(*FAILURES):
        api.ask("logs/", [{**entry, "flow_run_id": identity}])
    return True
