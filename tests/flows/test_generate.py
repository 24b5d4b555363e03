"""Batches: every video once per content and model version; failures are listed and stop nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from distributed import LocalCluster
from filelock import FileLock, Timeout
from prefect.task_runners import ThreadPoolTaskRunner

from flows import champions, generate
from flows.overrides import set_params
from pipeline import model_versions
from pipeline.model_dir import save
from pipeline.runtime.files import replacing
from pipeline.video import read_frames
from tests.flows.conftest import ROOT, ask, task_runs
from tests.pipeline.inference.test_translation import make_card

PATIENCE_SECONDS = 600.0  # on a busy machine a flow begins minutes after its start


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny, bar_video):
    """A champion, and an inbox with two videos and a file that is none; the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    set_params(["generate.num_frames=3", "generate.workers=1"])
    model_versions.activate(model_versions.store(tiny.model, {}))
    Path("inbox/sub").mkdir(parents=True)
    shutil.copy(bar_video, "inbox/a.mp4")
    shutil.copy(bar_video, "inbox/sub/b.mp4")
    Path("inbox/broken.mp4").write_text("no video")
    return tmp_path


def outputs() -> dict[str, int]:
    """The videos that were made: name less its hash, and number of frames."""
    return {
        f"{path.parent.relative_to('generated')}/{path.name.split('.mp4.')[0]}:{path.name.split('.', 3)[3]}": len(
            list(read_frames(path))
        )
        for path in sorted(Path("generated").rglob("*.mp4"))
    }


def test_every_video_is_continued_once_and_failures_are_listed(workspace, api, tiny, monkeypatch):
    monkeypatch.setattr(generate, "runner", lambda _: ThreadPoolTaskRunner(max_workers=1))  # processes take seconds
    told = []
    monkeypatch.setattr(generate, "notify", lambda *message: told.append(message))
    first = generate.generate(return_state=True)
    assert first.name == "With failures"
    assert first.message == "2 of 3 videos done by v1.0.0\ninbox/broken.mp4: text, not a video"
    assert outputs() == {"./a:v1.0.0.mp4": 15, "sub/b:v1.0.0.mp4": 15}
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [str(first.state_details.flow_run_id)]}})
    rows = json.loads(found[0]["data"])
    assert [(row["video"], bool(row["error"])) for row in rows] == [
        ("inbox/a.mp4", False), ("inbox/broken.mp4", True), ("inbox/sub/b.mp4", False)
    ]  # fmt: skip

    assert list(json.loads(Path("generated/failed.json").read_text()).values()) == [
        "inbox/broken.mp4: text, not a video"
    ]
    written = {path: path.stat().st_mtime_ns for path in Path("generated").rglob("*.mp4")}
    again = generate.generate(return_state=True)  # the one that failed is tried again, nothing else
    assert again.message == "0 of 1 videos done by v1.0.0\ninbox/broken.mp4: text, not a video"
    assert len(told) == 1  # and people are told once
    Path("inbox/broken.mp4").unlink()
    assert generate.generate(return_state=True).name == "Nothing new"
    assert json.loads(Path("generated/failed.json").read_text()) == {}
    assert {path: path.stat().st_mtime_ns for path in Path("generated").rglob("*.mp4")} == written

    model_versions.activate(model_versions.store(tiny.model, {}))  # a new version continues them anew
    third = generate.generate(return_state=True)
    assert set(task_runs(api, third.state_details.flow_run_id)) == {"a.mp4", "b.mp4"}
    assert len(outputs()) == 4


IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b"]


def test_without_a_champion_the_run_says_so(workspace, api):
    shutil.rmtree("models")
    state = generate.generate(return_state=True)
    assert (state.name, state.message) == ("No champion", "no model was promoted yet: run python -m flows.retrain")


def test_a_champion_that_git_tags_name_and_that_is_lost_is_told_as_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    assert "no model was promoted yet" in champions.absence()
    Path("a").touch()
    subprocess.run(["git", "add", "a"], check=True)
    subprocess.run(["git", *IDENTITY, "commit", "-qm", "a"], check=True)
    for tag in ("generator@v2.0.0", "generator#champion#1"):
        subprocess.run(["git", "tag", tag], check=True)
    assert champions.absence().startswith("the champion v2.0.0, which git tags name, is not in models/: ")


def test_without_a_folder_of_videos_the_run_says_so(workspace, api):
    state = generate.generate(videos="elsewhere", return_state=True)
    assert (state.name, state.message) == ("Nothing new", "elsewhere: there is no such folder yet")


def test_one_run_at_a_time_writes_to_a_folder_and_removes_what_a_killed_one_left(tmp_path):
    whole = tmp_path / "a.mp4.0123456789ab.v1.0.0.mp4"
    with replacing(whole) as half:  # as videos are written
        half.touch()
    half.touch()
    (tmp_path / ".notes.part").touch()  # somebody else's
    with generate.alone(tmp_path):
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".lock", timeout=0).acquire()
        assert {path.name for path in tmp_path.iterdir()} == {whole.name, ".lock", ".lock.holder", ".notes.part"}


def test_a_champion_that_translates_does_so(workspace, api, monkeypatch):
    monkeypatch.setattr(generate, "runner", lambda _: ThreadPoolTaskRunner(max_workers=1))
    card = make_card(degradation="low_resolution", strength=2.0)
    torch.manual_seed(0)
    save(Path("translator"), card.build(), card)
    model_versions.activate(model_versions.store(Path("translator"), {}))
    state = generate.generate(return_state=True)
    assert state.message.startswith("2 of 3 videos done by v2.0.0\n")
    assert outputs() == {"./a:v2.0.0.mp4": 12, "sub/b:v2.0.0.mp4": 12}  # every frame, none added
    [path] = Path("generated").glob("a.mp4.*")
    assert {image.shape for _, image in read_frames(path)} == {(16, 16, 3)}  # twice the size of the source


def in_a_process(*arguments: str) -> None:
    """The flow as a person or the server starts it: a pool's processes report where a new process is told to."""
    subprocess.run([sys.executable, "-m", "flows.generate", *arguments], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["processes", "dask"])
def test_processes_and_a_dask_cluster_give_the_same_bytes(workspace, api, cluster, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(generate, "runner", lambda _: ThreadPoolTaskRunner(max_workers=1))
        generate.generate(output="expected")
    if cluster == "dask":
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as dask:
            set_params([f"generate.dask={dask.scheduler_address}"])
            in_a_process()
    else:
        in_a_process()
    made, expected = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*.mp4"))}
        for folder in ("generated", "expected")
    )
    assert len(made) == 2
    assert made == expected
    [last] = ask(api, "flow_runs/filter", flows={"name": {"any_": ["generate"]}}, sort="START_TIME_DESC", limit=1)
    assert last["state_name"] == "With failures"
    states = {name: state["name"] for name, state in task_runs(api, last["id"]).items()}
    assert states == {"a.mp4": "Completed", "b.mp4": "Completed", "broken.mp4": "Failed"}


@generate.task
def dies_of_the_broken_one(source: Path, output: Path, model: Path, num_frames: int) -> None:
    """In place of generate.continue_one: as a decoder does that brings its process down."""
    if source.name == "broken.mp4":
        os._exit(9)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.touch()


@pytest.mark.slow
def test_a_video_that_kills_its_process_does_not_stop_the_others(workspace, api):
    code = (
        "from tests.flows.test_generate import dies_of_the_broken_one, generate; "
        "generate.continue_one = dies_of_the_broken_one; generate.generate()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    [last] = ask(api, "flow_runs/filter", flows={"name": {"any_": ["generate"]}}, sort="START_TIME_DESC", limit=1)
    assert last["state"]["message"] == (
        "2 of 3 videos done by v1.0.0\ninbox/broken.mp4: its process died, out of memory perhaps"
    )
    assert len(list(Path("generated").rglob("*.v1.0.0.mp4"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_stopped(workspace, api, end):
    set_params(["generate.num_frames=1000000"])
    run = subprocess.Popen([sys.executable, "-m", "flows.generate"])
    try:
        begun = time.monotonic()
        while not list(Path("generated").rglob("*a.mp4*")):
            assert run.poll() is None
            assert time.monotonic() - begun < PATIENCE_SECONDS
            time.sleep(0.2)
        children = psutil.Process(run.pid).children(recursive=True)
        assert children
        run.send_signal(end)
        assert run.wait(PATIENCE_SECONDS) != 0
    finally:
        run.kill()
    _, left = psutil.wait_procs(children, PATIENCE_SECONDS)
    assert not left
    assert not list(Path("generated").glob("a.mp4.*"))
    shutil.rmtree("inbox")
    Path("inbox").mkdir()
    in_a_process()
    assert sorted(path.name for path in Path("generated").iterdir()) == [".lock", "failed.json"]  # not half a video
