"""Runs of flows.deploy begin in forks of a process that has imported everything; it is as if they had been started."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import warm_client
from tests.flows.conftest import ROOT

CLIENT = [sys.executable, "-I", "-S", str(ROOT / "flows/warm_client.py"), "engine"]
ENGINE = """
import os, sys, time
try:
    print("error", file=sys.stderr, flush=True)
    print(os.getcwd(), os.environ["NAME"], flush=True)
    if os.environ["NAME"] == "waits":
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A copy of flows/ and pipeline/ with a module `engine`, whose own .py files may change; the current folder."""
    folder = tmp_path / "code"
    for name in ("flows", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "engine.py").write_text(ENGINE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv(warm_client.SOCKET, str(tmp_path / "warm"))
    monkeypatch.setenv("NAME", "runs")
    return folder


@pytest.fixture
def warm(code):
    """The warm process, which listens."""
    process = subprocess.Popen([sys.executable, "-m", "flows.warm"], stdin=subprocess.PIPE)
    wait_for(Path(os.environ[warm_client.SOCKET]).exists, 300)
    yield process
    process.kill()
    process.communicate()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def call(folder, **environment):
    return subprocess.run(
        CLIENT, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def forks(warm):
    return [child for child in psutil.Process(warm.pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def test_a_fork_has_folder_environment_streams_and_exit_status_of_its_client(warm, tmp_path):
    for number in (0, 5):
        result = call(tmp_path, CODE=str(number))
        assert (result.stdout, result.stderr) == (f"{tmp_path} runs\n", "error\n")
        assert result.returncode == number


def test_without_a_warm_process_the_client_becomes_the_command(code):
    result = call(code, CODE="3")
    assert (result.stdout, result.returncode) == (f"{code} runs\n", 3)


def test_a_signal_reaches_the_fork_and_its_end_the_client(warm, code):
    client = subprocess.Popen(CLIENT, env={**os.environ, "NAME": "waits"}, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == f"{code} waits\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(60) == 7


@pytest.mark.parametrize("killed", ["client", "fork"])
def test_fork_and_client_end_together(warm, code, killed):
    client = subprocess.Popen(CLIENT, env={**os.environ, "NAME": "waits"}, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == f"{code} waits\n"
    [fork] = forks(warm)
    (client if killed == "client" else fork).kill()
    assert client.wait(60) == -signal.SIGKILL
    wait_for(lambda: not forks(warm))
    assert call(code).returncode == 0  # the next


def test_after_a_change_of_the_code_the_warm_process_begins_anew_and_nothing_runs_with_the_old(warm, code):
    path = Path(os.environ[warm_client.SOCKET])
    begun = path.stat().st_ino, path.stat().st_ctime_ns
    with (code / "pipeline/errors.py").open("a") as file:
        file.write("\nclass New(Exception):\n    pass\n")
    (code / "engine.py").write_text("from pipeline.errors import New\nprint(New.__name__)\n")
    assert call(code).stdout == "New\n"  # as a command
    wait_for(lambda: path.exists() and (path.stat().st_ino, path.stat().st_ctime_ns) != begun, 300)
    assert call(code).stdout == "New\n"  # from the new warm process
    assert warm.poll() is None
