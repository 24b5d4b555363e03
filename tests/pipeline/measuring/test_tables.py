"""The tables about a model, worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.measuring.tables import clip_scores, headline, intervals, summarize, tabulate

# two clips of one video and one of another, two steps
MEASURED = {
    "model": {
        "mse": np.array([[1, 3], [2, 2], [5, 7]], np.float32),
        "flicker": np.array([[np.nan, 1], [np.nan, 2], [np.nan, 6]], np.float32),
    },
    "last_frame": {
        "mse": np.array([[2, 2], [2, 2], [2, 2]], np.float32),
        "flicker": np.array([[np.nan, 4], [np.nan, 4], [np.nan, 4]], np.float32),
    },
}
PLACES = [("a.mp4", 0), ("a.mp4", 4), ("b.mp4", 0)]


def test_a_row_of_the_horizon_is_the_mean_over_clips():
    table = tabulate(MEASURED)
    assert table[["method", "step"]].values.tolist() == [
        ["model", 1],
        ["model", 2],
        ["last_frame", 1],
        ["last_frame", 2],
    ]
    assert table["mse"].tolist() == pytest.approx([8 / 3, 4, 2, 2])
    assert table["flicker"].isna().tolist() == [True, False, True, False]
    assert table["flicker"][1] == pytest.approx(3)


def test_a_row_of_the_clips_is_the_mean_over_the_horizon():
    scores = clip_scores(MEASURED, [0, 7, 9], PLACES)
    assert list(scores.columns) == ["clip", "video", "start", "method", "mse", "flicker"]
    assert scores.iloc[:4].values.tolist() == [
        [0, "a.mp4", 0, "model", 2.0, 1.0],
        [0, "a.mp4", 0, "last_frame", 2.0, 4.0],
        [7, "a.mp4", 4, "model", 2.0, 2.0],
        [7, "a.mp4", 4, "last_frame", 2.0, 4.0],
    ]


def test_an_interval_lies_around_the_mean_of_the_summary():
    found = intervals(clip_scores(MEASURED, [0, 7, 9], PLACES)).set_index(["method", "metric"])
    summary = summarize(tabulate(MEASURED))
    for method in MEASURED:
        for metric in ("mse", "flicker"):
            assert found.loc[(method, metric), "mean"] == pytest.approx(summary[method][metric], rel=1e-5)
    # draws of the two videos: a alone 2, b alone 6, both (2 + 2 + 6) / 3
    assert found.loc[("model", "mse"), ["low", "high"]].tolist() == [2.0, 6.0]
    assert found.loc[("last_frame", "mse"), ["low", "high"]].tolist() == [2.0, 2.0]


def test_a_model_that_fails_on_one_clip_has_no_mean():
    broken = MEASURED["model"] | {"mse": np.array([[1, 3], [2, np.nan], [5, 7]], np.float32)}
    measured = MEASURED | {"model": broken}
    assert math.isnan(summarize(tabulate(measured))["model"]["mse"])
    row = intervals(clip_scores(measured, [0, 7, 9], PLACES)).iloc[0]
    assert math.isnan(row["mean"])
    assert math.isnan(row["low"])


def test_the_summary_is_the_mean_over_the_horizon():
    table = pd.DataFrame(
        {
            "method": ["model", "model", "model", "last_frame", "last_frame", "last_frame"],
            "step": [1, 2, 3] * 2,
            "mse": [3.0, 2.0, 1.0, 2.0, 4.0, 9.0],
            "mae": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            "psnr": [20.0, 30.0, 40.0, 10.0, 10.0, 10.0],
            "ssim": [1 / 3, 1 / 3, 1 / 3, 0.0, 0.0, 0.0],
            "flicker": [math.nan] * 6,
        }
    )
    assert summarize(table) == {
        "model": {"mse": 2.0, "mae": 1.0, "psnr": 30.0, "ssim": 0.333333},
        "last_frame": {"mse": 5.0, "mae": 0.0, "psnr": 10.0, "ssim": 0.0},
        "useful_horizon": 2,  # not the first step
    }


def test_the_headline_names_each_metric_in_which_a_baseline_is_ahead():
    summary = {
        "model": {"mse": 1.0, "mae": 5.0, "psnr": 30.0, "ssim": 0.799},
        "stateless": {"mse": 0.5, "mae": 0.5, "psnr": 50.0, "ssim": 0.9},
        "optical_flow": {"mse": 2.0, "mae": 4.0, "psnr": 29.0, "ssim": 0.861},
        "last_frame": {"mse": 3.0, "mae": 6.0, "psnr": 20.0, "ssim": 0.81},
        "useful_horizon": 9,
    }
    assert headline(summary, 10) == (
        "the model's MSE is below every baseline's at 9 of 10 steps; in the means over them a baseline is ahead in "
        "MAE (optical flow 4.0, the model 5.0), SSIM (optical flow 0.861, the model 0.799)"
    )
    better = summary | {"model": {"mse": 1.0, "mae": 4.0, "psnr": 30.0, "ssim": 0.9}}
    assert headline(better, 10).endswith("; in the means over them no baseline is ahead in any metric")


def test_the_headline_says_that_training_made_it_worse():
    summary = {"model": {"mse": 2.0}, "start": {"mse": 1.0}, "last_frame": {"mse": 3.0}, "useful_horizon": 10}
    assert "training made it worse: as it began its MSE was 1.00, it is 2.00 (`foreframe predict" in headline(
        summary, 10
    )
    summary["start"]["mse"] = 2.0
    assert "worse" not in headline(summary, 10)


def test_a_model_without_figures_is_behind():
    summary = {"model": {"mse": math.nan}, "last_frame": {"mse": 3.0}, "useful_horizon": 0}
    assert "ahead in MSE (last frame 3.00, the model nan)" in headline(summary, 10)
