"""Intervals of means: whole videos are drawn, and they hold the truth as often as they say."""

import numpy as np
import pytest

from pipeline.measuring.intervals import bootstrap


def test_an_interval_of_independent_values_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(3.0, 2.0, (400, 1))
    low, high = bootstrap(values, np.arange(400))
    error = 1.96 * values.std() / np.sqrt(400)
    assert low[0] == pytest.approx(values.mean() - error, abs=0.03)
    assert high[0] == pytest.approx(values.mean() + error, abs=0.03)


def test_many_clips_of_a_video_know_no_more_than_the_video():
    """Ten videos of 40 equal clips are as uncertain as ten clips: clips resampled one by one would be 6 times surer."""
    levels = np.random.default_rng(2).normal(size=(10, 1))
    one_each = bootstrap(levels, np.arange(10))
    many_each = bootstrap(np.repeat(levels, 40, axis=0), np.repeat(np.arange(10), 40))
    assert np.ravel(many_each) == pytest.approx(np.ravel(one_each))


def test_a_longer_video_counts_by_its_clips():
    low, high = bootstrap(np.array([[0.0], [1.0], [1.0], [1.0]]), np.array(["a", "b", "b", "b"]))
    assert (low[0], high[0]) == (0.0, 1.0)  # a draw is a alone, b alone, or both: 0, 1 or 3/4


def test_of_one_video_nothing_is_known_of_others():
    low, high = bootstrap(np.array([[0.0], [1.0]]), np.array(["a", "a"]))
    assert np.isnan([low[0], high[0]]).all()


def test_clips_without_a_value_do_not_count():
    values = np.array([[1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    low, high = bootstrap(values, np.array(["a", "b", "c"]))
    assert (low[0], high[0]) == (1.0, 1.0)
    assert np.isnan([low[1], high[1]]).all()


def test_intervals_cover_the_true_mean_nineteen_times_in_twenty():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(200, 30))  # 200 trials side by side, 30 videos each
    low, high = bootstrap(values.T, np.arange(30))
    covered = np.mean((low < 0) & (high > 0))
    assert 0.88 < covered < 0.98


def test_the_same_values_have_the_same_interval():
    values, videos = np.random.default_rng(4).random((20, 3)), np.arange(20) % 7
    assert np.array_equal(bootstrap(values, videos), bootstrap(values, videos))
