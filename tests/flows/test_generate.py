"""Batches: every video once a content and a model version; failures are listed and stop nothing."""

import json
import shutil
from pathlib import Path

import pytest
from distributed import LocalCluster
from prefect.task_runners import ThreadPoolTaskRunner

from flows import generate
from pipeline import registry
from pipeline.video import read_frames
from tests.flows.conftest import ROOT, ask, task_runs
from tests.flows.test_repro import repro


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny, bar_video):
    """A champion, and an inbox with two videos and a file that is none; the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    repro.set_params(["generate.num_frames=3", "generate.workers=1"])
    registry.activate(registry.store(tiny.model, {}))
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
    first = generate.generate(return_state=True)
    assert first.name == "With failures"
    assert first.message.startswith("2 of 3 videos continued by v1.0.0\ninbox/broken.mp4: ")
    assert "broken.mp4" in first.message
    assert outputs() == {"./a:v1.0.0.mp4": 15, "sub/b:v1.0.0.mp4": 15}
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [str(first.state_details.flow_run_id)]}})
    rows = json.loads(found[0]["data"])
    assert [(row["video"], bool(row["error"])) for row in rows] == [
        ("inbox/a.mp4", False), ("inbox/broken.mp4", True), ("inbox/sub/b.mp4", False)
    ]  # fmt: skip

    Path("inbox/broken.mp4").unlink()
    written = {path: path.stat().st_mtime_ns for path in Path("generated").rglob("*.mp4")}
    assert generate.generate(return_state=True).name == "Nothing new"
    assert {path: path.stat().st_mtime_ns for path in Path("generated").rglob("*.mp4")} == written

    registry.activate(registry.store(tiny.model, {}))  # a new version continues them anew
    third = generate.generate(return_state=True)
    assert set(task_runs(api, third.state_details.flow_run_id)) == {"a.mp4", "b.mp4"}
    assert len(outputs()) == 4


def test_without_a_champion_the_run_says_so(workspace, api):
    shutil.rmtree("models")
    assert generate.generate(return_state=True).name == "No champion"


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["processes", "dask"])
def test_processes_and_a_dask_cluster_give_the_same_bytes(workspace, api, cluster, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(generate, "runner", lambda _: ThreadPoolTaskRunner(max_workers=1))
        generate.generate(output="expected")
    if cluster == "dask":
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as dask:
            repro.set_params([f"generate.dask={dask.scheduler_address}"])
            generate.generate()
    else:
        generate.generate()
    made, expected = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*.mp4"))}
        for folder in ("generated", "expected")
    )
    assert len(made) == 2
    assert made == expected
