from fractions import Fraction

import pytest

from pipeline.video.timing import first_moment, in_seconds, index_at, is_before


@pytest.mark.parametrize(
    ("moment_seconds", "shown"),
    [(-0.1, -1), (0.0, 0), (0.09, 0), (0.1, 1), (0.149, 1), (0.15, 2), (7.0, 2)],
)
def test_a_frame_is_shown_from_its_time_until_the_next_ones(moment_seconds, shown):
    assert index_at([0.0, 0.1, 0.15], moment_seconds) == shown


def test_times_that_a_container_rounded_to_milliseconds_are_met_at_every_rate():
    for fps in (23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0):
        pts_seconds = [round(number / fps, 3) for number in range(2000)]
        for number, pts in enumerate(pts_seconds):
            assert index_at(pts_seconds, number / fps) == number
            assert first_moment(pts, fps) == number
            assert is_before((number - 1) / fps, pts)
            assert not is_before(number / fps, pts)


def test_the_first_moment_of_a_frame_is_the_first_that_is_not_before_it():
    # moments at 0, 0.2, 0.4 …
    assert [first_moment(pts, 5.0) for pts in (0.0, 0.1, 0.2, 0.21, 0.4)] == [0, 1, 1, 2, 2]


def test_seconds_are_those_of_the_fraction_to_the_last_bit():
    for time_base in (Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1000), Fraction(3600), Fraction(7, 3)):
        for stamp in (0, 1, -5, 3003, 12_345_678_901, 2**61 + 1):
            assert in_seconds(stamp, time_base) == float(stamp * time_base)
