"""What was right about known frames is believed about unknown ones, where it was right and as far as it was."""

import numpy as np
import pytest

from pipeline.inference.trust import Evidence

SIZE = (40, 60, 3)


@pytest.fixture
def change():
    return np.random.default_rng(0).normal(0, 30, SIZE).astype(np.float32)


def factors(first, second, true):
    evidence = Evidence()
    for _ in range(3):
        evidence.add(first, second, true)
    return evidence.factors()


def test_who_is_right_is_believed_and_who_is_silent_is_not(change):
    first, second = factors(change, np.zeros_like(change), change)
    assert first.min() > 0.99
    assert second.max() == 0
    first, second = factors(np.zeros_like(change), change, change)
    assert first.max() == 0
    assert second.min() > 0.99


def test_who_moves_what_stands_still_is_not_believed(change):
    first, second = factors(change, -change, np.zeros_like(change))
    assert first.max() == 0
    assert second.max() == 0


def test_each_is_believed_where_it_is_right(change):
    left, right = change.copy(), change.copy()
    left[:, 30:] = np.random.default_rng(1).normal(0, 30, (40, 30, 3))
    right[:, :30] = np.random.default_rng(2).normal(0, 30, (40, 30, 3))
    first, second = factors(left, right, change)
    assert first[:, :20].min() > 0.9
    assert second[:, :20].max() < 0.1
    assert first[:, 40:].max() < 0.1
    assert second[:, 40:].min() > 0.9


def test_two_that_say_the_same_are_believed_once(change):
    first, second = factors(change, change, change)
    np.testing.assert_allclose(first + second, 1, atol=0.01)


def test_where_nothing_happened_the_whole_picture_decides(change):
    change[:, :40] = 0
    first, _ = factors(change, np.zeros_like(change), change)
    assert first.min() > 0.95
