"""Prefect's database in Postgres, where Debian's package is installed: runs, schedules, cancelling, retention."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import prefect_database
from tests.flows.conftest import ask, free_port, start_server
from tests.flows.test_retention import ended_runs

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAMS, reason="no PostgreSQL here (Debian's package postgresql)"),
]


@flow(name="monitor")
def short() -> None:
    """Stands in for one of our flows."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of an empty database on loopback; it ends and goes with the tests."""
    folder = Path("/tmp") / f"foreframe-postgres-{os.getpid()}"
    folder.mkdir(mode=0o700)
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name  # initdb refuses root
    shutil.chown(folder, user)
    port = free_port()
    options = {"user": user if os.getuid() == 0 else None, "cwd": "/"}
    initdb = [PROGRAMS[-1] / "initdb", "-D", folder / "data", "-A", "trust", "-U", "prefect", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **options)
    command = [PROGRAMS[-1] / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
    process = subprocess.Popen([*command, "-F"], stderr=subprocess.DEVNULL, **options)
    try:
        for _ in range(300):
            ready = subprocess.run([PROGRAMS[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
            if ready.returncode == 0:
                break
            time.sleep(0.2)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def on_postgres(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the API of a server whose runs are in Postgres."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database)
    patch.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS", "5")
    port = free_port()
    home = tmp_path_factory.mktemp("postgres") / "home"
    server = start_server(home, port)
    patch.undo()
    address = f"http://127.0.0.1:{port}/api"
    with temporary_settings({PREFECT_API_URL: address}):
        yield address
    server.terminate()
    server.wait(30)
    assert not (home / "prefect.db").exists()


def test_runs_are_kept_and_old_ones_go(on_postgres):
    for number in range(3):
        short.with_options(flow_run_name=f"run {number}")()
    assert ended_runs(on_postgres, "monitor") == ["run 0", "run 1", "run 2"]
    assert prefect_database.delete_runs(1, dry_run=False) == []
    assert len(prefect_database.delete_runs(1e-9, dry_run=False)) == 2
    assert ended_runs(on_postgres, "monitor") == ["run 2"]


def test_a_schedule_plans_runs_and_one_is_cancelled(on_postgres):
    made = httpx.post(f"{on_postgres}/flows/", json={"name": "scheduled"}).json()["id"]
    body = {"name": "often", "flow_id": made, "schedules": [{"schedule": {"cron": "* * * * *"}, "active": True}]}
    httpx.post(f"{on_postgres}/deployments/", json=body).raise_for_status()
    for _ in range(300):
        planned = ask(on_postgres, "flow_runs/filter", flows={"name": {"any_": ["scheduled"]}})
        if planned:
            break
        time.sleep(0.2)
    assert {run["state_type"] for run in planned} == {"SCHEDULED"}
    ask(on_postgres, f"flow_runs/{planned[0]['id']}/set_state", state={"type": "CANCELLED"}, force=True)
    assert httpx.get(f"{on_postgres}/flow_runs/{planned[0]['id']}").json()["state_type"] == "CANCELLED"
