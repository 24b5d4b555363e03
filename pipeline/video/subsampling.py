"""Tells from time stamps, before decoding, which frames of a video are not wanted at a lower frame rate."""

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av

from pipeline.video.timing import first_moment, is_before

# codecs that mark frames which no other is made from, and whose decoders can leave these out
HAVE_DISPOSABLE_FRAMES = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
LOOKAHEAD = 64  # packets; more than any codec puts between the order of decoding and that of showing
MARGIN_SECONDS = 1e-6  # for errors of rounding in our own sums: a frame too many is decoded rather than one too few


class CannotSkip(Exception):
    """What will be shown cannot be told from the packets: every frame has to be decoded."""


class FrameSkipper:
    """The packets of a video with the frames wanted at 0, 1 / fps, 2 / fps … seconds.

    A packet stands for one frame, at its own time stamp. Where that does not hold (no time stamps, the same one twice,
    falling ones, a packet that is not whole or not to be shown), or where the decoder returns other frames, CannotSkip
    is raised.
    """

    def __init__(self, fps: float, time_base: Fraction) -> None:
        self._fps, self._time_base = fps, time_base
        self._pts: list[int] = []  # of packets that are read and not shown yet, sorted
        self._durations: dict[int, int] = {}  # by time stamp
        self._start: int | None = None
        self._last_shown = -math.inf  # time stamp

    def mark(self, packets: Iterable[av.Packet]) -> Iterator[tuple[av.Packet, bool]]:
        """Each packet and whether its frame is wanted; the frame that is shown first or last always is."""
        waiting: deque[av.Packet] = deque()
        for packet in packets:
            if packet.size:
                self._register(packet)
            waiting.append(packet)
            if len(waiting) > LOOKAHEAD:
                yield self._marked(waiting.popleft())
        while waiting:
            yield self._marked(waiting.popleft())

    def _register(self, packet: av.Packet) -> None:
        pts = packet.pts
        if pts is None or pts in self._durations or pts <= self._last_shown or packet.is_corrupt or packet.is_discard:
            raise CannotSkip
        insort(self._pts, pts)
        self._durations[pts] = packet.duration or 0

    def _marked(self, packet: av.Packet) -> tuple[av.Packet, bool]:
        if not packet.size:  # the end
            return packet, True
        if self._start is None:
            self._start = self._pts[0]
        pts = packet.pts
        assert pts is not None
        following = bisect_right(self._pts, pts)
        if pts <= self._start or following == len(self._pts):
            return packet, True
        pts_seconds, stop_seconds = (float((p - self._start) * self._time_base) for p in (pts, self._pts[following]))
        moment = first_moment(pts_seconds - MARGIN_SECONDS, self._fps)
        return packet, is_before(moment / self._fps, stop_seconds + MARGIN_SECONDS)

    def skipped_before(self, frame: av.VideoFrame | None) -> Iterator[tuple[int, int]]:
        """(time stamp, duration) of the frames that were left out between the last frame and `frame` (None: the end).

        Raises CannotSkip if `frame` is not one that was to come.
        """
        if frame is None:
            if self._pts:
                raise CannotSkip
            return
        if frame.pts not in self._durations:
            raise CannotSkip
        while True:
            pts = self._pts.pop(0)
            duration = self._durations.pop(pts)
            self._last_shown = pts
            if pts == frame.pts:
                return
            yield pts, duration
