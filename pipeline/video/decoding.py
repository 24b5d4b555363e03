"""Decodes a file into frames with their presentation times, and stops at the first frame that is not intact.

PyAV decodes, not cv2.VideoCapture, although both are FFmpeg: OpenCV reports no damage and returns concealed or black
frames as good ones, converts every whole frame to BGR before anything can be left out (at 1080p a third of the time),
and takes names as patterns and protocols. Of the 160 odd files in tests/corpus the plain OpenCV loop does what is
expected with 116, this with all (`python -m tests.benchmarks.extract --only evidence`). The decoder sees no name here,
only an open file: results depend on the content alone, and nothing in a file can make it open another.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.errors import DamagedVideo, VideoError
from pipeline.video.broken_files import is_cut, is_encrypted, why_no_video
from pipeline.video.subsampling import HAVE_DISPOSABLE_FRAMES, CannotSkip, FrameSkipper

# demuxers of video containers and streams; left out are those that open other files (hls, dash, concat, image2, sdp),
# that read stills, and that take text for a picture (tty)
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h261,h263,h264,hevc,vvc,av1,obu,ivf,m4v,flv,"
    "live_flv,asf,ogg,gif,apng,mjpeg,vc1,vc1test,cavsvideo,dirac,dnxhd,nut,mxf,gxf,dv,rm,wtv,yuv4mpegpipe,nsv,nuv,"
    "flic,jpegxl_anim,wav,flac,mp3"
)
ATTACHED_PICTURE = 0x400  # a stream's disposition: a cover, not a video
DEFAULT_STEP_SECONDS = 1 / 25  # between frames; FFmpeg's own guess where a file does not say
JUMP_STEPS = 2  # times that fall back by more frames are a new count from zero, not jitter
STAMPED_FOR_DECODING = {"avi"}  # containers that say when a frame is decoded, not when it is shown
REORDERING = 64  # packets; more than any codec puts between the order of decoding and that of showing


class DecodedFrame(NamedTuple):
    """A frame and when a player shows it."""

    pts_seconds: float  # presentation time since the first frame
    stop_seconds: float  # when the next one follows, as far as this one knows
    frame: av.VideoFrame | None  # None: not wanted, so it was not decoded
    pixel_aspect: Fraction | None  # width of a stored pixel by its height; None where nothing says so
    codec: str
    start_seconds: float = 0.0  # the container's time of the first frame


class StampsGoBack(Exception):
    """Time stamps fall in the order in which frames are shown: they say when frames are decoded."""


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream, int]]:
    """The container at `path`, its video stream and the file's descriptor; raises VideoError if there is no video."""
    try:
        # a FIFO would block on opening, a device on reading
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise VideoError(f"{path}: not a regular file")
        options = {"fd": str(file), "protocol_whitelist": "fd", "format_whitelist": FORMATS}
        try:
            container = av.open("fd:", options=options | {"max_pixels": str(max_pixels)}, metadata_errors="replace")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise VideoError(f"{path}: {why_no_video(file)}") from error
        with container:
            yield container, _video_stream(container, path, file, max_pixels), file
    finally:
        os.close(file)


def _video_stream(container: InputContainer, path: Path, file: int, max_pixels: int) -> VideoStream:
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & ATTACHED_PICTURE]
    if not streams:
        raise VideoError(f"{path}: {'audio only' if container.streams.audio else why_no_video(file)}")
    stream = streams[0]
    if is_encrypted(file):
        raise VideoError(f"{path}: encrypted (DRM): it cannot be decoded without its key")
    if stream.codec_context is None:
        raise VideoError(f"{path}: unsupported codec: no decoder for it")
    if stream.width * stream.height > max_pixels:
        size = f"{stream.width} x {stream.height} pixels"
        raise VideoError(f"{path}: {size} is more than extract.max_pixels ({max_pixels})")
    return stream


def decode(
    path: Path,
    *,
    threads: int,
    max_pixels: int,
    max_seconds: float,
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
    Raises VideoError if there is no good frame or a limit is passed, DamagedVideo after the last good frame.
    """
    with opened(path, max_pixels) as (container, stream, file):
        context = stream.codec_context
        context.thread_count = threads
        context.thread_type = "FRAME"
        # errors are raised when they are met, which is before frames that are made from the broken one are shown
        context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(max_pixels)}
        times = _PresentationTimes(stream, in_output_order or container.format.name in STAMPED_FOR_DECODING)
        if stream.duration and stream.time_base:
            times.check(float(stream.duration * stream.time_base), max_seconds, path)
        cut = is_cut(file)
        num_frames, problem = 0, ""
        skipper = _skipper(container, stream, wanted_fps, cut)
        for frame, frame_problem in _frames_or_problems(
            container, stream, cut, heartbeat, count_errors, skipper, times
        ):
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
            decoded = times.at(frame.pts, frame.dts, frame.duration, frame.time_base, frame)
            times.check(decoded.pts_seconds, max_seconds, path)
            num_frames += 1
            problem = ""
            yield decoded
        if skipper:
            list(skipper.skipped_before(None))
        if problem or cut:
            what = f"breaks off after {num_frames} frames" if cut else f"damaged after {num_frames} frames"
            if num_frames:
                raise DamagedVideo(f"{path}: {what} ({times.stop:.2f} seconds){': ' if problem else ''}{problem}")
        if not num_frames:
            raise VideoError(f"{path}: no frame can be decoded ({context.name}{': ' if problem else ''}{problem})")


def _skipper(
    container: InputContainer, stream: VideoStream, wanted_fps: float | None, cut: bool
) -> FrameSkipper | None:
    if wanted_fps is None:
        return None
    # of a broadcast a piece may be missing without a trace: only the whole of what is there shows what was first
    if cut or stream.time_base is None or container.format.name in ("mpegts", "mpeg"):
        raise CannotSkip
    if container.format.name in STAMPED_FOR_DECODING or stream.codec_context.name not in HAVE_DISPOSABLE_FRAMES:
        raise CannotSkip
    return FrameSkipper(wanted_fps, stream.time_base)


def _skipping_unwanted(
    packets: Iterator[av.Packet], context: av.VideoCodecContext, skipper: FrameSkipper
) -> Iterator[av.Packet]:
    """`packets`; before each that is not wanted the decoder is told to leave it out if no other frame needs it."""
    for packet, is_wanted in skipper.mark(packets):
        context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        yield packet


def _frames_or_problems(
    container: InputContainer,
    stream: VideoStream,
    cut: bool,
    heartbeat: Callable[[], None],
    count_errors: Callable[[], int],
    skipper: FrameSkipper | None,
    times: "_PresentationTimes",
) -> Iterator[tuple[av.VideoFrame | None, str]]:
    """(frame, "") for each intact frame, (None, problem) for each that is not."""
    context = stream.codec_context
    packets = container.demux(stream)
    if skipper:
        packets = _skipping_unwanted(packets, context, skipper)
    waiting: av.Packet | None = None  # where the end is missing the last packet is not whole
    while True:
        heartbeat()
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            yield from _drain(context, waiting)
            yield None, f"cannot be read on ({error.strerror})"
            return
        if packet is None:
            return
        if cut:
            if packet.size == 0:  # the end
                yield from _drain(context, waiting)
                return
            packet, waiting = waiting, packet
            if packet is None:
                continue
        times.register(packet.pts)
        errors_before = count_errors()
        frames, problem = [], "data is missing" if packet.is_corrupt else ""
        if not problem:
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.FFmpegError as error:
                problem = f"{error.strerror}"
            if count_errors() > errors_before:
                problem = problem or "the decoder had to guess a picture"
        if problem:
            yield from _drain(context, packet)
            yield None, problem
            continue
        for frame in frames:
            yield (None, "the decoder had to guess a picture") if frame.is_corrupt else (frame, "")


def _drain(context: av.VideoCodecContext, broken: av.Packet | None) -> Iterator[tuple[av.VideoFrame, str]]:
    """The frames that the decoder holds back of the packets before `broken`; then it is ready for the next packet."""
    try:
        frames = context.decode(None)
    except av.FFmpegError:
        frames = []
    limit = None if broken is None else broken.dts
    for frame in frames:
        if frame.is_corrupt or (limit is not None and frame.dts is not None and frame.dts >= limit):
            break
        yield frame, ""
    context.flush_buffers()


def log_errors_to_stderr() -> None:
    """Let FFmpeg log its errors to file descriptor 2, past Python, for a process that counts them there."""
    av.logging.restore_default_callback()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or an error would not count that the video before has had too


def versions() -> dict[str, str]:
    """The versions of the libraries that decide what a frame looks like."""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return libraries | {"av": av.__version__, "cv2": cv2.__version__}


class _PresentationTimes:
    """Presentation times from whatever time stamps there are."""

    def __init__(self, stream: VideoStream, in_output_order: bool) -> None:
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        self.step = float(1 / rate) if rate else DEFAULT_STEP_SECONDS
        self.aspect, self.codec = stream.sample_aspect_ratio, stream.codec_context.name
        self.in_output_order = in_output_order
        self.first = 0.0  # all in seconds
        self.start: float | None = None
        self.last = -self.step
        self.stop = 0.0
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
        stamp = dts if self.in_output_order else pts
        if stamp is None or time_base is None:
            pts_seconds = self.last + self.step  # a raw stream has no time stamps
        else:
            time = float(stamp * time_base)
            if self.start is None:
                self.first = self.start = time
            pts_seconds = time - self.start
            if pts_seconds < self.last and not self.in_output_order and self._packets_since_fall >= REORDERING:
                raise StampsGoBack  # in the order of decoding they rise
            if pts_seconds < self.last - JUMP_STEPS * self.step:  # recordings were joined, or a counter wrapped
                self.start = time - self.last - self.step
                pts_seconds = self.last + self.step
        pts_seconds = max(pts_seconds, self.last, 0.0)
        if self.in_output_order:  # rate and duration are of slots, of which many may be empty
            self.step = pts_seconds - self.last if pts_seconds > self.last and pts_seconds > 0 else self.step
            duration = None
        length = float(duration * time_base) if duration and time_base else self.step
        self.last, self.stop = pts_seconds, pts_seconds + length
        return DecodedFrame(pts_seconds, self.stop, frame, self.aspect, self.codec, self.first)

    def check(self, seconds: float, max_seconds: float, path: Path) -> None:
        if seconds > max_seconds:
            raise VideoError(f"{path}: longer than extract.max_seconds ({max_seconds:g})")
