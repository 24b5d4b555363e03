"""Whatever a folder of videos is called, it is used as it is called: by `dvc repro`, `dvc exp run` and the flows."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.workspace import make_workspace

NAMES = [
    "My Videos", "Videos (2024)", "Tom's clips", "R&D", "a$HOME", "a${x}b", "$(touch FILE)", "`touch FILE`",
    "x; touch FILE; true", "x | touch FILE", "> FILE", 'say "hi"', "back\\slash", "Clips #2", "#2", "-rf", "*", "{}",
    "[b]", "2024", "true", "~", "!x", "%s", "a: b", "a\nb", "Übung 動画",
]  # fmt: skip
FEW = ["Tom's clips", "x; touch FILE; true"]  # each run takes seconds


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The real pipeline on small parameters, three clips of the sample beside it, and the environment for commands."""
    folder = tmp_path_factory.mktemp("names") / "w"
    environment = make_workspace(folder)
    params = folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("videos: data/sample", "videos: ../clips", 1))  # which the stage fills only then
    command = [sys.executable, "-m", "pipeline.stages.sample", "../clips"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    params.write_text(text)
    assert (folder / "../clips/val").is_dir()
    return folder, environment


def named(workspace: Path, name: str) -> Path:
    """A new folder of this name, beside the workspace, with one video of its own number of bytes."""
    folder = workspace.parent / "in" / name
    shutil.copytree(workspace.parent / "clips/val", folder, dirs_exist_ok=True)
    return folder


def run(workspace: tuple[Path, dict[str, str]], *command: str) -> None:
    done = subprocess.run(command, cwd=workspace[0], env=workspace[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def check(workspace: Path, videos: Path) -> None:
    """DVC has taken `videos` for what extract read, extract has read it, and nothing else has happened."""
    stage = YAML(typ="safe").load(workspace / "dvc.lock")["stages"]["extract"]
    paths = [dep["path"] for dep in stage["deps"]]
    assert str(videos) in paths
    assert stage["cmd"] == "python -m pipeline.stages.extract data/frames"
    assert stage["params"]["params.yaml"]["data"]["videos"] == str(videos)
    index = pd.read_csv(workspace / "data/frames/index.csv")
    assert index["path"].tolist() == sorted(path.name for path in videos.iterdir())
    assert set(index["status"]) == {"ok"}
    assert not list(workspace.parent.rglob("FILE"))


@pytest.mark.parametrize("name", FEW + [pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n not in FEW])
def test_dvc_repro(workspace, name):
    videos = named(workspace[0], name)
    yaml = YAML()
    params = yaml.load(workspace[0] / "params.yaml")
    params["data"]["videos"] = str(videos)
    yaml.dump(params, workspace[0] / "params.yaml")
    run(workspace, "dvc", "repro", "extract")
    check(workspace[0], videos)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if "${" not in name])  # it is Hydra's own there
def test_dvc_exp_run(workspace, name):
    videos = named(workspace[0], name)
    text = str(videos).replace('"', '\\"')
    run(workspace, "dvc", "exp", "run", "-S", f'data.videos="{text}"', "extract")
    check(workspace[0], videos)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["My Videos", "a${x}b", *FEW])
def test_a_flow(workspace, name):
    videos = named(workspace[0], name)
    params = workspace[0] / "params.yaml"
    params.write_text(params.read_text().replace("roots: []", "roots: [../in]"))
    run(workspace, sys.executable, "-m", "flows.repro", "extract", "-S", f"data.videos={videos}")
    check(workspace[0], videos)
