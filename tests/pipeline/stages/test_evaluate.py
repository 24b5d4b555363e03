"""The files that people read about a model: right numbers, in the agreed form, the same bytes every time."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ModelError
from pipeline.model_dir import load, save
from pipeline.params import EvaluateParams
from pipeline.stages.evaluate import draw, evaluate

PARAMS = EvaluateParams(batch_size=4, max_clips=None, lpips="off")
METHODS = ["model", "last_frame", "mean_frame", "background", "optical_flow"]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate") / "metrics"
    evaluate(tiny.frames, tiny.clips, tiny.model, folder, evaluate=PARAMS)
    return folder


def test_the_table_has_a_row_for_each_method_and_step(run):
    table = pd.read_csv(run / "horizon.csv")
    assert list(table.columns) == ["method", "step", "mse", "mae", "psnr", "ssim", "ms_ssim", "motion"]
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
    why = {"better_than_start": False, "start_kept_because": "steps were few"}
    save(tmp_path / "model", model, card.model_copy(update=why))
    evaluate(tiny.frames, tiny.clips, tmp_path / "model", tmp_path / "metrics", evaluate=PARAMS)
    assert json.loads((tmp_path / "metrics/metrics.json").read_text()).items() >= why.items()


def test_every_clip_and_method_has_its_scores_and_every_mean_its_interval(run):
    scores = pd.read_csv(run / "clip_scores.csv")
    assert scores[["clip", "video", "start", "method"]].drop_duplicates().shape[0] == len(scores) == 6 * len(METHODS)
    assert scores["clip"].unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert scores[scores["method"] == "model"][["video", "start"]].values.tolist() == [
        [f"test/{number}.mp4", start] for number in (0, 1, 2) for start in (0, 3)
    ]
    summary = json.loads((run / "metrics.json").read_text())
    table = pd.read_csv(run / "intervals.csv")
    assert list(table.columns) == ["method", "metric", "mean", "low", "high"]
    for row in table.itertuples():
        assert row.mean == pytest.approx(summary[row.method][row.metric], rel=1e-4)
        assert row.low <= row.mean * (1 + 1e-5)
        assert row.high >= row.mean * (1 - 1e-5)
        low, high = summary[row.method]["intervals"][row.metric]
        assert (low, high) == pytest.approx((row.low, row.high), rel=1e-5)
    still = table[(table["method"] == "last_frame") & (table["metric"] == "mse")]
    assert still[["low", "high"]].values.tolist() == [[28.0, 28.0]]  # the same in every video


def test_what_experiments_are_compared_by_is_the_models_alone(run):
    summary, own = (json.loads((run / f"{name}.json").read_text()) for name in ("metrics", "summary"))
    means = {name: value for name, value in summary["model"].items() if name != "intervals"}
    assert own == {**means, "useful_horizon": 4}
    assert len(own) <= 12


def test_the_last_line_of_the_log_is_the_verdict(tiny, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    evaluate(
        tiny.frames,
        tiny.clips,
        tiny.model,
        tmp_path,
        evaluate=PARAMS,
    )
    assert caplog.messages[0] == "measuring 6 of 6 test clips by 5 methods"
    assert caplog.messages[-1].startswith("the model's MSE is below every baseline's at 4 of 4 steps; in the means")


def test_same_bytes_twice(tiny, run, tmp_path):
    evaluate(
        tiny.frames,
        tiny.clips,
        tiny.model,
        tmp_path,
        evaluate=PARAMS,
    )
    names = ["clip_scores.csv", "horizon.csv", "horizon.png", "intervals.csv", "metrics.json", "summary.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    assert all((tmp_path / name).read_bytes() == (run / name).read_bytes() for name in names)


def test_fewer_clips_are_other_numbers(tiny, run, tmp_path):
    evaluate(tiny.frames, tiny.clips, tiny.model, tmp_path, evaluate=PARAMS.model_copy(update={"max_clips": 1}))
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
            tiny.frames,
            tiny.clips,
            tmp_path / "model",
            tmp_path,
            evaluate=PARAMS.model_copy(update={"max_clips": 1}),
        )


def test_lpips_is_measured_where_its_weights_are(tiny, tmp_path, monkeypatch):
    def dark(predicted, truth):
        return (predicted - truth).abs().mean(dim=(2, 3, 4))

    monkeypatch.setattr("pipeline.stages.evaluate.lpips_by", lambda setting: dark)
    evaluate(tiny.frames, tiny.clips, tiny.model, tmp_path, evaluate=PARAMS)
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["last_frame"]["lpips"] == pytest.approx(2 * summary["last_frame"]["mae"] / 64, rel=1e-4)
    for name in ("horizon", "clip_scores"):
        assert "lpips" in pd.read_csv(tmp_path / f"{name}.csv")
    assert "lpips" in pd.read_csv(tmp_path / "intervals.csv")["metric"].tolist()
    assert len(draw(pd.read_csv(tmp_path / "horizon.csv")).axes) == 6
