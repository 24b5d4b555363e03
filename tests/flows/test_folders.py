"""What a run may name: folders in the workspace and under data.roots; roots and Dask's address are the owner's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.folders import check_inside, check_output
from flows.generate import generate
from flows.overrides import prepared, set_params
from flows.repro import repro
from flows.retrain import retrain
from pipeline.errors import ParamsError, PipelineError
from tests.flows.conftest import ROOT

OUTSIDE = "is outside the workspace; flows use it where data.roots in params.yaml names it or a folder that holds it"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with videos, beside it the folder `allowed`, which data.roots names, and `other`; links to all."""
    folder = tmp_path / "workspace"
    for name in ("workspace/videos", "allowed/in", "allowed2", "other"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(folder)
    text = (ROOT / "params.yaml").read_text().replace("roots: []", "roots: [../allowed]", 1)
    Path("params.yaml").write_text(text)
    Path("to-allowed").symlink_to("../allowed")
    Path("to-other").symlink_to("../other")
    Path("../allowed/to-other").symlink_to("../other")
    Path("../other/back").symlink_to("../workspace/videos")
    return folder


@pytest.mark.parametrize(
    ("folder", "is_allowed"),
    [
        ("videos", True),
        (".", True),
        ("not-there-yet", True),
        ("{tmp}/workspace/videos", True),
        ("../workspace/videos", True),
        ("to-allowed/in", True),
        ("../allowed", True),
        ("{tmp}/allowed/in/", True),
        ("../other/back", True),
        ("../allowed2", False),
        ("../allowed/../other", False),
        ("to-other", False),
        ("../allowed/to-other", False),
        ("..", False),
        ("/", False),
        ("/etc", False),
        ("{tmp}/other/x; touch FILE; true", False),
        ("/" + "x" * 5000, False),
    ],
)
def test_links_and_dots_are_followed_before_a_folder_is_judged(workspace, tmp_path, folder, is_allowed):
    folder = folder.replace("{tmp}", str(tmp_path))
    if is_allowed:
        check_inside("data.videos", folder, ["../allowed"])
        assert set_params([f"data.videos={folder}"], by_a_run=True).data.videos == folder
        return
    for refused in (
        lambda: check_inside("data.videos", folder, ["../allowed"]),
        lambda: set_params([f"data.videos={folder}"], by_a_run=True),
    ):
        with pytest.raises(ParamsError) as error:
            refused()
        assert str(error.value) == f"data.videos: {folder} {OUTSIDE}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.videos=/etc", f"data.videos: /etc {OUTSIDE}"),
        ("generate.videos=/etc", f"generate.videos: /etc {OUTSIDE}"),
        ("generate.output=../other", f"generate.output: ../other {OUTSIDE}"),
        ("compare.output=../other", f"compare.output: ../other {OUTSIDE}"),
        ("compare.output=docs/x", "compare.output: docs/x and docs lie one in the other; results"),
        ("data.roots=[/]", "data.roots: is set in params.yaml by its owner, never by a run"),
        ("data={videos: /etc, roots: [/]}", "data.roots: is set in params.yaml by its owner, never by a run"),
        ("data={videos: /etc, roots: [../allowed]}", f"data.videos: /etc {OUTSIDE}"),
        ("generate.dask=tcp://10.0.0.1:8786", "generate.dask: is set in params.yaml by its owner, never by a run"),
        ("data.videos=https://videos", "params.yaml: data.videos: DVC takes https://videos for an address"),
    ],
)  # fmt: skip
def test_an_override_that_reaches_out_is_one_line_and_changes_nothing(workspace, override, said):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ParamsError) as error:
        prepared(["train.seed=5", override]).__enter__()
    assert str(error.value).startswith(said)
    assert len(str(error.value).splitlines()) == 1
    assert Path("params.yaml").read_bytes() == before


def test_what_the_owner_wrote_stays_allowed(workspace, tmp_path):
    set_params(["data.videos=../other", "generate.dask=tcp://127.0.0.1:8786"])  # as the owner writes it
    params = set_params(["train.seed=5", "data.videos=../other"], by_a_run=True)
    assert (params.data.videos, params.train.seed) == ("../other", 5)
    with pytest.raises(ParamsError):
        set_params(["data.videos=../other/x"], by_a_run=True)


@pytest.mark.parametrize(
    "output",
    [
        ".", "..", "data", "data/x", "models/champion", ".git/hooks", ".dvc", "flows", "pipeline/x", "tests", "docs",
        "videos", "videos/x", "to-videos", "x/../data", "../workspace/models",
    ],
)  # fmt: skip
def test_results_have_a_folder_of_their_own(workspace, output):
    Path("to-videos").symlink_to("videos/x")
    with pytest.raises(ParamsError, match=r"generate.output: .* lie one in the other; results need a folder of their"):
        check_output("generate.output", output, ["videos"])
    for allowed in ("generated", "database", "videos2", "../allowed/out"):
        check_output("generate.output", allowed, ["videos"])


@pytest.mark.parametrize(
    ("flow", "arguments", "said"),
    [
        (generate, {"videos": "/etc"}, f"generate.videos: /etc {OUTSIDE}"),
        (generate, {"videos": "to-other"}, f"generate.videos: to-other {OUTSIDE}"),
        (generate, {"output": "../other"}, f"generate.output: ../other {OUTSIDE}"),
        (generate, {"output": "a\0b"}, r"generate.output: is no name of a folder (got 'a\x00b')"),
        (generate, {"output": "data/sample"}, "generate.output: data/sample and data lie one in the other"),
        (generate, {"videos": "videos", "output": "videos/x"}, "generate.output: videos/x and videos lie one in the"),
        (retrain, {"overrides": ["data.videos=/etc"]}, f"data.videos: /etc {OUTSIDE}"),
        (repro, {"overrides": ["data.roots=[/]"]}, "data.roots: is set in params.yaml by its owner, never by a run"),
    ],
)
def test_a_flow_refuses_before_it_reads_or_writes(workspace, api, flow, arguments, said):
    shutil.copy(ROOT / "pyproject.toml", "pyproject.toml")
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(PipelineError) as error:
        flow(**arguments)
    assert str(error.value).startswith(said)
    assert sorted(path.name for path in Path("../other").iterdir()) == ["back"]
    assert not Path("data").exists()


def test_generate_takes_what_is_allowed(workspace, api):
    for arguments in ({}, {"videos": "", "output": ""}, {"videos": "../allowed/in", "output": "../allowed/out"}):
        assert generate(**arguments, return_state=True).name == "No champion"


def test_at_the_prompt_it_is_one_line(workspace, api):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.generate", "/etc"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"generate: generate.videos: /etc {OUTSIDE}" in done.stderr.splitlines()
    assert "Traceback" not in done.stdout + done.stderr
