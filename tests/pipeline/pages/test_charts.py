"""Curves become points of a drawing."""

import math

import pytest

from pipeline.errors import DataError
from pipeline.pages.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, chart, horizon_charts, training_charts
from pipeline.pages.figures import read_table


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.points.split()]


def test_curves_fill_the_axes_and_higher_values_lie_higher():
    drawn = chart("t", "x", {"a": [(1, 0.0), (2, 10.0), (3, 5.0)]})
    (first_x, low), (_, high), (last_x, middle) = points(drawn.lines[0])
    assert (first_x, last_x) == (LEFT, WIDTH - RIGHT)
    assert TOP < high < middle < low < HEIGHT - BOTTOM
    assert middle == pytest.approx((low + high) / 2, abs=0.1)
    assert drawn.summary == "t against x. a: from 0 to 5"


def test_a_logarithmic_axis_has_equal_ratios_at_equal_distances_and_is_for_positive_values_alone():
    a, b, c = (y for _, y in points(chart("t", "x", {"a": [(1, 1.0), (2, 10.0), (3, 100.0)]}, log=True).lines[0]))
    assert a - b == pytest.approx(b - c, abs=0.2)
    zero = chart("t", "x", {"a": [(1, 0.0), (2, 10.0), (3, 100.0)]}, log=True)
    a, b, c = (y for _, y in points(zero.lines[0]))
    assert b - c == pytest.approx(9 * (a - b), rel=0.05)


def test_what_is_not_finite_is_left_out_and_nothing_is_no_chart():
    drawn = chart("t", "x", {"a": [(1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0)], "b": [(1, math.nan)]})
    assert [line.label for line in drawn.lines] == ["a"]
    assert len(points(drawn.lines[0])) == 2
    assert chart("t", "x", {"b": [(1, math.nan)]}) is None


@pytest.mark.parametrize("values", [[(1, 3.0)], [(1, 3.0), (2, 3.0)], [(5, 0.0)]])
def test_a_point_and_a_flat_line_lie_in_the_drawing(values):
    for x, y in points(chart("t", "x", {"a": values}).lines[0]):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM


def test_one_epoch_is_a_dash_that_can_be_seen_at_the_one_tick(tmp_path):
    drawn = chart("t", "epoch", {"a": [(1, 0.0)]})
    (left, y), (right, same) = points(drawn.lines[0])
    assert (right - left, y) == (12, same)
    assert drawn.x_ticks == [((left + right) / 2, "1")]
    assert {"-0.8", "0", "0.8"} <= {text for _, text in drawn.y_ticks}


def test_charts_against_the_horizon_have_the_methods_in_order_and_know_the_steps(tmp_path):
    assert horizon_charts(tmp_path, ["model"]) == []
    (tmp_path / "horizon.csv").write_text(
        "method,step,mse,psnr\nlast_frame,1,4,10\nlast_frame,2,5,9\nmodel,1,1,30\nmodel,2,2,28\n"
    )
    mse, psnr = horizon_charts(tmp_path, ["model", "last_frame"])
    assert mse.title.startswith("MSE")
    assert [line.label for line in psnr.lines] == ["model", "last_frame"]
    assert mse.x_label == "frames ahead"
    assert horizon_charts(tmp_path, [], "frame of the clip")[0].x_label == "frame of the clip"
    assert mse.steps == (LEFT, WIDTH - RIGHT - LEFT)


def test_training_charts_are_of_the_files_that_are_there(tmp_path):
    assert training_charts(tmp_path) == []
    (tmp_path / "plots/metrics").mkdir(parents=True)
    (tmp_path / "plots/metrics/train_loss.tsv").write_text("step\ttrain_loss\n0\t0.5\n1\t0.25\n")
    (tmp_path / "gradients.csv").write_text("steps_back,before,after\n1,0.1,0.2\n2,0.01,0.1\n")
    loss, gradients = training_charts(tmp_path)
    assert "from 0.5 to 0.25" in loss.summary
    assert loss.x_ticks[0][1] == "1"  # people count epochs from 1
    assert [line.label for line in gradients.lines] == ["after training", "before training"]
    (tmp_path / "plots/metrics/train_loss.tsv").write_text("step\ttrain_loss\n0\t-4\n1\t-5\n")
    loss, _ = training_charts(tmp_path)
    assert loss.title.endswith(", as a logarithm")
    (tmp_path / "plots/metrics/train_loss.tsv").write_text("step\ttrain_loss\n0\t-4\n")
    assert training_charts(tmp_path) == [gradients]  # one epoch is no curve


def test_a_table_with_words_for_numbers_is_refused_in_one_line(tmp_path):
    (tmp_path / "horizon.csv").write_text("method,step,mse\nmodel,1,0.5\nmodel,2,0x5\n")
    with pytest.raises(DataError, match=r"horizon.csv: is damaged \(mse is not all numbers\); "):
        read_table(tmp_path / "horizon.csv", "method", "step")
