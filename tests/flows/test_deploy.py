"""Schedules: what they promise in a table of times, and (slow) a server that serves the real pipeline for minutes."""

import asyncio
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from prefect.server.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from flows import RUNNER, deploy
from pipeline import model_versions
from pipeline.model_dir import load
from pipeline.params import load_params
from tests.flows.conftest import ROOT, ask, free_port, task_runs
from tests.flows.served import ENDED, Served
from tests.flows.test_retrain import PIPELINE, prepare_model, workspace  # noqa: F401 -- a fixture

STAGES = ["sample", "extract", "tensorize", "train", "evaluate", "render"]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dates(cron: str, start: str, count: int) -> list[str]:
    schedule = CronSchedule(cron=cron, timezone="Europe/Berlin")
    found = asyncio.run(schedule.get_dates(count, start=moment(start)))
    return [date.astimezone(UTC).strftime("%m-%d %H:%M") for date in found]


def test_a_nightly_run_comes_once_a_night_when_the_clock_changes():
    # 2:30 in Berlin is 1:30 UTC in winter, 0:30 in summer; on 29 March it is 3:30 (1:30 UTC), on 25 October the first
    assert dates("30 2 * * *", "2026-03-28", 3) == ["03-28 01:30", "03-29 01:30", "03-30 00:30"]
    assert dates("30 2 * * *", "2026-10-24", 3) == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


def test_several_runs_an_hour_pause_in_the_hour_that_autumn_repeats():
    assert dates("*/30 * * * *", "2026-10-25T00:00", 3) == ["10-25 00:00", "10-25 00:30", "10-25 02:00"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2026-10-25", ["10-25 00:30", "10-26 01:30"]), ("2026-03-29", ["03-29 01:30", "03-30 00:30"])],
)
def test_a_server_that_asks_again_and_again_about_the_change_plans_no_night_twice(day, expected):
    # it keeps a run a date, so what counts is which dates it ever sees
    begin = moment(day) - timedelta(hours=4)
    asked = [(begin + timedelta(minutes=7 * number)).isoformat()[:19] for number in range(200)]
    assert sorted({date for start in asked for date in dates("30 2 * * *", start, 1)}) == expected


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        ("2026-03-28T01:30", "2026-03-29T01:29", False),
        ("2026-03-28T01:30", "2026-03-29T01:30", True),
        ("2026-03-29T01:31", "2026-03-29T20:00", False),
        ("2026-10-24T00:30", "2026-10-25T00:30", True),
        ("2026-10-25T00:30", "2026-10-25T20:00", False),  # not the second 2:30 of that night
        ("2026-10-25T01:10", "2026-10-25T20:00", False),  # a run by hand between the two
        ("2026-10-25T01:10", "2026-10-26T01:30", True),
    ],
)
def test_a_night_is_missed_once_when_the_clock_changes(last, now, expected):
    assert deploy.missed(moment(last), "30 2 * * *", "Europe/Berlin", moment(now)) is expected


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        ("2026-11-20T03:00", "2026-11-20T22:00", False),
        ("2026-11-20T03:00", "2026-11-21T02:59", False),
        ("2026-11-20T03:00", "2026-11-21T03:00", True),
        ("2026-11-20T03:00", "2026-11-25T12:00", True),
        ("2026-11-20T17:00", "2026-11-21T02:00", False),  # a run by hand in between
    ],
)
def test_a_run_is_missed_when_one_was_due_since_the_last(last, now, expected):
    assert deploy.missed(moment(last), "0 3 * * *", "UTC", moment(now)) is expected


def test_whoever_watches_asks_the_api_that_is_served(monkeypatch):
    """The address is a setting of this context, not of the environment; a thread begins with none."""
    asked = queue.SimpleQueue()
    monkeypatch.setattr(deploy, "_watch", lambda *_: asked.put(PREFECT_API_URL.value()))
    monkeypatch.setattr(deploy, "_settle", lambda *_, **__: False)
    monkeypatch.setattr(deploy, "get_client", lambda **_: nullcontext())
    monkeypatch.setattr(deploy.Runner, "add_deployment", lambda *_: uuid4())
    monkeypatch.setattr(deploy.Runner, "start", no_runs)
    params = load_params(ROOT / "params.yaml")
    watching = params.model_copy(update={"schedules": params.schedules.model_copy(update={"watch": True})})
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        deploy.serve(watching, alone=False)
    assert asked.get(timeout=10) == "http://127.0.0.1:1/api"


async def no_runs(runner: object) -> None:
    """Stands for a runner that is ended at once."""


def test_every_flow_is_served_once_at_a_time_with_its_schedule_and_drift_sets_off_retrain():
    params = load_params(ROOT / "params.yaml")
    made = deploy.deployments(params)
    assert {name: deployment.schedules[0].schedule.cron for name, deployment in made.items()} == {
        "retrain": "0 3 * * *", "generate": "*/15 * * * *", "monitor": "30 * * * *", "tidy": "0 5 * * 0"
    }  # fmt: skip
    assert {name: deployment.concurrency_options.collision_strategy for name, deployment in made.items()} == {
        "retrain": "ENQUEUE", "generate": "CANCEL_NEW", "monitor": "CANCEL_NEW", "tidy": "CANCEL_NEW"
    }  # fmt: skip
    assert all(deployment.concurrency_limit == 1 for deployment in made.values())
    assert [list(trigger.expect) for trigger in made["retrain"].triggers] == [["foreframe.drift"]]
    never = params.model_copy(update={"schedules": params.schedules.model_copy(update={"retrain": None})})
    assert deploy.deployments(never)["retrain"].schedules == []


@pytest.mark.parametrize("file", ["flows/prefect.yaml", "flows/docker/prefect.yaml"])
def test_workers_get_what_deploy_serves(file):
    shipped = YAML(typ="safe").load(ROOT / file)["deployments"]
    served = deploy.deployments(load_params(ROOT / "params.yaml"))
    assert len(shipped) == len(served)
    for entry in shipped:
        flow = entry["entrypoint"].rpartition(".")[2]
        deployment = served[flow]
        assert entry["entrypoint"] == deployment.entrypoint
        [schedule] = deployment.schedules
        assert entry["schedules"] == [{"cron": schedule.schedule.cron, "timezone": schedule.schedule.timezone}]
        strategy = deployment.concurrency_options.collision_strategy
        assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": strategy}
        wanted = [list(trigger.expect) for trigger in deployment.triggers]
        assert [trigger["expect"] for trigger in entry.get("triggers", [])] == wanted


def test_the_server_takes_its_settings_from_the_project_and_tells_nobody(server):
    settings = httpx.get(f"{server}/admin/settings").json()["server"]
    assert settings["analytics_enabled"] is False
    assert settings["ui"]["v2_enabled"] is False
    assert settings["ephemeral"]["startup_timeout_seconds"] == 180
    assert settings["concurrency"]["lease_storage"].endswith("filesystem")
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert httpx.get(server.removesuffix("/api"), follow_redirects=True).is_success


def test_the_pages_that_reports_link_to_are_served_on_loopback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/renders").mkdir(parents=True)
    (tmp_path / "data/renders/index.html").write_text("<p>here")
    (tmp_path / "data/secret").write_text("no")
    monkeypatch.setenv(deploy.PAGES, "")
    monkeypatch.setattr(deploy, "RENDERS", Path("data/renders"))
    port = free_port()
    with deploy.pages(port):
        address = os.environ[deploy.PAGES]
        assert address == f"http://127.0.0.1:{port}"  # that of the last start too, so that links in old reports work
        assert httpx.get(f"{address}/index.html").text == "<p>here"
        assert httpx.get(f"{address}/%2e%2e/secret").status_code == 404
        refused = httpx.get(f"{address}/index.html", headers={"Host": "attacker.example"})
        assert (refused.status_code, "Host is not a name of this server" in refused.text) == (403, True)
        assert httpx.head(f"{address}/index.html", headers={"Host": "attacker.example"}).status_code == 403
        embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert httpx.get(f"{address}/index.html", headers=embedded).status_code == 403
        with deploy.pages(port):  # taken
            assert os.environ[deploy.PAGES].startswith("http://127.0.0.1:")
            assert os.environ[deploy.PAGES] != address
            assert httpx.get(f"{os.environ[deploy.PAGES]}/index.html").text == "<p>here"


RUN = """
import subprocess, sys, time
import flows
CHILD = "import flows, sys; print('child', flush=True); sys.stdin.read(); print('ends')"
subprocess.Popen([sys.executable, "-c", CHILD])
time.sleep(100)
"""


def test_a_run_ends_with_the_deploy_that_started_it_and_what_the_run_started_ends_in_order():
    gone = f"{os.getpid()} {time.time() - 1e6}"  # the number is another process's now
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": "x", "PYTHONPATH": str(ROOT)}
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        env={**environment, RUNNER: gone},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.wait(60) == 1
        assert time.monotonic() - begin < 60
    with subprocess.Popen(["sleep", "100"]) as deploy_process:
        start = psutil.Process(deploy_process.pid).create_time()
        with subprocess.Popen(
            [sys.executable, "-c", RUN],
            env={**environment, RUNNER: f"{deploy_process.pid} {start}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdout.readline() == "child\n"
            deploy_process.kill()
            deploy_process.wait()
            assert run.wait(60) == 1
            time.sleep(1)  # in which the child would end, too
            run.stdin.close()
            assert run.stdout.read() == "ends\n"


def champion_is_whole(folder: Path) -> Path:
    current = model_versions.champion(folder / "models")
    assert current is not None
    assert model_versions.is_whole(current)
    load(current)
    return current


def make_champion(folder: Path) -> None:
    """The model that is there, promoted, so that candidates have something to beat."""
    models = folder / "models"
    facts = {"videos": [], "scores": {"videos": {}}}
    model_versions.activate(model_versions.store(folder / "data/model", facts, models=models), models)


@pytest.mark.slow
def test_a_schedule_runs_unasked_then_finds_nothing_then_redoes_what_a_new_video_changes(reproduced):
    folder, environment = reproduced
    for path in ("data", "models"):
        shutil.rmtree(folder / path, ignore_errors=True)
    (folder / "dvc.lock").unlink()
    shutil.rmtree(folder / ".dvc/cache")
    with Served(folder, environment, retrain="* * * * * */5") as served:
        served.wait_for(lambda: served.ended(), 300)
        first = served.ended()[0]
        message = first["state"]["message"]  # which it is two epochs on eight videos decide; the reason says it, too
        outcome = "Refused" if "does not clear the margin" in message else "Promoted v1.0.0"
        assert (first["state_name"], "of the best baseline" in message) == (outcome, True), message
        states = task_runs(served.api, first["id"])
        assert {name: states[name]["name"] for name in STAGES} == dict.fromkeys(STAGES, "Completed")

        served.wait_for(lambda: len(served.ended()) > 1, 60)
        second = served.ended()[1]
        assert second["state_name"] == "Nothing new"
        assert second["total_run_time"] < 20

        some = min((folder / "videos/train").glob("*.mp4"))
        shutil.copy(some, folder / "videos/train/another.mp4")
        with (folder / "videos/train/another.mp4").open("ab") as file:
            file.write(b"\0" * 8)  # other bytes, so another video
        served.wait_for(lambda: [run for run in served.ended() if run["state_name"] != "Nothing new"][1:], 300)
        third = [run for run in served.ended() if run["state_name"] != "Nothing new"][1]
        message = third["state"]["message"]
        assert ("does not clear the margin" in message) == (third["state_name"] == "Refused"), message
        assert third["state_name"] == "Refused" or third["state_name"].startswith("Promoted v"), message
        states = {name: state["name"] for name, state in task_runs(served.api, third["id"]).items()}
        assert states["sample"] == "Cached"
        assert states["extract"] == "Completed"
        print(json.dumps({name: states[name] for name in STAGES}))
        for run in served.ended()[:3]:
            print(run["name"], run["state_name"], run["state"]["message"], run["total_run_time"])


@pytest.mark.slow
def test_two_triggers_at_once_run_one_after_the_other_and_a_run_is_cancelled_in_seconds(workspace):  # noqa: F811
    Path("dvc.yaml").write_text(
        PIPELINE.replace("cmd: cp -r prepared/model", "cmd: sh slow.sh && cp -r prepared/model")
    )
    Path("slow.sh").write_text("")
    with Served(workspace, dict(os.environ)) as served:
        assert served.finish(served.trigger())["state_name"] == "Promoted v1.0.0"
        model, metrics = (Path(name).read_bytes() for name in ("data/model/model.json", "data/metrics/metrics.json"))
        mark = f"300.{os.getpid()}"
        Path("slow.sh").write_text(f"sleep {mark}\n")
        prepare_model(0.45)
        first = served.trigger()
        served.wait_for(lambda: served.processes(mark), 90)
        second = served.trigger()
        served.wait_for(lambda: served.run(second)["state_name"] == "AwaitingConcurrencySlot", 60)
        ask(served.api, f"flow_runs/{first}/set_state", state={"type": "CANCELLING"})
        seconds = served.wait_for(lambda: not served.processes(mark), 10)
        gone = served.wait_for(lambda: not served.processes("flows.prefect_dvc.stage_process"), 10)
        print(f"stage gone after {seconds:.1f} s, guard after {gone:.1f} s more")
        assert seconds + gone < 10
        Path("slow.sh").write_text("")
        assert served.finish(first, 60)["state_name"] == "Cancelled"
        assert Path("data/model/model.json").read_bytes() == model
        assert Path("data/metrics/metrics.json").read_bytes() == metrics
        assert served.finish(second)["state_name"] == "Promoted v2.0.0"  # its turn came, and it finished the work


@pytest.mark.slow
def test_deploy_that_is_killed_takes_its_server_its_runs_and_their_stages_along(workspace):  # noqa: F811
    mark = f"300.{os.getpid()}"
    Path("dvc.yaml").write_text(
        PIPELINE.replace("cmd: cp -r prepared/model", f"cmd: sleep {mark} && cp -r prepared/model")
    )
    for moment in ("sleep", "prefect.engine"):  # a stage works; a run has just begun
        with Served(workspace, dict(os.environ)) as served:
            served.trigger()
            served.wait_for(lambda mark=mark if moment == "sleep" else moment: served.processes(mark), 300)
            served.process.kill()
            served.process.wait()
            seconds = served.wait_for(lambda: not served.processes(), 60)
            print(f"all gone {seconds:.1f} s after the kill")


@pytest.mark.slow
def test_drift_sets_off_retrain(workspace):  # noqa: F811
    with Served(workspace, dict(os.environ)) as served:
        assert served.runs() == []
        code = (
            "from prefect.events import emit_event; from flows.monitor import DRIFT; "
            "emit_event(DRIFT, resource={'prefect.resource.id': 'foreframe.champion.v1.0.0'}, payload={})"
        )
        environment = {**served.environment, "PREFECT_API_URL": served.api}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        served.wait_for(served.ended, 90)
        assert [run["state_name"] for run in served.runs()] == ["Promoted v1.0.0"]


@pytest.mark.slow
def test_containers_are_deployed_with_the_workspace_in_them(workspace, api, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PWD", str(workspace))
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    subprocess.run([*prefect, "work-pool", "create", "--type", "docker", "foreframe-docker"], check=True)
    try:
        file = ROOT / "flows/docker/prefect.yaml"
        subprocess.run([*prefect, "deploy", "--all", "--prefect-file", str(file)], check=True)
        deployment = httpx.get(f"{api}/deployments/name/retrain/docker").json()
        assert deployment["job_variables"]["volumes"] == [f"{workspace}:/workspace"]
        assert deployment["job_variables"]["image"] == "foreframe"
        assert deployment["pull_steps"] == [
            {"prefect.deployments.steps.set_working_directory": {"directory": "/workspace"}}
        ]
    finally:
        httpx.delete(f"{api}/work_pools/foreframe-docker")


@pytest.mark.slow
def test_a_worker_runs_what_prefect_yaml_deploys(workspace, api, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PWD", str(workspace))  # as a shell would: the workspace of the deployment
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    subprocess.run([*prefect, "work-pool", "create", "--type", "process", "foreframe"], check=True)
    subprocess.run([*prefect, "deploy", "--all", "--prefect-file", str(ROOT / "flows/prefect.yaml")], check=True)
    deployment = httpx.get(f"{api}/deployments/name/retrain/worker").json()["id"]
    run = ask(api, f"deployments/{deployment}/create_flow_run")["id"]
    worker = subprocess.Popen([*prefect, "worker", "start", "--pool", "foreframe"])
    try:
        for _ in range(240):
            state = httpx.get(f"{api}/flow_runs/{run}").json()["state"]
            if state["type"] in ENDED:
                break
            time.sleep(0.5)
        assert state["name"] == "Promoted v1.0.0", state
    finally:
        worker.terminate()
        assert worker.wait(30) is not None
        httpx.delete(f"{api}/work_pools/foreframe")
    assert champion_is_whole(workspace).name == "v1.0.0"


@pytest.mark.slow
def test_ten_kills_at_random_moments_leave_a_whole_champion_and_a_workspace_that_the_next_run_finishes(
    workspace,  # noqa: F811
):
    Path("dvc.yaml").write_text(
        PIPELINE.replace("cmd: cp -r prepared/model", "cmd: sleep 2.75 && cp -r prepared/model")
    )
    rng = random.Random(6)
    targets = ["prefect.engine", "sleep 2.75", "flows.server"] * 3 + ["flows.prefect_dvc.stage_server"]
    with Served(workspace, dict(os.environ)) as served:
        assert served.finish(served.trigger())["state_name"] == "Promoted v1.0.0"
        for number, target in enumerate(targets):
            prepare_model(rng.uniform(0.3, 0.6), hidden_size=2 + number)
            identity = served.trigger()
            served.wait_for(lambda mark=target: served.processes(mark), 120)
            time.sleep(rng.uniform(0, 2 if target == "sleep 2.75" else 8))
            killed = served.processes(target)
            for process in killed:
                process.send_signal(signal.SIGKILL)
            champion_is_whole(workspace)
            served.wait_for(served._deployed, 120)
            last = served.finish(served.trigger(), 420)
            champion = champion_is_whole(workspace).name
            print(f"{number}: killed {len(killed)} x {target}: {served.run(identity)['state_name']};", end=" ")
            print(f"next: {last['state_name']}; champion {champion}; {last['state']['message']}", flush=True)
            assert last["state_type"] == "COMPLETED", last["state"]
            assert not served.processes("sleep 2.75")
            subprocess.run([sys.executable, "-m", "dvc", "status", "-q"], check=True)  # nothing is left to do


@pytest.mark.slow
def test_what_was_missed_while_nothing_served_is_made_up_for_once(reproduced):
    folder, environment = reproduced
    served = Served(folder, environment, retrain="* * * * * */20")
    with served:
        served.wait_for(lambda: served.ended(), 120)
        served.process.kill()  # power cut: nothing was paused, the server's next runs stay planned
        served.process.wait()
        for process in served.processes():
            process.kill()
        time.sleep(65)  # three runs are missed
        served.start()
        served.wait_for(lambda: [run for run in served.runs() if run["name"] == "missed retrain"], 90)
        names = [(run["name"], run["state_name"]) for run in served.runs()]
        print(names)
        assert len([name for name, _ in names if name == "missed retrain"]) == 1
        assert len([state for _, state in names if state == "Missed"]) >= 2
