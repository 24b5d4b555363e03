"""Which clips are shown."""

import pandas as pd
import pytest

from pipeline.pages.choice import choose


@pytest.fixture
def scores():
    """Seven clips of which clip 6 is the best and clip 0 the worst; a baseline that would order them otherwise."""
    model = [{"clip": clip, "method": "model", "mse": 7.0 - clip, "ssim": clip / 10} for clip in range(7)]
    other = [{"clip": clip, "method": "last_frame", "mse": float(clip), "ssim": 0.0} for clip in range(7)]
    return pd.DataFrame(other + model)


def test_three_are_the_best_the_median_and_the_worst_by_the_models_mse(scores):
    chosen = choose(7, 3, scores)
    assert [(c.index, c.title) for c in chosen] == [(6, "best"), (3, "median"), (0, "worst")]
    assert chosen[2].detail == "MSE 7.00, SSIM 0.000, place 7 of 7"


def test_one_is_the_median_and_two_add_the_worst(scores):
    assert [c.title for c in choose(7, 1, scores)] == ["median"]
    assert [c.title for c in choose(7, 2, scores)] == ["median", "worst"]


def test_more_lie_in_between_and_none_is_shown_twice(scores):
    assert [c.title for c in choose(7, 5, scores)] == ["best", "first quartile", "median", "third quartile", "worst"]
    for most in range(1, 10):
        indices = [c.index for c in choose(7, most, scores)]
        assert len(indices) == len(set(indices)) == min(most, 7)


def test_only_clips_that_were_measured_are_chosen(scores):
    measured = scores[scores["clip"].isin([2, 4])]
    assert {c.index for c in choose(7, 4, measured)} == {2, 4}


def test_of_two_clips_none_is_the_median_and_one_is_the_only_one(scores):
    def titles(clips, most):
        return [c.title for c in choose(7, most, scores[scores["clip"].isin(clips)])]

    assert titles([2, 4], 4) == titles([2, 4], 2) == ["best", "worst"]
    assert titles([2], 4) == ["the only one"]


def test_without_scores_they_are_spread_evenly(scores):
    assert [c.index for c in choose(10, 4, None)] == [0, 2, 5, 7]
    assert [c.index for c in choose(3, 4, None)] == [0, 1, 2]
    assert [c.index for c in choose(10, 2, scores[scores["method"] != "model"])] == [0, 5]
