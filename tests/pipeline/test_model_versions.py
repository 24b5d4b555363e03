"""Promotion of model directories: decided by numbers worked out by hand, switched in one rename."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from pipeline import model_versions
from pipeline.errors import ModelError
from pipeline.params import PromoteParams

PROMOTE = PromoteParams(metric="mse", margin=0.01, confidence=0.95, resamples=500, seed=0, commit=False)
VIDEOS = np.repeat([f"{i:02}" for i in range(20)], 5)
CHAMPION = np.random.default_rng(1).uniform(50, 150, 100)


def model(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"name": content}))
    (folder / "model.safetensors").write_text(content * 100)
    return folder


def promoted(models: Path, tmp_path: Path, *contents: str) -> list[str]:
    names = []
    for content in contents:
        names.append(model_versions.store(model(tmp_path / content, content), {}, models=models))
        model_versions.activate(names[-1], models)
    return names


def is_better(candidate, champion, videos, promote):
    return model_versions.is_better({"mse": candidate}, {"mse": champion}, videos, promote)


def test_a_better_candidate_clears_the_margin():
    verdict = is_better(CHAMPION * 0.9, CHAMPION, VIDEOS, PROMOTE)
    assert verdict.better
    assert verdict.improvement == pytest.approx(0.1)
    assert (verdict.low, verdict.high) == pytest.approx((0.1, 0.1))  # the same tenth on every clip: no spread


@pytest.mark.parametrize("factor", [1.0, 1.1, 0.995])
def test_an_equal_a_worse_and_a_hardly_better_candidate_are_refused(factor):
    verdict = is_better(CHAMPION * factor, CHAMPION, VIDEOS, PROMOTE)
    assert not verdict.better
    assert verdict.improvement == pytest.approx(1 - factor)
    assert "does not clear the margin of 1.0%" in verdict.reason


def test_an_improvement_that_one_video_makes_is_chance():
    candidate = CHAMPION.copy()
    candidate[:5] = 0  # five clips, all of video 00: 5 % better on the mean
    verdict = is_better(candidate, CHAMPION, VIDEOS, PROMOTE)
    assert verdict.improvement == pytest.approx(CHAMPION[:5].sum() / CHAMPION.sum())
    assert not verdict.better
    assert verdict.low == pytest.approx(0, abs=1e-9)  # many draws leave video 00 out


def test_clips_of_a_single_video_are_drawn_one_by_one():
    verdict = is_better(CHAMPION * 0.5, CHAMPION, np.zeros(100), PROMOTE)
    assert verdict.better
    assert "100 clips)" in verdict.reason


def test_a_candidate_that_is_not_a_number_is_refused_and_such_a_champion_replaced():
    broken = CHAMPION.copy()
    broken[7] = np.nan
    assert is_better(broken, CHAMPION, VIDEOS, PROMOTE).reason == (
        "the candidate's error is not a finite number on 1 of 100 clips"
    )
    assert is_better(CHAMPION, broken, VIDEOS, PROMOTE).better
    assert not is_better(CHAMPION[:0], CHAMPION[:0], VIDEOS[:0], PROMOTE).better
    assert not is_better(CHAMPION, CHAMPION * 0, VIDEOS, PROMOTE).better


@pytest.mark.parametrize(
    ("mse", "ssim", "better", "so"),
    [
        (0.9, 1.0, True, "better in mse, worse in none"),
        (1.0, 0.9, True, "better in ssim, worse in none"),
        (0.9, 1.1, False, "better in mse, worse in ssim"),
        (1.0, 1.0, False, "better in none, worse in none"),
    ],
)
def test_of_several_metrics_one_must_be_better_and_none_worse(mse, ssim, better, so):
    promote = PROMOTE.model_copy(update={"metric": ("mse", "ssim")})
    similarity = 1 - CHAMPION / (2 * CHAMPION.max())
    candidate = {"mse": CHAMPION * mse, "ssim": 1 - (1 - similarity) * ssim}
    verdict = model_versions.is_better(candidate, {"mse": CHAMPION, "ssim": similarity}, VIDEOS, promote)
    assert verdict.better is better
    assert verdict.reason.startswith(f"{so}; mse is ")
    assert "; 1 - ssim is " in verdict.reason
    assert verdict.improvement == pytest.approx(1 - mse)


def test_a_metric_that_is_best_at_1_is_compared_by_what_is_missing():
    promote = PROMOTE.model_copy(update={"metric": "ssim"})
    verdict = model_versions.is_better({"ssim": np.full(100, 0.9)}, {"ssim": np.full(100, 0.8)}, VIDEOS, promote)
    assert verdict.better
    assert verdict.improvement == pytest.approx(0.5)


def test_a_first_model_must_be_behind_no_baseline_in_any_metric():
    promote = PROMOTE.model_copy(update={"metric": ("mse", "ssim")})
    metrics = {"model": {"mse": 80.0, "ssim": 0.8}, "last_frame": {"mse": 100.0, "ssim": 0.7}}
    assert model_versions.beats_baselines(metrics, promote).better
    metrics["optical_flow"] = {"mse": 120.0, "ssim": 0.9}
    verdict = model_versions.beats_baselines(metrics, promote)
    assert not verdict.better
    assert verdict.reason.startswith("better in mse, worse in ssim; mse 80 is 20.0% lower than the 100 of the best")


def test_a_first_model_must_beat_the_best_baseline():
    metrics = {"model": {"mse": 80.0}, "last_frame": {"mse": 100.0}, "background": {"mse": 90.0}, "useful_horizon": 3}
    assert model_versions.beats_baselines(metrics, PROMOTE).improvement == pytest.approx(1 / 9)
    assert model_versions.beats_baselines(metrics, PROMOTE).better
    metrics["stateless"] = {"mse": 1.0}  # of a translation: the network itself, without its state
    assert model_versions.beats_baselines(metrics, PROMOTE).better
    metrics["model"]["mse"] = 89.5
    assert not model_versions.beats_baselines(metrics, PROMOTE).better
    metrics["model"]["mse"] = float("nan")
    assert not model_versions.beats_baselines(metrics, PROMOTE).better


def test_versions_go_up_and_the_champion_is_the_last_activated(tmp_path):
    models = tmp_path / "models"
    assert model_versions.champion(models) is None
    assert promoted(models, tmp_path, "a", "b") == ["v1.0.0", "v2.0.0"]
    assert model_versions.champion(models) == models / "v2.0.0"
    assert (models / "champion/model.safetensors").read_text() == "b" * 100
    assert model_versions.store(tmp_path / "a", {}, taken=["v7.0.0"], models=models) == "v8.0.0"
    assert model_versions.champion(models) == models / "v2.0.0"  # stored, not in force


def test_rollback_follows_what_was_in_force_and_skips_damage(tmp_path):
    models = tmp_path / "models"
    promoted(models, tmp_path, "a", "b", "c")
    assert model_versions.rollback(models) == "v2.0.0"
    promoted(models, tmp_path, "d")  # v4 replaced v2, not v3
    assert model_versions.record(models / "v4.0.0")["previous"] == "v2.0.0"
    (models / "v2.0.0/model.safetensors").write_text("damage")
    assert model_versions.rollback(models) == "v1.0.0"
    with pytest.raises(ModelError, match=r"no version before v1\.0\.0"):
        model_versions.rollback(models)


def test_one_promotion_or_rollback_at_a_time(tmp_path):
    models = tmp_path / "models"
    with model_versions.locked(models), pytest.raises(Timeout):
        FileLock(models / ".lock", timeout=0).acquire()
    FileLock(models / ".lock", timeout=0).acquire().lock.release()


def test_rollback_works_where_the_champion_itself_is_damaged(tmp_path):
    models = tmp_path / "models"
    promoted(models, tmp_path, "a", "b")
    (models / "v2.0.0/promotion.json").write_text("{")
    assert not model_versions.is_whole(models / "v2.0.0")
    assert model_versions.rollback(models) == "v1.0.0"


def test_what_is_no_model_is_not_stored_and_a_damaged_version_not_activated(tmp_path):
    models = tmp_path / "models"
    promoted(models, tmp_path, "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"model\.json"):
        model_versions.store(tmp_path / "empty", {}, models=models)
    name = model_versions.store(model(tmp_path / "b", "b"), {}, models=models)
    (models / name / "model.safetensors").write_text("cut")
    with pytest.raises(ModelError, match="the champion stays"):
        model_versions.activate(name, models)
    assert model_versions.champion(models) == models / "v1.0.0"
    model_versions.discard(name, models)
    assert model_versions.versions(models) == ["v1.0.0"]


def test_the_champion_is_whole_at_every_moment_of_a_promotion_that_is_killed(tmp_path):
    models = tmp_path / "models"
    candidate = model(tmp_path / "a", "a" * 100_000)
    promoted(models, tmp_path, "first")
    loop = f"""
from pathlib import Path
from pipeline import model_versions
while True:
    name = model_versions.store(Path({str(candidate)!r}), {{}}, models=Path({str(models)!r}))
    model_versions.activate(name, Path({str(models)!r}))
"""
    delays = np.random.default_rng(0).uniform(0, 0.15, 5)
    for delay in delays:
        process = subprocess.Popen([sys.executable, "-c", loop], cwd=Path(__file__).parents[2])
        seen = len(model_versions.versions(models))
        while len(model_versions.versions(models)) == seen and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        current = model_versions.champion(models)
        assert current is not None
        assert model_versions.is_whole(current)
    assert promoted(models, tmp_path, "last") == [model_versions.champion(models).name]
    assert not list(models.glob(".incoming-*"))
