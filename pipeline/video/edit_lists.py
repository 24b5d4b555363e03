"""The parts of an MP4's edit list in which no new picture is shown (ISO/IEC 14496-12, 8.6.6).

FFmpeg plays the first pictures of the file in a gap that is not at the start, and plays on where one picture is to
stand still. Both are left out here: the picture before, or the one that stands still, lasts until the next edit.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.video.mp4_tracks import inside, movie_and_track
from pipeline.video.timing import TOLERANCE_SECONDS

MOST_BYTES = 1 << 20  # of a list that are read
NOTHING = -1  # the place in the track of an edit that shows nothing


class EditList:
    """Which frames of one stream are shown, by their times in the container."""

    def __init__(self, container: InputContainer, stream: VideoStream, file: int) -> None:
        """`file` is the open file."""
        edits = _edits(file, stream.id) if "mp4" in container.format.name else []
        self._stream = stream
        self._parts: list[tuple[float, float]] = []  # in which no new picture is shown, from and to, seconds
        seconds, is_begun = 0.0, False
        for length, place, rate in edits:
            stop = seconds + length
            if place == NOTHING and is_begun:
                self._parts.append((seconds - TOLERANCE_SECONDS, stop - TOLERANCE_SECONDS))
            elif place != NOTHING and not rate:
                self._parts.append((seconds + TOLERANCE_SECONDS, stop - TOLERANCE_SECONDS))
            seconds, is_begun = stop, is_begun or place != NOTHING

    @property
    def has_pauses(self) -> bool:
        """Whether there is a part in which no new picture is shown."""
        return bool(self._parts)

    def frames(self, frames: Iterable[tuple[av.VideoFrame | None, str]]) -> Iterator[tuple[av.VideoFrame | None, str]]:
        """Those of (frame, problem) that are shown, and those that have no frame."""
        return (each for each in frames if each[0] is None or self._shows(each[0].pts, each[0].time_base))

    def packets(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """Those whose frames are shown."""
        return (packet for packet in packets if self._shows(packet.pts, packet.time_base))

    def _shows(self, pts: int | None, time_base: Fraction | None) -> bool:
        time_base = time_base or self._stream.time_base
        if not self._parts or pts is None or time_base is None:
            return True
        seconds = float(pts * time_base)
        return not any(start <= seconds < stop for start, stop in self._parts)


def _edits(file: int, number: int) -> list[tuple[float, int, int]]:
    """(length in seconds, place in the track, whole part of the rate) of each edit of a track."""
    found = movie_and_track(file, number)
    if found is None:
        return []
    moov, trak = found
    clock = next((_clock(file, start) for start, _ in inside(file, b"mvhd", *moov)), 0)
    for edts in inside(file, b"edts", *trak):
        for start, stop in inside(file, b"elst", *edts):
            content = os.pread(file, min(stop - start, MOST_BYTES), start)
            entry = struct.Struct(">QqhH" if content[:1] == b"\1" else ">IihH")
            count = min(int.from_bytes(content[4:8], "big"), (len(content) - 8) // entry.size)
            entries = [entry.unpack_from(content, 8 + entry.size * index) for index in range(max(count, 0))]
            return [(length / clock, place, rate) for length, place, rate, _ in entries] if clock else []
    return []


def _clock(file: int, start: int) -> int:
    """Units of time per second in a `mvhd`, whose times have 4 or 8 bytes."""
    head = os.pread(file, 24, start)
    place = 20 if head[:1] == b"\1" else 12
    return int.from_bytes(head[place : place + 4], "big")
