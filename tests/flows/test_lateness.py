"""A scheduled run that does not begin in time is told to the address in FOREFRAME_NOTIFY."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows import deploy, lateness
from pipeline.params import load_params
from tests.flows.conftest import ROOT, ask


@pytest.fixture
def told(monkeypatch):
    """The messages that were posted."""
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv("FOREFRAME_NOTIFY", f"json://127.0.0.1:{service.server_port}")
        yield received
        service.shutdown()


def test_a_late_run_is_told_once_and_one_in_time_is_not(api, told):
    flow = ask(api, "flows/", name="retrain")
    deployment = ask(api, "deployments/", name="scheduled", flow_id=flow["id"])
    now = datetime.now(UTC)
    due = now - timedelta(minutes=7)
    for name, state, moment in (("in time", "Scheduled", now + timedelta(hours=1)), ("nightly", "Late", due)):
        planned = {"type": "SCHEDULED", "name": state, "state_details": {"scheduled_time": moment.isoformat()}}
        ask(api, f"deployments/{deployment['id']}/create_flow_run", name=name, state=planned)
    names, known = {deploy.UUID(deployment["id"]): "retrain"}, set()
    with get_client(sync_client=True) as client:
        lateness.tell(client, names, known)
        lateness.tell(client, names, known)
    assert [message["title"] for message in told] == ["foreframe: retrain is late"]
    assert told[0]["message"] == f"nightly: was due {due:%Y-%m-%d %H:%M} UTC and has not begun"


def test_runs_that_nothing_served_are_told_at_the_next_start(api, told):
    flow = ask(api, "flows/", name="generate")
    deployment = ask(api, "deployments/", name=deploy.NAME, flow_id=flow["id"])
    for minutes in (50, 35, 20):
        due = datetime.now(UTC) - timedelta(minutes=minutes)
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
        ask(api, f"deployments/{deployment['id']}/create_flow_run", state=state)
    with get_client(sync_client=True) as client:
        assert deploy._settle(client, "generate", None, "UTC", alone=True)
        assert not deploy._settle(client, "generate", None, "UTC", alone=True)
    assert [message["title"] for message in told] == ["foreframe: generate was missed"]
    assert told[0]["message"].startswith("3 due ")


def test_the_plan_of_every_flow_is_one_line():
    params = load_params(Path(ROOT / "params.yaml"))
    zone = {"timezone": "Europe/Berlin", "generate": None}
    params = params.model_copy(update={"schedules": params.schedules.model_copy(update=zone)})
    assert deploy.plans(params, datetime(2026, 11, 27, 22, 45, tzinfo=UTC)) == [
        "retrain: next at 2026-11-28 03:00 Europe/Berlin, when a video comes into data/sample, "
        "when monitor finds drift",
        "generate: never by itself (schedules in params.yaml)",
        "monitor: next at 2026-11-28 00:30 Europe/Berlin",
        "tidy: next at 2026-11-29 05:00 Europe/Berlin",
    ]
