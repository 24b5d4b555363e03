"""A retrain that has nothing to do ends without Prefect, and Prefect's records have it all the same."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows import news, recording, running_server
from flows.overrides import PARAMS
from flows.prefect_dvc import workspace_lock
from flows.prefect_dvc.command import DVC
from flows.sealed import write_sealed
from pipeline.runtime.files import write_json
from tests.flows.conftest import ask, logs

RETRAIN = [sys.executable, "-X", "importtime", "-m", "flows.retrain"]
HOLDER = """
import sys
from flows.prefect_dvc import workspace_lock
with workspace_lock.locked():
    print("held", flush=True)
    sys.stdin.read()
"""
MISTAKES = {"train.sed=1": "train.sed=1: should be key=value", "train.seed=x": "train.seed: Input should"}
DEAD = "http://127.0.0.1:9/api"  # nobody listens


@pytest.fixture
def settled(diamond, monkeypatch):
    """A project whose stages are up to date and whose model has been judged; the current folder."""
    subprocess.run([*DVC, "repro", "--quiet"], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    folder = Path("data/model")
    folder.mkdir(parents=True)
    for name in ("model.json", "model.safetensors"):
        (folder / name).write_text("x")
    news.JUDGED.parent.mkdir(exist_ok=True)
    write_json(news.JUDGED, news.judgement(news.check([])))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(diamond / ".prefect"))
    return diamond


@pytest.fixture
def flows(monkeypatch):
    """The runs that Prefect would do: of each whether it was handed what is there to do."""
    found = []
    monkeypatch.setattr(news, "_run_flow", lambda overrides: found.append(news._looked.get() is not None))
    return found


def test_nothing_new_is_a_run_in_prefects_records_and_prefect_is_not_imported(settled, server):
    result = subprocess.run(
        RETRAIN, env={**os.environ, "PREFECT_API_URL": server}, capture_output=True, text=True, check=True
    )
    assert result.stdout == "retrain: Nothing new: videos, parameters and code are those of the last run\n"
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & {"prefect", "torch", "httpx"}
    mine = {"flows": {"name": {"any_": ["retrain"]}}, "flow_runs": {"name": {"any_": ["nothing new"]}}}
    [run, *_] = ask(server, "flow_runs/filter", **mine, sort="START_TIME_DESC")
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Nothing new")
    assert (run["state"]["message"], run["parameters"]) == (news.NOTHING[1], {"overrides": []})
    assert run["start_time"] <= run["end_time"]
    assert any("no task was begun" in line for line in logs(server, run["id"]))


def test_with_news_the_flow_goes_on_with_what_was_found_under_the_same_lock(settled, flows, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    Path("words.txt").write_text("c\n")
    news._retrain([])
    assert flows == [True]
    with news.looked([]) as found:  # a later one looks for itself
        assert [stage.name for stage in found.stages if stage.stale] == ["words", "count", "sort", "join"]


def test_where_the_api_refuses_or_does_not_answer_prefect_itself_does_the_run(settled, flows, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    news._retrain([])
    assert flows == [False]


def test_a_model_that_was_not_judged_is_news(settled, flows, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    monkeypatch.setattr(recording, "record", lambda *_: pytest.fail("nothing is new?"))
    news.JUDGED.unlink()
    news._retrain([])
    assert flows == [False]


def test_a_run_that_has_to_wait_for_another_is_prefects(settled, flows, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        news._retrain([])
        other.stdin.close()
    assert flows == [False]
    with workspace_lock.locked():  # which is free
        pass


def test_a_run_during_a_copy_and_one_without_a_server_are_prefects(settled, flows, monkeypatch):
    news._retrain([])
    assert flows == [False]
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    videos = Path("data/sample")
    videos.mkdir(parents=True)
    with (videos / "a.mp4").open("w"):
        news._retrain([])
    assert flows == [False, False]


def test_a_mistake_in_what_was_typed_is_one_line_at_once_and_no_server_is_started(settled):
    before = PARAMS.read_bytes()
    for typed, told in MISTAKES.items():
        result = subprocess.run([*RETRAIN, "-S", typed], capture_output=True, text=True, check=False)
        [line] = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
        assert told in line
        assert result.returncode == 1
        assert "prefect.main" not in result.stderr
    assert PARAMS.read_bytes() == before


class Service(BaseHTTPRequestHandler):
    """An API that wants `Authorization` and keeps what it is told."""

    wanted, told = "", []

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != self.wanted:
            self.send_response(401)
            self.end_headers()
            return
        self.told.append((self.path, content))
        body = json.dumps({"id": "1", "status": "ACCEPT"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PREFECT_API_AUTH_STRING", "me:secret", f"Basic {base64.b64encode(b'me:secret').decode()}"),
        ("PREFECT_API_KEY", "pnu_1", "Bearer pnu_1"),
    ],
)
def test_a_password_or_key_of_the_environment_is_sent_and_without_it_nothing_is_recorded(
    monkeypatch, name, value, wanted
):
    monkeypatch.setattr(Service, "wanted", wanted)
    monkeypatch.setattr(Service, "told", [])
    begun = news.datetime.now(news.UTC)
    with HTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{service.server_port}/api")
        monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
        assert not recording.record(recording.api(), "retrain", *news.NOTHING, begun, {})
        assert Service.told == []
        monkeypatch.setenv(name, value)
        assert recording.record(recording.api(), "retrain", *news.NOTHING, begun, {})
        service.shutdown()
    paths = [path.removeprefix("/api/") for path, _ in Service.told]
    assert paths == ["flows/", "flow_runs/", "flow_runs/1/set_state", "logs/"]


def test_a_run_that_cannot_be_ended_is_deleted_again(monkeypatch):
    asked = []

    def ask(self, path, content=None, method="POST"):
        asked.append((method, path))
        if path.endswith("set_state"):
            raise OSError
        return {"id": "1"}

    monkeypatch.setattr(recording.Api, "ask", ask)
    begun = news.datetime.now(news.UTC)
    assert not recording.record(recording.Api("", {}), "retrain", *news.NOTHING, begun, {})
    assert asked[-1] == ("DELETE", "flow_runs/1")


def test_the_server_of_this_workspace_is_used_as_long_as_whoever_runs_it_lives(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert recording.api() is None
    with running_server.noted("http://127.0.0.1:4321"):
        assert recording.api().url == "http://127.0.0.1:4321/api"
        note = json.loads((tmp_path / ".prefect/server.json").read_text())
    assert recording.api() is None
    write_sealed(
        tmp_path / ".prefect/server.json", {**note, "begun": note["begun"] - 100}
    )  # of another with its number
    assert recording.api() is None
