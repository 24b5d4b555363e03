"""Monitoring, with real videos through the real extract stage: quiet on more of the same, an event on what is not."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock, Timeout
from prefect.logging import disable_run_logger

from flows import monitor, videos
from flows.overrides import set_params
from flows.prefect_dvc import workspace_lock as workspace_lock
from pipeline import measuring, model_versions
from pipeline.data.clips import COLUMNS, write_clips
from pipeline.data.frames import FrameStore
from pipeline.measuring import scoring
from pipeline.model_dir import save
from pipeline.params import load_params
from pipeline.sources.lists import read_list
from pipeline.stages.extract import extract
from pipeline.video import write_png, write_video
from tests.conftest import data_in, moving_bar
from tests.corpus.sources import squares, write_lerobot
from tests.flows.conftest import ROOT, ask
from tests.pipeline.inference.test_translation import make_card
from tests.pipeline.stages.test_extract import params as extract_params
from tests.pipeline.video.test_audio import pictures


def video(name: str, frames: np.ndarray) -> None:
    write_video(Path("videos", name), (np.repeat(frame, 3, axis=-1) for frame in frames), 10.0)


@pytest.fixture
def workspace(tmp_path, monkeypatch, tiny):
    """A champion whose test set are moving bars, and the videos that it knows; the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    set_params(
        ["data.videos=videos", "extract.size=[8, 8]", "tensorize.context=3", "tensorize.horizon=4", "monitor.bins=2"]
    )
    for number in range(12):
        video(f"{number}.mp4", moving_bar(10, number))
    params = load_params(Path("params.yaml"))
    Path("data").mkdir()
    shutil.copytree(tiny.clips, "data/clips")
    known = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path("videos").glob("*.mp4"))]
    paths = sorted(Path("videos").glob("*.mp4"))
    with disable_run_logger():
        errors = monitor.measure.fn(tiny.model, paths, params)
    facts = {"videos": known, "scores": {"videos": errors}}
    model_versions.activate(model_versions.store(tiny.model, facts))
    assert len(scoring.score(tiny.model, tiny.frames, tiny.clips, params.evaluate)) == 6
    return tmp_path


def events(api: str, since: float) -> list[dict]:
    found = ask(
        api, "events/filter",
        filter={
            "event": {"name": [monitor.DRIFT]},
            "occurred": {"since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))},
        },
    )  # fmt: skip
    return list(found["events"])


@pytest.mark.slow
def test_more_of_the_same_is_no_drift_and_other_videos_are(workspace, api):
    assert monitor.monitor(return_state=True).name == "Nothing new"
    for number in range(6):
        video(f"more-{number}.mp4", moving_bar(11, number + 1))  # a frame more: other bytes, the same motion
    begin = time.time()
    same = monitor.monitor(return_state=True)
    assert same.name == "No drift", same.message

    rng = np.random.default_rng(0)
    for number in range(12):
        video(f"noise-{number}.mp4", rng.integers(0, 256, (10, 8, 8, 1), dtype=np.uint8))
    other = monitor.monitor(return_state=True)
    assert other.name == "Drift", other.message
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [str(other.state_details.flow_run_id)]}})
    artifacts = {artifact["key"]: artifact["data"] for artifact in found}
    rows = json.loads(artifacts["surprise"])
    assert [row["video"].startswith("noise-") for row in rows] == [True] * 12 + [False] * 6  # most surprising first
    assert "data:image/png;base64," in artifacts["drift"]
    for _ in range(100):
        if events(api, begin - 2):
            break
        time.sleep(0.1)
    assert [event["event"] for event in events(api, begin - 2)] == [monitor.DRIFT]


@pytest.mark.slow
def test_a_champion_that_translates_is_held_to_the_videos_that_its_sources_are_made_from(workspace, api):
    known = model_versions.record(model_versions.champion())["videos"]
    set_params(["task=translate", "translate.degradation=noise"])
    params = load_params(Path("params.yaml"))
    card = make_card(channels=1, frame_shape=(1, 8, 8), context=3, horizon=4)
    torch.manual_seed(0)
    save(Path("translator"), card.build(), card)
    table = pd.DataFrame([("0.mp4", "test", 0, 10, 1)], columns=COLUMNS)
    write_clips(
        Path("data/clips"), table, task="translate", context=3, horizon=4, stride=3, translation=card.translation
    )
    with disable_run_logger():
        errors = monitor.measure.fn(Path("translator"), sorted(Path("videos").glob("*.mp4")), params)
    facts = {"videos": known, "scores": {"videos": errors}}
    model_versions.activate(model_versions.store(Path("translator"), facts))
    for number in range(6):
        video(f"more-{number}.mp4", moving_bar(11, number + 1))
    state = monitor.monitor(return_state=True)
    assert state.name == "No drift", state.message
    assert "the median error of 6 new videos" in state.message


def test_a_folder_of_numbered_images_arrives_as_one_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = load_params(ROOT / "params.yaml").extract
    for number in range(3):
        write_png(Path("videos/walk") / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    Path("videos/.part").write_text("hidden")
    assert monitor.arrived(Path("videos"), set(), params) == [Path("videos/walk")]
    assert (
        monitor.arrived(Path("videos"), {video.content_hash for video in videos.videos(Path("videos"), params)}, params)
        == []
    )


def test_what_frames_were_extracted_from_does_not_arrive_again_array_list_or_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("archive").mkdir()
    np.save("archive/seq.npy", squares(5, 8))
    write_lerobot(Path("archive/robot"), [4, 5])
    write_video(Path("archive/a.mp4"), pictures(8), 10.0)
    write_video(Path("archive/b.mp4"), pictures(9), 10.0)
    Path("list.csv").write_text("path,start_seconds,stop_seconds\narchive/a.mp4,0.1,0.5\narchive/b.mp4,,\n")
    wanted = extract_params(size=(8, 8))
    for name in ("archive", "list.csv"):
        extract(Path("frames"), data=data_in(Path(name)), extract=wanted)
        known = set(FrameStore(Path("frames")).index["sha256"])
        assert monitor.arrived(Path(name), known, wanted) == []
        assert len(monitor.arrived(Path(name), set(), wanted)) > 1
    assert monitor.arrived(Path("list.csv"), known - {""}, wanted) == []
    set_list = set(monitor.arrived(Path("list.csv"), set(), wanted))
    monitor.write_list(Path("part.csv"), Path("list.csv"), {path for path in set_list if path.name == "a.mp4"})
    [row] = read_list(Path("part.csv"))
    assert (Path(row.path).name, row.start_seconds, row.stop_seconds) == ("a.mp4", 0.1, 0.5)


def test_videos_that_cannot_be_measured_are_no_failure_and_the_log_says_why(workspace, api):
    video("short.mp4", moving_bar(3, 0))
    state = monitor.monitor(return_state=True)
    assert state.name == "Nothing usable", state.message
    assert state.is_completed()
    assert "none of 1 new videos" in state.message
    Path("videos/short.mp4").write_bytes(b"no video at all")
    assert monitor.monitor(return_state=True).name == "Nothing usable"


def test_clips_are_read_only_while_no_other_flow_can_make_them_anew(workspace, monkeypatch):
    asked = []

    def all_for_test(*arguments):
        with pytest.raises(Timeout):
            FileLock(workspace_lock.LOCK, timeout=0).acquire()
        asked.append(arguments)
        scoring.all_for_test(*arguments)

    stub = SimpleNamespace(all_for_test=all_for_test, score=scoring.score)
    monkeypatch.setattr(measuring, "scoring", stub)
    with disable_run_logger():
        champion, params = model_versions.champion(), load_params(Path("params.yaml"))
        assert monitor.measure.fn(champion, sorted(Path("videos").glob("*.mp4")), params)
    assert len(asked) == 1
