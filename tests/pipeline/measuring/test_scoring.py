"""New videos as test clips, cut and paired as those that a model was trained on."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.data.clips import COLUMNS, ClipDataset, write_clips
from pipeline.data.translation import Translation
from pipeline.measuring.scoring import all_for_test, mean_intervals, means


def clips_like(folder, translation):
    table = pd.DataFrame([("a.mp4", "train", 0, 9, 1)], columns=COLUMNS)
    task = "predict" if translation is None else "translate"
    write_clips(folder, table, task=task, context=2, horizon=2, stride=2, translation=translation)
    return folder


def test_every_video_is_for_testing(make_store, numbered, tmp_path):
    frames = make_store({"x.mp4": numbered(6), "short.mp4": numbered(3)})
    all_for_test(frames, tmp_path / "clips", clips_like(tmp_path / "like", None))
    dataset = ClipDataset(frames, tmp_path / "clips", "test")
    assert dataset.names(range(len(dataset))) == ["x.mp4[0:4]", "x.mp4[2:6]"]


def test_a_degradation_goes_with_the_clips(make_store, numbered, tmp_path):
    noise = Translation(source=None, target=None, degradation="noise", strength=25.0, seed=0)
    frames = make_store({"x.mp4": numbered(6)})
    all_for_test(frames, tmp_path / "clips", clips_like(tmp_path / "like", noise))
    dataset = ClipDataset(frames, tmp_path / "clips", "test")
    source, target = dataset.pairs([0])
    assert dataset.task.translation == noise
    assert not np.array_equal(source, target)


def test_only_targets_that_have_a_source_are_cut(make_store, numbered, tmp_path):
    pairs = Translation(source="rough", target="clean", degradation=None, strength=None, seed=0)
    frames = make_store({"rough/x.mp4": numbered(5, 50), "clean/x.mp4": numbered(5), "other.mp4": numbered(9, 99)})
    all_for_test(frames, tmp_path / "clips", clips_like(tmp_path / "like", pairs))
    source, target = ClipDataset(frames, tmp_path / "clips", "test").pairs([0])
    assert target[0, :, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert source[0, :, 0, 0, 0].tolist() == [50, 51, 52, 53]


def test_every_mean_that_has_one_has_an_interval_over_videos():
    table = pd.DataFrame(
        {
            "clip": ["a[0]", "a[4]", "b[0]"],
            "video": ["a", "a", "b"],
            "mse": [2.0, 2.0, 6.0],
            "motion": [math.nan] * 3,
        }
    )
    assert means(table)["mse"] == pytest.approx(10 / 3)
    # draws of the two videos: a alone 2, b alone 6, both 10 / 3
    assert mean_intervals(table) == {"mse": [2.0, 6.0]}
    assert mean_intervals(table[table["video"] == "a"]) == {}  # nothing is known of other videos
