"""What a person at a terminal sees of a mistake."""

import errno
import logging
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import at_the_prompt, running_server
from pipeline.errors import ParamsError
from pipeline.project import prefect_api
from tests.flows.conftest import ROOT, free_port


def test_a_mistake_at_the_prompt_is_one_line():
    def broken() -> None:
        raise ParamsError("params.yaml: a: is missing")

    with pytest.raises(SystemExit, match=r"^broken: params\.yaml: a: is missing$"):
        at_the_prompt(broken)
    logger = logging.getLogger("prefect.flow_runs")
    for error, shown in ((ParamsError("a"), False), (OSError("a"), False), (ValueError("a"), True)):  # that is a bug
        record = logger.makeRecord("", logging.ERROR, "", 0, "failed", (), (type(error), error, None))
        assert logger.filter(record)
        assert bool(record.exc_info) is shown


def test_what_the_system_refuses_is_one_line():
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "models/v1.0.0")

    with pytest.raises(SystemExit, match=r"^full: models/v1\.0\.0: No space left on device; free some space there"):
        at_the_prompt(full)


def test_an_api_that_does_not_answer_is_one_line(monkeypatch):
    @flow
    def unreached() -> None:
        raise AssertionError

    api = f"http://127.0.0.1:{free_port()}/api"
    message = rf"^unreached: PREFECT_API_URL: no server answers at {api} \(.*refused.*\); start it"
    with temporary_settings({PREFECT_API_URL: api}), pytest.raises(SystemExit, match=message):
        at_the_prompt(unreached)


def test_a_mistake_in_what_was_typed_is_told_before_the_flow_is_called():
    def wrong() -> None:
        raise ParamsError("train.sed=1: should be key=value")

    def untouched() -> None:
        raise AssertionError

    with pytest.raises(SystemExit, match=r"^untouched: train\.sed=1: should be key=value$"):
        at_the_prompt(untouched, first=wrong)


def test_a_flow_by_hand_uses_the_server_that_runs_for_its_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        with running_server.noted("http://127.0.0.1:4321"):
            assert at_the_prompt(PREFECT_API_URL.value) == "http://127.0.0.1:4321/api"
        assert at_the_prompt(PREFECT_API_URL.value) is None


def test_a_server_that_asks_for_a_password_is_one_line(tmp_path, monkeypatch):
    @flow
    def refused() -> None:
        raise AssertionError

    class Closed(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with HTTPServer(("127.0.0.1", 0), Closed) as service, temporary_settings(restore_defaults={PREFECT_API_URL}):
        threading.Thread(target=service.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{service.server_port}"
        message = rf"^refused: {address}/api asks for a password: set PREFECT_API_AUTH_STRING"
        with running_server.noted(address), pytest.raises(SystemExit, match=message):
            at_the_prompt(refused)
        service.shutdown()


@pytest.mark.slow
def test_runs_by_hand_are_in_the_database_that_status_reads(diamond, monkeypatch):
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run([sys.executable, "-m", "flows.repro", "words"], check=True)
    [run] = prefect_api.last_runs(prefect_api.database(diamond), 5)
    assert (run.flow, run.name, run.state) == ("repro", "repro words", "Completed")


@pytest.mark.slow
def test_a_temporary_server_ends_with_its_owner_however_that_ends(tmp_path):
    code = """
import os, time
from flows import at_the_prompt
from prefect import flow
from prefect.server.api.server import SubprocessASGIServer
@flow
def endless():
    print(SubprocessASGIServer().server_process.pid, flush=True)
    time.sleep(600)
at_the_prompt(endless)
"""
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**environment, "PREFECT_HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    server = psutil.Process(int(owner.stdout.readline()))
    assert "flows.server" in server.cmdline()
    owner.kill()
    owner.communicate()
    psutil.wait_procs([server], timeout=30)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
