"""`dvc repro` as a person meets it: whole, repeated, killed. Takes minutes: `pytest -m slow tests/test_repro.py`."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.workspace import make_workspace

pytestmark = pytest.mark.slow
NUM_KILLS = 10


def repro(workspace: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(["dvc", "repro"], cwd=workspace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outputs(workspace: Path) -> dict[str, str]:
    """A hash of every file in the stages' outputs; what hides beside them helps the next run and may differ."""
    return {
        str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((workspace / "data").glob("[!.]*/**/*"))
        if path.is_file()
    }


def lock(workspace: Path) -> dict:
    return YAML(typ="safe").load(workspace / "dvc.lock")["stages"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A workspace in which `dvc repro` ran through, and the seconds that it took."""
    workspace = tmp_path_factory.mktemp("unbroken") / "w"
    environment = make_workspace(workspace)
    start = time.monotonic()
    repro(workspace, environment)
    return workspace, environment, time.monotonic() - start


def test_a_second_repro_does_nothing(unbroken):
    workspace, environment, _ = unbroken
    before = outputs(workspace)
    assert "Data and pipelines are up to date." in repro(workspace, environment)
    assert outputs(workspace) == before


def test_two_runs_from_scratch_give_the_same_lock(unbroken, tmp_path):
    workspace, _, _ = unbroken
    environment = make_workspace(tmp_path / "w")
    repro(tmp_path / "w", environment)
    assert lock(tmp_path / "w") == lock(workspace)


def test_another_model_changes_only_train_and_what_follows(unbroken, tmp_path):
    whole, environment, _ = unbroken
    workspace = tmp_path / "w"
    shutil.copytree(whole, workspace, symlinks=True)
    done = subprocess.run(
        ["dvc", "exp", "run", "-S", "model.name=lstm"], cwd=workspace, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [stage for stage in lock(workspace) if f"Running stage '{stage}'" in done.stdout]
    assert sorted(ran) == ["evaluate", "render", "train"]


def test_the_other_task_is_a_parameter_and_its_video_a_command(tmp_path):
    workspace = tmp_path / "w"
    environment = make_workspace(workspace)
    params = workspace / "params.yaml"
    text = params.read_text().replace("task: predict", "task: translate", 1)
    params.write_text(text.replace("degradation: low_resolution", "degradation: noise", 1))
    repro(workspace, environment)
    figures = json.loads((workspace / "data/metrics/metrics.json").read_text())
    assert {"model", "stateless", "identity", "bilateral"} <= figures.keys()
    card = json.loads((workspace / "data/model/model.json").read_text())
    assert card["translation"]["degradation"] == "noise"
    source = sorted((workspace / "data/sample").rglob("*.mp4"))[0]
    command = ["python", "-m", "pipeline.cli", "translate", str(source), "out.mp4", "--degrade"]
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    assert "out.mp4: 12 frames of" in done.stdout, done.stderr


@pytest.mark.parametrize("trial", range(NUM_KILLS))
def test_killed_at_a_random_moment_the_same_command_finishes_the_job(unbroken, tmp_path, trial):
    """Killed twice: once DVC and all that it started, once DVC alone, as the system does when memory runs out."""
    whole, _, seconds = unbroken
    workspace = tmp_path / "w"
    environment = make_workspace(workspace)
    moments = random.Random(trial)
    for kill in (os.killpg, os.kill):
        process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=workspace,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0, seconds))
        kill(process.pid, signal.SIGKILL)
        process.wait()
    repro(workspace, environment)
    assert lock(workspace) == lock(whole)
    assert outputs(workspace) == outputs(whole)
