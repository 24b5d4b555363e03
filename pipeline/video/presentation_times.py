"""Presentation times of decoded frames, from whatever time stamps a container has."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.errors import VideoError
from pipeline.video.timing import in_seconds

DEFAULT_STEP_SECONDS = 1 / 25  # between frames; FFmpeg's own guess where a file does not say
JUMP_STEPS = 2  # times that fall back by more frames are a new count from zero, not jitter
STAMPED_FOR_DECODING = {"avi"}  # containers that say when a frame is decoded, not when it is shown
SHORTEST_OF_GIF, AS_BROWSERS_DO = 0.015, 0.1  # seconds: a delay of 0 or 0.01 is shown for a tenth of a second
RAW_STREAMS = {"h264", "hevc", "vvc"}  # without time stamps; the pictures themselves may say their rate
OWN_RATES = 1, 1000  # pictures per second that are believed
REORDERING = 64  # packets; more than any codec puts between the order of decoding and that of showing


class DecodedFrame(NamedTuple):
    """A frame and when a player shows it."""

    pts_seconds: float  # presentation time since the first frame
    stop_seconds: float  # when the next one follows, as far as this one knows
    frame: av.VideoFrame | None  # None: not wanted, so it was not decoded
    pixel_aspect: Fraction | None  # width of a stored pixel by its height; None where nothing says so
    codec: str
    start_seconds: float = 0.0  # the container's time of the first frame
    is_rounded_down: bool = False  # its levels are some one too low, by how its colours were converted


class StampsGoBack(Exception):
    """Time stamps fall in the order in which frames are shown: they say when frames are decoded."""


class PresentationTimes:
    """Presentation times from whatever time stamps there are."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, in_output_order: bool, *, has_durations: bool = False
    ) -> None:
        """`in_output_order`: time stamps are those of decoding, as they always are in some containers.

        Durations are then those of slots, unless `has_durations`.
        """
        rate = _own_rate(container, stream) or stream.average_rate or stream.guessed_rate or stream.base_rate
        self.step = float(1 / rate) if rate else DEFAULT_STEP_SECONDS
        self.aspect, self.codec = stream.sample_aspect_ratio, stream.codec_context.name
        self.in_output_order = in_output_order or container.format.name in STAMPED_FOR_DECODING
        # rate and duration are of slots, of which many may be empty: AVI as a whole tells when its last frame ends
        self.counts_slots = self.in_output_order and not has_durations
        knows_end = container.format.name in STAMPED_FOR_DECODING and stream.duration and stream.time_base
        self.end = in_seconds(stream.duration or 0, stream.time_base or Fraction(1)) if knows_end else float("inf")
        self.is_gif = container.format.name == "gif"
        self.first = 0.0  # all in seconds
        self.start: float | None = None
        self.last = -self.step
        self.stop = 0.0
        self._stamp: int | None = None  # of the last frame
        self._packet_pts: int | None = None  # of the last packet that was read
        self._packets_since_fall = REORDERING

    def register(self, pts: int | None) -> None:
        """A packet with this time stamp is read."""
        fell = pts is not None and self._packet_pts is not None and pts < self._packet_pts
        self._packets_since_fall = 0 if fell else self._packets_since_fall + 1
        self._packet_pts = self._packet_pts if pts is None else pts

    def at(
        self,
        pts: int | None,
        dts: int | None,
        duration: int | None,
        time_base: Fraction | None,
        frame: av.VideoFrame | None,
    ) -> DecodedFrame:
        """The frame with these stamps of showing and of decoding and this duration, in units of `time_base` seconds.

        Raises StampsGoBack where stamps of showing are none.
        """
        if self.is_gif:
            length = in_seconds(duration, time_base) if duration and time_base else 0.0
            length = length if length >= SHORTEST_OF_GIF else AS_BROWSERS_DO
            self.last, self.stop = self.stop, self.stop + length
            return DecodedFrame(self.last, self.stop, frame, self.aspect, self.codec, self.first)
        stamp = dts if self.in_output_order else pts
        if stamp is None or time_base is None:
            pts_seconds = self.last + self.step  # a raw stream has no time stamps
        else:
            time = in_seconds(stamp, time_base)
            if self.start is None:
                self.first = self.start = time
            # a high-speed camera takes more frames per second than Matroska's milliseconds tell apart
            is_same = stamp == self._stamp and self.step < time_base
            pts_seconds = self.last + self.step if is_same else time - self.start
            self._stamp = stamp
            if pts_seconds < self.last and not self.in_output_order and self._packets_since_fall >= REORDERING:
                raise StampsGoBack  # in the order of decoding they rise
            if pts_seconds < self.last - JUMP_STEPS * self.step:  # recordings were joined, or a counter wrapped
                self.start = time - self.last - self.step
                pts_seconds = self.last + self.step
        pts_seconds = max(pts_seconds, self.last, 0.0)
        if self.counts_slots:
            self.step = pts_seconds - self.last if pts_seconds > self.last and pts_seconds > 0 else self.step
            length = self.step
        else:
            length = in_seconds(duration, time_base) if duration and time_base else self.step
        self.last, self.stop = pts_seconds, pts_seconds + length
        if pts_seconds < self.end < self.stop:
            self.stop = self.end
        return DecodedFrame(pts_seconds, self.stop, frame, self.aspect, self.codec, self.first)

    def check(self, seconds: float, max_seconds: float, path: Path) -> None:
        if seconds > max_seconds:
            raise VideoError(f"{path}: longer than extract.max_seconds ({max_seconds:g})")


def _own_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frames per second by what the pictures of a raw stream say; FFmpeg takes 25 for all of them."""
    if container.format.name not in RAW_STREAMS:
        return None
    rate, (least, most) = stream.codec_context.framerate, OWN_RATES
    return rate if rate and least <= rate <= most else None
