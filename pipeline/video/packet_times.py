"""How many frames a video has, how long it is and at what rate, from its packets alone: nothing is decoded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import ArrayLike

from pipeline.video.edit_lists import EditList
from pipeline.video.presentation_times import REORDERING, PresentationTimes

UNEVEN = 1.5  # times as long as usual; a clock that counts milliseconds makes 17 of 16.7 at the most
ROUNDING = 0.01  # of a rate that was measured by rounded times


@dataclass(frozen=True)
class Timing:
    """Frames and times of a video; 0 where nothing says so."""

    num_frames: int | None
    duration_seconds: float
    fps: float  # on average
    is_variable: bool


def measured(container: InputContainer, stream: VideoStream, file: int) -> Timing:
    """By the time stamps of every packet of the stream, as frames would get their times from them.

    `file` is the open file.
    """
    knows_showing = not PresentationTimes(container, stream, in_output_order=False).in_output_order
    times = PresentationTimes(container, stream, in_output_order=True, has_durations=knows_showing)
    stamps = in_order(EditList(container, stream, file).packets(container.demux(stream)), knows_showing)
    shown = [times.at(None, stamp, duration, stream.time_base, None) for stamp, duration in stamps]
    if len(shown) < 2:
        return Timing(len(shown), 0.0, 0.0, is_variable=False)
    seconds = shown[-1].stop_seconds
    steps = np.diff([frame.pts_seconds for frame in shown])
    is_variable = are_uneven(steps)
    rate, fps = stream.average_rate, len(shown) / seconds if seconds else 0.0
    if rate and not is_variable and abs(fps / rate - 1) < ROUNDING:
        fps = float(rate)
    return Timing(len(shown), seconds, fps, is_variable)


def are_uneven(steps: ArrayLike) -> bool:
    """Whether some of the times between frames, (N,), are much longer or shorter than usual."""
    lengths = np.asarray(steps)
    usual = float(np.median(lengths))
    return bool(lengths.max() > UNEVEN * usual or lengths.min() * UNEVEN < usual)


def stated(container: InputContainer, stream: VideoStream) -> Timing:
    """By what the header says."""
    seconds = float((stream.duration or 0) * (stream.time_base or 0) or (container.duration or 0) / av.time_base)
    rate = stream.average_rate or stream.guessed_rate
    return Timing(stream.frames or None, seconds, float(rate) if rate else 0.0, is_variable=False)


def in_order(packets: Iterable[av.Packet], knows_showing: bool) -> Iterator[tuple[int | None, int | None]]:
    """(time stamp, duration) of each packet, in the order of showing.

    Without `knows_showing`, stamps of showing are none: those of decoding are counted out instead.
    """
    waiting: list[tuple[int, int, int | None]] = []
    decoded = None  # time stamp of decoding of the packet before
    for number, packet in enumerate(packets):
        if not packet.size or packet.is_discard:
            continue
        if not knows_showing or packet.pts is None:
            yield packet.dts if not knows_showing else None, packet.duration
            continue
        fell = decoded is not None and packet.dts is not None and packet.dts < decoded
        # Matroska knows no times of decoding: FFmpeg has those of showing there of VVC, which fall at B-frames
        if fell and (packet.is_keyframe or packet.dts != packet.pts):  # another recording begins
            while waiting:
                pts, _, duration = heappop(waiting)
                yield pts, duration
        decoded = packet.dts
        heappush(waiting, (packet.pts, number, packet.duration))
        if len(waiting) > REORDERING:
            pts, _, duration = heappop(waiting)
            yield pts, duration
    while waiting:
        pts, _, duration = heappop(waiting)
        yield pts, duration
