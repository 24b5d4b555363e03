"""Drift: a p-value and a stability index worked out by hand, and what follows from them."""

import numpy as np
import pytest

from pipeline.measuring.drift import drift, stability_index, surprise
from pipeline.params import MonitorParams

MONITOR = MonitorParams(min_videos=5, p_value=0.01, psi=0.25, bins=5)
REFERENCE = np.random.default_rng(0).gamma(9, 10, 60)


def test_the_p_value_is_how_often_samples_of_one_distribution_lie_so_far_apart():
    # of the 10! / (5! 5!) = 252 ways to deal ten values out, two have all of one sample above all of the other
    apart = drift(np.arange(1.0, 6), np.arange(6.0, 11), MONITOR)
    assert apart.p_value == pytest.approx(2 / 252)
    assert apart.drifted


def test_equal_samples_do_not_differ():
    equal = drift(REFERENCE, REFERENCE, MONITOR)
    assert (equal.drifted, equal.p_value, equal.psi) == (False, 1.0, 0.0)


def test_the_stability_index_of_two_bins_worked_out_by_hand():
    # reference: 2 below and 2 above the median; arrived: 0 and 4, with half a count added to each
    reference, arrived = np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])
    expected = (0.1 - 0.5) * np.log(0.1 / 0.5) + (0.9 - 0.5) * np.log(0.9 / 0.5)
    assert stability_index(reference, arrived, 2) == pytest.approx(expected)


def test_harder_videos_are_drift_and_easier_or_few_ones_are_not():
    arrived = np.random.default_rng(2).gamma(9, 10, 30)
    assert not drift(REFERENCE, arrived, MONITOR).drifted
    assert drift(REFERENCE, arrived * 2, MONITOR).drifted
    assert not drift(REFERENCE, arrived / 2, MONITOR).drifted
    few = drift(REFERENCE, arrived[:4] * 2, MONITOR)
    assert (few.drifted, few.reason) == (False, "4 new videos, fewer than monitor.min_videos (5)")
    assert drift(REFERENCE, np.append(arrived, np.nan), MONITOR).drifted


def test_surprise_is_in_units_of_the_usual_error():
    assert surprise(np.array([1.0, 2, 3]), np.array([2.0, 6])).tolist() == [1, 3]
