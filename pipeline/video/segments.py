"""A part of a video in time."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pipeline.video.timing import is_before

Timed = TypeVar("Timed", bound=Any)  # a NamedTuple with pts_seconds and stop_seconds


def between(frames: Iterable[Timed], start_seconds: float | None, stop_seconds: float | None) -> Iterator[Timed]:
    """The frames whose presentation time is in [start_seconds, stop_seconds), their times counted from the first one.

    None is the start or the end of the video. The last frame ends with the range.
    """
    start, stop = start_seconds or 0.0, float("inf") if stop_seconds is None else stop_seconds
    first: float | None = None
    for frame in frames:
        if is_before(frame.pts_seconds, start):
            continue
        if not is_before(frame.pts_seconds, stop):
            return
        first = frame.pts_seconds if first is None else first
        yield frame._replace(pts_seconds=frame.pts_seconds - first, stop_seconds=min(frame.stop_seconds, stop) - first)
