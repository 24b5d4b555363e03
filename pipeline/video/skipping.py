"""Tells from time stamps, before decoding, which frames of a video nobody asks for."""

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av

TOLERANCE_SECONDS = 0.00051  # Matroska and FLV round time stamps to milliseconds
# whose decoders can leave out frames that no other is made from, each by its own mark in the stream
HAVE_DISPOSABLE_FRAMES = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
LOOKAHEAD = 64  # packets; more than any codec puts between the order of decoding and that of showing
MARGIN_SECONDS = 1e-6  # a frame too many is decoded rather than one too few


class CannotSkip(Exception):
    """What will be shown cannot be told from the packets: every frame has to be decoded."""


class FrameSkipper:
    """The packets of a video with the frames wanted at 0, 1 / fps, 2 / fps … seconds.

    A packet stands for one frame, at its own time stamp. Where that does not hold (no time stamps, the same one twice,
    falling ones, a packet that is not whole or not to be shown), or what the decoder gives differs, CannotSkip is
    raised.
    """

    def __init__(self, fps: float, time_base: Fraction) -> None:
        self._fps, self._time_base = fps, time_base
        self._stamps: list[int] = []  # of packets that are read and not shown yet, sorted
        self._durations: dict[int, int] = {}
        self._start: int | None = None
        self._last = -math.inf  # time stamp of the frame that was shown last

    def mark(self, packets: Iterable[av.Packet]) -> Iterator[tuple[av.Packet, bool]]:
        """Each packet and whether its frame is wanted; the frame that is shown first or last always is."""
        waiting: deque[av.Packet] = deque()
        for packet in packets:
            if packet.size:
                self._take(packet)
            waiting.append(packet)
            if len(waiting) > LOOKAHEAD:
                yield self._marked(waiting.popleft())
        while waiting:
            yield self._marked(waiting.popleft())

    def _take(self, packet: av.Packet) -> None:
        stamp = packet.pts
        if stamp is None or stamp in self._durations or stamp <= self._last or packet.is_corrupt or packet.is_discard:
            raise CannotSkip
        insort(self._stamps, stamp)
        self._durations[stamp] = packet.duration or 0

    def _marked(self, packet: av.Packet) -> tuple[av.Packet, bool]:
        if not packet.size:  # the end
            return packet, True
        if self._start is None:
            self._start = self._stamps[0]
        stamp = packet.pts
        assert stamp is not None
        place = bisect_right(self._stamps, stamp)
        if stamp <= self._start or place == len(self._stamps):
            return packet, True
        seconds, following = (float((s - self._start) * self._time_base) for s in (stamp, self._stamps[place]))
        moment = math.ceil((seconds - TOLERANCE_SECONDS - MARGIN_SECONDS) * self._fps)
        return packet, moment / self._fps < following - TOLERANCE_SECONDS + MARGIN_SECONDS

    def passed_over(self, frame: av.VideoFrame | None) -> Iterator[tuple[int, int]]:
        """(time stamp, duration) of the frames between the last one and `frame` (None: the end), which were left out.

        Raises CannotSkip if `frame` is not one that was to come.
        """
        if frame is None:
            if self._stamps:
                raise CannotSkip
            return
        if frame.pts not in self._durations:
            raise CannotSkip
        while True:
            stamp = self._stamps.pop(0)
            duration = self._durations.pop(stamp)
            self._last = stamp
            if stamp == frame.pts:
                return
            yield stamp, duration
