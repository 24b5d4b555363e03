"""Decodes a file into frames with their presentation times, and stops at the first frame that is not intact.

PyAV decodes, not cv2.VideoCapture, although both are FFmpeg: OpenCV reports no damage and returns concealed or black
frames as good ones, converts every whole frame to BGR before anything can be left out (at 1080p a third of the time),
and takes names as patterns and protocols; `python -m tests.benchmarks.extract --only evidence` prints for how many of
the odd files in tests/corpus it is right. (opencv_decoding.py has it behind guards.) The decoder sees no name here,
only an open file: results depend on the content alone, and nothing in a file can make it open another.
"""

from collections.abc import Callable, Generator, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import av
import cv2
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.errors import DamagedVideo, VideoError
from pipeline.video.broken_files import is_cut
from pipeline.video.containers import opened
from pipeline.video.cropping import Cropper
from pipeline.video.edit_lists import EditList
from pipeline.video.presentation_times import (
    REORDERING,
    STAMPED_FOR_DECODING,
    DecodedFrame,
    PresentationTimes,
)
from pipeline.video.subsampling import HAVE_DISPOSABLE_FRAMES, CannotSkip, FrameSkipper, MarkedPacket, nal_length_of
from pipeline.video.transport_stream import joins, was_to_go_on

SEQUENCE_HEADER = b"\0\0\1\xb3"  # ISO/IEC 13818-2, 6.2.2.1; width and height follow, 12 bits each
SEARCHABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # containers that find a key frame by its time
HEADER = 256  # bytes of a packet in which it is


def decode(
    path: Path,
    *,
    threads: int,
    max_pixels: int,
    max_seconds: float,
    start_seconds: float = 0.0,
    heartbeat: Callable[[], None] = lambda: None,
    count_errors: Callable[[], int] = lambda: 0,
    wanted_fps: float | None = None,
    in_output_order: bool = False,
) -> Generator[DecodedFrame]:
    """The frames of the video at `path` in the order a player shows them, until the first that is not intact.

    A frame's time is its time stamp, but where stamps say only when frames are decoded, those of decoding are counted
    out in the order of output: in AVI, and with `in_output_order`, which is for files whose stamps turn out to be such;
    StampsGoBack is raised where they do.

    Broken frames before the first good one are left out: a recording of a broadcast starts in the middle.
    `heartbeat` is called at every packet. `count_errors` returns how many errors the decoder has logged so far; without
    it only flags and exceptions tell of damage. With more than one thread errors are logged, but may not be noticed at
    the frame that they belong to: decode again with one thread if there are any.
    With `wanted_fps`, frames that a player does not show at 0, 1 / wanted_fps … seconds are not decoded where no other
    frame is made from them, which changes no other frame; raises CannotSkip at the first irregularity. Damage within a
    frame that is not decoded is not seen: nothing that is kept depends on it.
    With `start_seconds`, frames before it may be left out, as far as the container can be searched; times stay.
    Raises VideoError if there is no good frame or a limit is passed, DamagedVideo after the last good frame.
    """
    with opened(path, max_pixels) as (container, stream, file):
        context = stream.codec_context
        context.thread_count = threads
        context.thread_type = "FRAME"
        # errors are raised when they are met, which is before frames that are made from the broken one are shown
        context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(max_pixels)}
        times = PresentationTimes(container, stream, in_output_order)
        if start_seconds > 0 and container.format.name in SEARCHABLE and stream.time_base and not in_output_order:
            times.first = times.start = _seek(container, stream, start_seconds)
        if stream.duration and stream.time_base:
            times.check(float(stream.duration * stream.time_base), max_seconds, path)
        cut = is_cut(file)
        num_frames, problem = 0, ""
        cropper = Cropper(container, stream, file)
        edits = EditList(container, stream, file)
        skipper = _skipper(container, stream, wanted_fps, cut or edits.has_pauses)
        decoder = _Decoder(container, stream, file, times, skipper, count_errors)
        for frame, frame_problem in edits.frames(decoder.frames(cut, heartbeat)):
            if frame_problem:
                if skipper:
                    raise CannotSkip
                problem = frame_problem
                if num_frames:
                    break
                continue
            assert frame is not None
            for pts, duration in skipper.skipped_before(frame) if skipper else ():
                num_frames += 1
                yield times.at(pts, None, duration, stream.time_base, None)
            # a frame that the decoder held back at the end has no time base
            time_base = frame.time_base or stream.time_base
            decoded = times.at(frame.pts, frame.dts, frame.duration, time_base, cropper.crop(frame))
            times.check(decoded.pts_seconds, max_seconds, path)
            num_frames += 1
            problem = ""
            yield decoded
        if skipper:
            list(skipper.skipped_before(None))
        ends = cut or (container.format.name == "mpegts" and was_to_go_on(file))
        if problem or ends:
            what = f"breaks off after {num_frames} frames" if ends else f"damaged after {num_frames} frames"
            if num_frames:
                raise DamagedVideo(f"{path}: {what} ({times.stop:.2f} seconds){': ' if problem else ''}{problem}")
        if not num_frames:
            raise VideoError(f"{path}: no frame can be decoded ({context.name}{': ' if problem else ''}{problem})")


def _seek(container: InputContainer, stream: VideoStream, start_seconds: float) -> float:
    """Go to the last key frame that is not after `start_seconds`; returns the first frame's time stamp in seconds.

    What the container calls its start may be the time of the frame that is decoded first, not shown.
    """
    assert stream.time_base is not None
    packets = islice(container.demux(stream), REORDERING)
    first = min((packet.pts for packet in packets if packet.pts is not None), default=stream.start_time or 0)
    container.seek(first + int(start_seconds / stream.time_base), stream=stream)
    return float(first * stream.time_base)


def _skipper(
    container: InputContainer, stream: VideoStream, wanted_fps: float | None, is_odd: bool
) -> FrameSkipper | None:
    if wanted_fps is None:
        return None
    # of a broadcast a piece may be missing without a trace: only the whole of what is there shows what was first
    if is_odd or stream.time_base is None or container.format.name in ("mpegts", "mpeg"):
        raise CannotSkip
    if container.format.name in STAMPED_FOR_DECODING or stream.codec_context.name not in HAVE_DISPOSABLE_FRAMES:
        raise CannotSkip
    context = stream.codec_context
    nal_length = nal_length_of(bytes(context.extradata or b"")) if context.name == "h264" else None
    return FrameSkipper(wanted_fps, stream.time_base, nal_length)


class _Decoder:
    """The frames of the packets of a stream in the order of output, and what is wrong with those not intact."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        file: int,
        times: PresentationTimes,
        skipper: FrameSkipper | None,
        count_errors: Callable[[], int],
    ) -> None:
        self._container, self._stream, self._context = container, stream, stream.codec_context
        self._file, self._times, self._skipper, self._count_errors = file, times, skipper, count_errors
        self._sequence_size: bytes | None = None  # of MPEG-1 and -2, as the last sequence header has it

    def frames(self, cut: bool, heartbeat: Callable[[], None]) -> Iterator[tuple[av.VideoFrame | None, str]]:
        """(frame, "") for each intact frame, (None, problem) for each that is not."""
        packets = self._container.demux(self._stream)
        if self._skipper:
            yield from self._needed_frames(self._skipper.mark(packets), heartbeat)
            return
        waiting: av.Packet | None = None  # where the end is missing the last packet is not whole
        while True:
            heartbeat()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                yield from self._drain(waiting)
                yield None, f"cannot be read on ({error.strerror})"
                return
            if packet is None:
                return
            if cut:
                if packet.size == 0:  # the end
                    yield from self._drain(waiting)
                    return
                packet, waiting = waiting, packet
                if packet is None:
                    continue
            yield from self._frames_of(packet)

    def _needed_frames(
        self, packets: Iterator[MarkedPacket], heartbeat: Callable[[], None]
    ) -> Iterator[tuple[av.VideoFrame | None, str]]:
        """As frames, of packets of which the unwanted are left out if no other frame needs them."""
        while True:
            heartbeat()
            try:
                marked = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise CannotSkip from error
            if marked is None:
                return
            packet, is_wanted, restarts = marked
            if restarts:
                yield from self._drain(None)
            self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from self._frames_of(packet)

    def _frames_of(self, packet: av.Packet) -> Iterator[tuple[av.VideoFrame | None, str]]:
        self._times.register(packet.pts)
        if self._changes_size(packet):
            yield from self._drain(None)
        errors_before = self._count_errors()
        frames, problem = [], ""
        if packet.is_corrupt and packet.pos not in self._joins:
            problem = "data is missing"
        if not problem:
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.FFmpegError as error:
                problem = f"{error.strerror}"
            if self._count_errors() > errors_before:
                problem = problem or "the decoder had to guess a picture"
        if problem:
            yield from self._drain(packet)
            yield None, problem
            return
        for frame in frames:
            yield (None, "the decoder had to guess a picture") if frame.is_corrupt else (frame, "")

    @cached_property
    def _joins(self) -> set[int]:
        if self._container.format.name != "mpegts":
            return set()
        return joins(self._file, self._stream.id)

    def _changes_size(self, packet: av.Packet) -> bool:
        """Whether an MPEG-1 or -2 sequence of another size begins: there the decoder would drop what it holds back."""
        if self._context.name not in ("mpeg1video", "mpeg2video") or not packet.is_keyframe:
            return False
        head = bytes(packet)[:HEADER]
        start = head.find(SEQUENCE_HEADER)
        if start < 0:
            return False
        before, self._sequence_size = self._sequence_size, head[start + 4 : start + 7]
        return before is not None and before != self._sequence_size

    def _drain(self, broken: av.Packet | None) -> Iterator[tuple[av.VideoFrame, str]]:
        """The frames that the decoder holds back of the packets before `broken`; then it is ready for the next one."""
        try:
            frames = self._context.decode(None)
        except av.FFmpegError:
            frames = []
        limit = None if broken is None else broken.dts
        for frame in frames:
            if frame.is_corrupt or (limit is not None and frame.dts is not None and frame.dts >= limit):
                break
            yield frame, ""
        self._context.flush_buffers()


def log_errors_to_stderr() -> None:
    """Let FFmpeg log its errors to file descriptor 2, past Python, for a process that counts them there."""
    av.logging.restore_default_callback()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or an error would not count that the video before has had too


def versions() -> dict[str, str]:
    """The versions of the libraries that decide what a frame looks like."""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return libraries | {"av": av.__version__, "cv2": cv2.__version__}
