"""The files that people read about a model: right numbers, in the agreed form, the same bytes every time."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ModelError
from pipeline.model_dir import load, save
from pipeline.params import EvaluateParams
from pipeline.stages.evaluate import draw, evaluate, summarize

METHODS = ["model", "last_frame", "mean_frame", "background", "optical_flow"]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate") / "metrics"
    evaluate(tiny.frames, tiny.clips, tiny.model, folder, evaluate=EvaluateParams(batch_size=4, max_clips=None))
    return folder


def test_the_table_has_a_row_for_each_method_and_step(run):
    table = pd.read_csv(run / "horizon.csv")
    assert list(table.columns) == ["method", "step", "mse", "mae", "psnr", "ssim"]
    assert table[["method", "step"]].values.tolist() == [[method, step] for method in METHODS for step in (1, 2, 3, 4)]


def test_the_baselines_have_the_errors_of_a_moving_bar(run):
    """A bar of 8 x 2 pixels that moves by one a frame: the last frame is wrong on 16, then 32, 32, 32 pixels."""
    table = pd.read_csv(run / "horizon.csv").set_index(["method", "step"])
    assert table.loc["last_frame", "mse"].tolist() == [16, 32, 32, 32]
    assert table.loc["background", "mae"].tolist() == [16, 16, 16, 16]
    means = np.array([1, 2, 2, 1, 0, 0, 0, 0]) / 3  # of columns over 3 frames of context, the bar first at 0
    expected = [8 * float(((means - np.isin(range(8), [t, t + 1])) ** 2).sum()) for t in (3, 4, 5, 6)]
    assert table.loc["mean_frame", "mse"].tolist() == pytest.approx(expected, rel=1e-4)


def test_a_trained_model_beats_every_baseline(run):
    summary = json.loads((run / "metrics.json").read_text())
    assert list(summary) == sorted([*METHODS, "useful_horizon"])
    assert summary["useful_horizon"] == 4
    assert all(summary["model"]["mse"] < 0.5 * summary[name]["mse"] for name in METHODS[1:])
    assert all(summary["model"]["ssim"] > summary[name]["ssim"] for name in METHODS[1:])


def test_weights_that_training_never_bettered_are_told_in_the_metrics(tiny, tmp_path):
    model, card = load(tiny.model)
    save(tmp_path / "model", model, card.model_copy(update={"better_than_start": False}))
    params = EvaluateParams(batch_size=4, max_clips=None)
    evaluate(tiny.frames, tiny.clips, tmp_path / "model", tmp_path / "metrics", evaluate=params)
    assert json.loads((tmp_path / "metrics/metrics.json").read_text())["better_than_start"] is False


def test_the_summary_is_the_mean_over_the_horizon():
    table = pd.DataFrame(
        {
            "method": ["model", "model", "model", "last_frame", "last_frame", "last_frame"],
            "step": [1, 2, 3] * 2,
            "mse": [3.0, 2.0, 1.0, 2.0, 4.0, 9.0],
            "mae": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            "psnr": [20.0, 30.0, 40.0, 10.0, 10.0, 10.0],
            "ssim": [1 / 3, 1 / 3, 1 / 3, 0.0, 0.0, 0.0],
        }
    )
    assert summarize(table) == {
        "model": {"mse": 2.0, "mae": 1.0, "psnr": 30.0, "ssim": 0.333333},
        "last_frame": {"mse": 5.0, "mae": 0.0, "psnr": 10.0, "ssim": 0.0},
        "useful_horizon": 2,  # not the first step
    }


def test_same_bytes_twice(tiny, run, tmp_path):
    evaluate(tiny.frames, tiny.clips, tiny.model, tmp_path, evaluate=EvaluateParams(batch_size=4, max_clips=None))
    names = ["horizon.csv", "horizon.png", "metrics.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    assert all((tmp_path / name).read_bytes() == (run / name).read_bytes() for name in names)


def test_fewer_clips_are_other_numbers(tiny, run, tmp_path):
    evaluate(tiny.frames, tiny.clips, tiny.model, tmp_path, evaluate=EvaluateParams(batch_size=4, max_clips=1))
    one, all_of_them = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, run))
    assert one["last_frame"]["mse"] == all_of_them["last_frame"]["mse"] == 28.0
    assert one["model"]["mse"] != all_of_them["model"]["mse"]


def test_the_plot_has_a_line_for_each_method(run):
    figure = draw(pd.read_csv(run / "horizon.csv"))
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == [method.replace("_", " ") for method in METHODS]
    assert figure.axes[0].lines[1].get_ydata().tolist() == [16, 32, 32, 32]


def test_a_model_for_other_frames_is_refused(tiny, tmp_path):
    model, card = load(tiny.model)
    save(tmp_path / "model", model, card.model_copy(update={"frame_shape": (1, 16, 8)}))
    with pytest.raises(ModelError, match=r"\(1, 16, 8\)"):
        evaluate(
            tiny.frames, tiny.clips, tmp_path / "model", tmp_path, evaluate=EvaluateParams(batch_size=4, max_clips=1)
        )
