"""Tells from time stamps, before decoding, which frames of a video are not wanted at a lower frame rate."""

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av

from pipeline.video.timing import first_moment, in_seconds, is_before

# codecs that mark frames which no other is made from, and whose decoders can leave these out
HAVE_DISPOSABLE_FRAMES = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
IDR = 5  # a unit's type, ITU-T H.264, table 7-1
START_CODE = b"\0\0\1"
LOOKAHEAD = 64  # packets; more than any codec puts between the order of decoding and that of showing
LONGEST_GROUP = 1000  # packets; of a longer one the rest is decoded
MARGIN_SECONDS = 1e-6  # for errors of rounding in our own sums: a frame too many is decoded rather than one too few


class CannotSkip(Exception):
    """What will be shown cannot be told from the packets: every frame has to be decoded."""


class MarkedPacket(NamedTuple):
    """A packet that is to be decoded."""

    packet: av.Packet
    is_wanted: bool  # else it can be left out if no other frame is predicted from its own
    restarts: bool  # packets before it were left out: the decoder has to begin anew


class FrameSkipper:
    """The packets of a video with the frames wanted at 0, 1 / fps, 2 / fps … seconds.

    A packet stands for one frame, at its own time stamp. Where that does not hold (no time stamps, the same one twice,
    falling ones, a packet that is not whole or not to be shown), or where the decoder returns other frames, CannotSkip
    is raised.
    """

    def __init__(self, fps: float, time_base: Fraction, nal_length: int | None = None) -> None:
        """`nal_length` is of H.264: how many bytes say how long a unit is, 0 where start codes part them."""
        self._nal_length = nal_length
        self._restart = False  # whether frames before the next group were left out
        self._fps, self._time_base = fps, time_base
        self._pts: list[int] = []  # of packets that are read and not shown yet, sorted
        self._durations: dict[int, int] = {}  # by time stamp
        self._start: int | None = None
        self._last_shown = -math.inf  # time stamp

    def mark(self, packets: Iterable[av.Packet]) -> Iterator[MarkedPacket]:
        """The packets that have to be decoded; the frame that is shown first or last always is wanted.

        What follows the last wanted frame of a picture group, up to the next, is left out; so are whole groups.
        """
        groups: deque[list[av.Packet]] = deque()
        is_begun = False  # whether packets of the first of `groups` are out already
        for packet in packets:
            if packet.size:
                self._register(packet)
            if not groups or (packet.size and self._begins_group(packet)):
                groups.append([])
            groups[-1].append(packet)
            if len(groups) == 3 or (len(groups) == 2 and len(groups[1]) > LOOKAHEAD):
                yield from self._needed(groups.popleft(), groups[0], is_begun=is_begun)
                is_begun = False
            elif len(groups) == 1 and len(groups[0]) > LONGEST_GROUP:
                out, groups[0] = groups[0][:-LOOKAHEAD], groups[0][-LOOKAHEAD:]
                yield from self._needed(out, None, is_begun=is_begun)
                is_begun = True
        while groups:
            yield from self._needed(groups.popleft(), groups[0] if groups else None, is_begun=is_begun)
            is_begun = False

    def _needed(
        self, group: list[av.Packet], following: list[av.Packet] | None, *, is_begun: bool
    ) -> Iterator[MarkedPacket]:
        restart = self._restart and not is_begun
        if not is_begun:
            # shown before the group's first frame, which they are predicted from as well as from the group before
            group = [packet for packet in group if not restart or not _leads(packet, group[0])]
            self._restart = False
        wanted = [self._is_wanted(packet) for packet in group]
        if following is not None and not any(self._is_wanted(p) for p in following if _leads(p, following[0])):
            count = max((number for number, is_wanted in enumerate(wanted, start=1) if is_wanted), default=0)
            self._restart = count < len(group) or (restart and not count)
            group = group[:count]
        for packet, is_wanted in zip(group, wanted, strict=False):
            yield MarkedPacket(packet, is_wanted, restart)
            restart = False

    def _begins_group(self, packet: av.Packet) -> bool:
        """Whether no frame from here on is predicted from one before, but for those that are shown before."""
        if not packet.is_keyframe:
            return False
        return self._nal_length is None or _has_idr(bytes(packet), self._nal_length)

    def _register(self, packet: av.Packet) -> None:
        pts = packet.pts
        if pts is None or pts in self._durations or pts <= self._last_shown or packet.is_corrupt or packet.is_discard:
            raise CannotSkip
        insort(self._pts, pts)
        self._durations[pts] = packet.duration or 0

    def _is_wanted(self, packet: av.Packet) -> bool:
        if not packet.size:  # the end
            return True
        if self._start is None:
            self._start = self._pts[0]
        pts = packet.pts
        assert pts is not None
        following = bisect_right(self._pts, pts)
        if pts <= self._start or following == len(self._pts):
            return True
        pts_seconds, stop_seconds = (in_seconds(p - self._start, self._time_base) for p in (pts, self._pts[following]))
        moment = first_moment(pts_seconds - MARGIN_SECONDS, self._fps)
        return is_before(moment / self._fps, stop_seconds + MARGIN_SECONDS)

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


def _leads(packet: av.Packet, first: av.Packet) -> bool:
    """Whether a packet of a group is shown before the group's first."""
    return packet.pts is not None and first.pts is not None and packet.pts < first.pts


def nal_length_of(extradata: bytes) -> int:
    """Bytes that say how long a unit of H.264 is, by ISO/IEC 14496-15's record; 0 where start codes part them."""
    return (extradata[4] & 3) + 1 if len(extradata) > 4 and extradata[0] == 1 else 0


def _has_idr(content: bytes, nal_length: int) -> bool:
    """Whether an H.264 packet is an instantaneous decoder refresh: nothing after it needs what was before."""
    if not nal_length:
        return any(content[place + 3] & 31 == IDR for place in _start_codes(content))
    place = 0
    while place + nal_length < len(content):
        length = int.from_bytes(content[place : place + nal_length], "big")
        if content[place + nal_length] & 31 == IDR:
            return True
        place += nal_length + length
    return False


def _start_codes(content: bytes) -> Iterator[int]:
    place = content.find(START_CODE)
    while 0 <= place < len(content) - 3:
        yield place
        place = content.find(START_CODE, place + 3)
