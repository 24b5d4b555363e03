"""A real Prefect server, on a port and in a home of its own, for all tests of the session that ask for one."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.workspace import make_workspace

ROOT = Path(__file__).parents[2]
DIAMOND = """
stages:
  words:
    cmd: cp words.txt words && echo copied all words
    deps: [words.txt]
    outs: [words]
  count:
    cmd: python count.py
    deps: [words, count.py]
    outs: [count]
    metrics: [{score.json: {cache: false}}]
  sort:
    cmd: sort words > sorted
    deps: [words]
    outs: [sorted]
  join:
    cmd: cat count sorted > joined
    deps: [count, sorted]
    outs: [joined]
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_server(home: Path, port: int) -> subprocess.Popen:
    """A server that is ready; its settings other than home and port are the project's own."""
    with (home.parent / "server.log").open("a") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server", "--port", str(port)],
            env={**os.environ, "PREFECT_HOME": str(home)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    for _ in range(6000):  # ready in 10 s on a quiet machine
        assert server.poll() is None, (home.parent / "server.log").read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=1).is_success:
                return server
        except httpx.TransportError:
            time.sleep(0.1)
    server.kill()
    raise AssertionError(f"the server did not start: {(home.parent / 'server.log').read_text()}")


def ask(api: str, path: str, **body: Any) -> Any:
    """What the server's REST API answers; asked again while SQLite is busy (503), as Prefect's own client does."""
    for _ in range(20):
        response = httpx.post(f"{api}/{path}", json=body, timeout=30)
        if response.status_code != 503:
            break
        time.sleep(0.5)
    response.raise_for_status()
    return response.json()


def task_runs(api: str, flow_run_id: Any) -> dict[str, Any]:
    """State (name, type, message) of every task run of a flow run, by the task run's name; the last try counts."""
    filters = {"id": {"any_": [str(flow_run_id)]}}
    runs = ask(api, "task_runs/filter", flow_runs=filters, sort="EXPECTED_START_TIME_ASC")
    return {run["name"]: run["state"] for run in runs}


def logs(api: str, flow_run_id: Any) -> list[str]:
    """The lines of a flow run's log and of its tasks'."""
    entries = ask(api, "logs/filter", logs={"flow_run_id": {"any_": [str(flow_run_id)]}})
    return [entry["message"] for entry in entries]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server's API."""
    port = free_port()
    process = start_server(tmp_path_factory.mktemp("prefect") / "home", port)
    yield f"http://127.0.0.1:{port}/api"
    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)  # what they still hold would be tried again for a minute at exit
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def api(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Flows that this test calls, and commands that it starts, talk to the session's server."""
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect-home"))
    with temporary_settings({PREFECT_API_URL: server}):
        yield server


def git_and_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git and DVC repository with an identity and state of its own; it becomes the current folder."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc-site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@localhost")
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    return folder


@pytest.fixture
def diamond(tmp_path, monkeypatch):
    """A git and DVC repository with four stages in a diamond; the current folder."""
    folder = git_and_dvc(tmp_path, monkeypatch)
    (folder / "dvc.yaml").write_text(DIAMOND)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "words.txt").write_text("b\na\n")
    (folder / "count.py").write_text(
        "import pathlib as p\n"
        "n = len(p.Path('words').read_text().split())\n"
        "p.Path('count').write_text(f'{n}\\n')\n"
        "p.Path('score.json').write_text(f'{{\"n\": {n}}}')\n"
    )
    return folder


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The real pipeline on small parameters, reproduced once; its videos are in `videos`, a folder of the user."""
    folder = tmp_path_factory.mktemp("template") / "workspace"
    environment = make_workspace(folder)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("videos: data/sample", "videos: videos"))  # which the stage fills then
    subprocess.run([sys.executable, "-m", "pipeline.stages.sample", "videos"], cwd=folder, env=environment, check=True)
    ignored = folder / ".gitignore"
    ignored.write_text(ignored.read_text() + "/prefect-home/\n")
    for command in (
        [sys.executable, "-m", "dvc", "repro", "--quiet"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "first results"],
    ):
        subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder, environment


@pytest.fixture
def reproduced(_template: tuple[Path, dict[str, str]], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A copy of the real pipeline's workspace for this test, and the environment for commands in it."""
    folder, environment = _template
    copy = tmp_path / "pipeline"
    shutil.copytree(folder, copy, symlinks=True)
    state = {"DVC_SITE_CACHE_DIR": str(tmp_path / "dvc-site"), "PREFECT_HOME": str(tmp_path / "home" / "prefect")}
    return copy, {**environment, **state, "OMP_NUM_THREADS": "1"}
