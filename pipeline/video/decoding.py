"""Decodes a file into frames with their presentation times, and stops at the first frame that is not sound.

PyAV decodes, not cv2.VideoCapture, although both are FFmpeg: OpenCV gives no sign of damage and hands out concealed
or black frames as good ones, converts every whole frame to BGR before anything can be left out (at 1080p a third of
the time), and takes names as patterns and protocols. Of the 160 odd files in tests/corpus the plain OpenCV loop does
what is expected with 116, this with all (`python -m tests.benchmarks.extract --only evidence`). The decoder sees no
name here, only an open file: results depend on the content alone, and nothing in a file can make it open another.
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
from pipeline.video.containers import is_cut, is_encrypted, why_no_video
from pipeline.video.skipping import HAVE_DISPOSABLE_FRAMES, CannotSkip, FrameSkipper

# demuxers of video containers and streams; left out are those that open other files (hls, dash, concat, image2, sdp),
# that read stills, and that take text for a picture (tty)
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h261,h263,h264,hevc,vvc,av1,obu,ivf,m4v,flv,"
    "live_flv,asf,ogg,gif,apng,mjpeg,vc1,vc1test,cavsvideo,dirac,dnxhd,nut,mxf,gxf,dv,rm,wtv,yuv4mpegpipe,nsv,nuv,"
    "flic,jpegxl_anim,wav,flac,mp3"
)
ATTACHED_PICTURE = 0x400  # a stream's disposition: a cover, not a video
USUAL_STEP = 1 / 25  # seconds; FFmpeg's own guess where a file does not say
JUMP_STEPS = 2  # times that fall back by more frames are a new count from zero, not jitter


class DecodedFrame(NamedTuple):
    """A frame and when a player shows it."""

    seconds: float  # since the first frame
    stop_seconds: float  # when the next one follows, as far as this one knows
    frame: av.VideoFrame | None  # None: nobody asks for it, so it was not decoded
    pixel_aspect: Fraction | None  # width of a stored pixel by its height; None where nothing says so
    codec: str


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
    complaints: Callable[[], int] = lambda: 0,
    wanted_fps: float | None = None,
) -> Generator[DecodedFrame]:
    """The frames of the video at `path` in the order a player shows them, until the first that is not sound.

    Broken frames before the first good one are passed over: a recording of a broadcast starts in the middle.
    `complaints` counts what the decoder has complained of so far; where it cannot be told, flags and errors have to
    do. With more than one thread errors may be missed, not so complaints: decode again with one where there are any.
    Given `wanted_fps`, frames that nobody is shown at 0, 1 / wanted_fps … seconds are left out as far as no other is
    made from them, which changes no other frame; raises CannotSkip at the first sign of anything out of the ordinary.
    Damage within a frame that is left out is not seen: nothing that is kept depends on it.
    Raises VideoError if there is no good frame or a limit is passed, DamagedVideo after the last good frame.
    """
    with opened(path, max_pixels) as (container, stream, file):
        context = stream.codec_context
        context.thread_count = threads
        context.thread_type = "FRAME"
        # errors are raised when they are met, which is before frames that are made from the broken one are shown
        context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(max_pixels)}
        times = _Times(stream)
        if stream.duration and stream.time_base:
            times.check(float(stream.duration * stream.time_base), max_seconds, path)
        cut = is_cut(file)
        num_frames, trouble = 0, ""
        thinning = _thinning(container, stream, wanted_fps, cut)
        for frame, complaint in _sound_frames(container, stream, cut, complaints, thinning):
            if complaint:
                if thinning:
                    raise CannotSkip
                trouble = complaint
                if num_frames:
                    break
                continue
            assert frame is not None
            for stamp, duration in thinning.passed_over(frame) if thinning else ():
                num_frames += 1
                yield times.at(stamp, duration, stream.time_base, None)
            shown = times.at(frame.pts, frame.duration, frame.time_base, frame)
            times.check(shown.seconds, max_seconds, path)
            num_frames += 1
            trouble = ""
            yield shown
        if thinning:
            list(thinning.passed_over(None))
        if trouble or cut:
            what = f"breaks off after {num_frames} frames" if cut else f"damaged after {num_frames} frames"
            if num_frames:
                raise DamagedVideo(f"{path}: {what} ({times.stop:.2f} seconds){': ' if trouble else ''}{trouble}")
        if not num_frames:
            raise VideoError(f"{path}: no frame can be decoded ({context.name}{': ' if trouble else ''}{trouble})")


def _thinning(
    container: InputContainer, stream: VideoStream, wanted_fps: float | None, cut: bool
) -> FrameSkipper | None:
    if wanted_fps is None:
        return None
    # of a broadcast a piece may be missing without a trace: only the whole of what is there shows what was first
    if cut or stream.time_base is None or container.format.name in ("mpegts", "mpeg"):
        raise CannotSkip
    if stream.codec_context.name not in HAVE_DISPOSABLE_FRAMES:
        raise CannotSkip
    return FrameSkipper(wanted_fps, stream.time_base)


def _told(packets: Iterator[av.Packet], context: av.VideoCodecContext, thinning: FrameSkipper) -> Iterator[av.Packet]:
    """`packets`; before each that is not wanted the decoder is told to leave it out if no other frame needs it."""
    for packet, is_wanted in thinning.mark(packets):
        context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        yield packet


def _sound_frames(
    container: InputContainer,
    stream: VideoStream,
    cut: bool,
    complaints: Callable[[], int],
    thinning: FrameSkipper | None,
) -> Iterator[tuple[av.VideoFrame | None, str]]:
    """(frame, "") for what the decoder gives, (None, complaint) for what it cannot."""
    context = stream.codec_context
    packets = container.demux(stream)
    if thinning:
        packets = _told(packets, context, thinning)
    waiting: av.Packet | None = None  # where the end is missing the last packet is not whole
    while True:
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
        before = complaints()
        frames, trouble = [], "data is missing" if packet.is_corrupt else ""
        if not trouble:
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.FFmpegError as error:
                trouble = f"{error.strerror}"
            if complaints() > before:
                trouble = trouble or "the decoder had to guess a picture"
        if trouble:
            yield from _drain(context, packet)
            yield None, trouble
            continue
        for frame in frames:
            yield (None, "the decoder had to guess a picture") if frame.is_corrupt else (frame, "")


def _drain(context: av.VideoCodecContext, broken: av.Packet | None) -> Iterator[tuple[av.VideoFrame, str]]:
    """What the decoder holds back of the packets before `broken`, and makes it ready to go on."""
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


def complain_to_stderr() -> None:
    """Let FFmpeg write its complaints to file descriptor 2, past Python, for a process that counts them there."""
    av.logging.restore_default_callback()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or a complaint would not count that the video before has had too


def versions() -> dict[str, str]:
    """Of the libraries that decide what a frame looks like."""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return libraries | {"av": av.__version__, "cv2": cv2.__version__}


class _Times:
    """Presentation times from whatever time stamps there are."""

    def __init__(self, stream: VideoStream) -> None:
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        self.step = float(1 / rate) if rate else USUAL_STEP
        self.aspect, self.codec = stream.sample_aspect_ratio, stream.codec_context.name
        self.start: float | None = None
        self.last = -self.step
        self.stop = 0.0

    def at(
        self, stamp: int | None, duration: int | None, time_base: Fraction | None, frame: av.VideoFrame | None
    ) -> DecodedFrame:
        """The frame with this time stamp and duration, both in units of `time_base` seconds."""
        if stamp is None or time_base is None:
            seconds = self.last + self.step  # a raw stream has no time stamps
        else:
            time = float(stamp * time_base)
            self.start = time if self.start is None else self.start
            seconds = time - self.start
            if seconds < self.last - JUMP_STEPS * self.step:  # a recording that was joined, or a counter that wrapped
                self.start = time - self.last - self.step
                seconds = self.last + self.step
        seconds = max(seconds, self.last, 0.0)
        length = float(duration * time_base) if duration and time_base else self.step
        self.last, self.stop = seconds, seconds + length
        return DecodedFrame(seconds, self.stop, frame, self.aspect, self.codec)

    def check(self, seconds: float, max_seconds: float, path: Path) -> None:
        if seconds > max_seconds:
            raise VideoError(f"{path}: longer than extract.max_seconds ({max_seconds:g})")
