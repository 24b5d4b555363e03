"""Drift: against scipy's test and a stability index worked out by hand."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from pipeline.measuring.drift import drift, kolmogorov_smirnov, stability_index, surprise
from pipeline.params import MonitorParams

MONITOR = MonitorParams(min_videos=5, p_value=0.01, psi=0.25, bins=5)
REFERENCE = np.random.default_rng(0).gamma(9, 10, 60)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.7, 1.5])
def test_the_p_value_is_near_scipys(shift):
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=60), rng.normal(shift, size=40)
    expected = ks_2samp(first, second, method="asymp").pvalue
    assert kolmogorov_smirnov(first, second) == pytest.approx(expected, abs=0.05)
    assert (kolmogorov_smirnov(first, second) < 0.01) == (ks_2samp(first, second).pvalue < 0.01)


def test_equal_samples_do_not_differ():
    assert kolmogorov_smirnov(REFERENCE, REFERENCE) == 1.0
    assert stability_index(REFERENCE, REFERENCE, 5) == 0


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
