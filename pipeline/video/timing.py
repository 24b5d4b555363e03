"""Which frame a player shows at a given second: the last one whose presentation time has come.

Times are compared with a tolerance, because a container may have rounded them: Matroska and FLV count milliseconds, so
that the third of 30 frames per second is at 0.067. Compared exactly, the second frame would be shown at 2 / 30.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

TOLERANCE_SECONDS = 0.00051  # rounding to milliseconds moves a time by at most half of one


def in_seconds(stamp: int, time_base: Fraction) -> float:
    """A time stamp in units of `time_base` seconds: float(stamp * time_base) to the last bit, and faster."""
    return stamp * time_base.numerator / time_base.denominator


def is_before(moment_seconds: float, pts_seconds: float) -> bool:
    """Whether the moment comes before a frame with this presentation time, by more than the tolerance."""
    return moment_seconds < pts_seconds - TOLERANCE_SECONDS


def index_at(pts_seconds: Sequence[float], moment_seconds: float) -> int:
    """The index of the frame that is shown at the moment; -1 before the first. `pts_seconds` are sorted."""
    return bisect_right(pts_seconds, moment_seconds, key=lambda pts: pts - TOLERANCE_SECONDS) - 1


def first_moment(pts_seconds: float, fps: float) -> int:
    """The number of the first of the moments 0, 1 / fps, 2 / fps … at which the frame's presentation time has come."""
    return math.ceil((pts_seconds - TOLERANCE_SECONDS) * fps)
