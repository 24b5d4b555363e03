"""Which frame a player shows at a given second: the last one whose presentation time has come.

Times are compared with a tolerance, for a container may round them: a frame of 1 / 30 seconds is at 0.033 in Matroska
and FLV, which count milliseconds, and would come too late for the moment 1 / 30, or another too early.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

TOLERANCE_SECONDS = 0.00051  # half a millisecond, the most that rounding to milliseconds moves a time, and a bit


def is_before(moment_seconds: float, pts_seconds: float) -> bool:
    """Whether the moment comes before a frame with this presentation time, by more than the tolerance."""
    return moment_seconds < pts_seconds - TOLERANCE_SECONDS


def index_at(pts_seconds: Sequence[float], moment_seconds: float) -> int:
    """The index of the frame that is shown at the moment; -1 before the first. `pts_seconds` are sorted."""
    return bisect_right(pts_seconds, moment_seconds, key=lambda pts: pts - TOLERANCE_SECONDS) - 1


def first_moment(pts_seconds: float, fps: float) -> int:
    """The number of the first of the moments 0, 1 / fps, 2 / fps … at which the frame's presentation time has come."""
    return math.ceil((pts_seconds - TOLERANCE_SECONDS) * fps)
