"""Decodes with cv2.VideoCapture behind guards: what it may read wrongly is refused here, and left to PyAV.

By itself it returns broken, black or stretched frames as good ones, takes the first of several videos, and HDR for SDR.
So PyAV looks at the first frame and at every packet, which times come from as well, and whatever cv2.VideoCapture
complains of, or returns more or less of, is refused. It sees no name, as PyAV does not.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.video.broken_files import is_cut
from pipeline.video.containers import FORMATS, opened
from pipeline.video.decoding import decode
from pipeline.video.edit_lists import EditList
from pipeline.video.frame_conversion import HD_HEIGHT, HD_WIDTH, PLAIN_YUV, FrameConverter, PictureFormat, display_of
from pipeline.video.light import light_of
from pipeline.video.packet_sizes import SizeWatch
from pipeline.video.packet_times import in_order
from pipeline.video.presentation_times import DecodedFrame, PresentationTimes, StampsGoBack
from pipeline.video.reading import repeated

UNTAGGED = 2  # ITU-T H.273's number of a matrix that nothing states
PICTURES_VERSION = 2  # to be changed when a file that OpenCV reads may have other pictures, see DECODING_VERSION
QUICK = {"yuv420p", "yuv422p"}  # converted to BGR by quick arithmetic, which rounds down three times
FULL_RANGE = 2  # ITU-T H.273's, as FFmpeg counts; its luma is not rounded
LEAST_REDUCTION = 2  # of a picture that is less shrunk, edges of colours are other than they should be
# containers and codecs that were read rightly, sound and damaged, wherever the guards let them pass
KNOWN_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
KNOWN_CODECS = {"h264", "hevc", "mjpeg", "vp8"}
# recordings that may be joined or begun in the middle, and streams without any time
UNSUITED_CONTAINERS = {"mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v", "mjpeg", "gif", "apng", "dv", "flv"}


class NotByOpenCV(Exception):
    """The file is to be decoded by PyAV; the message says why, in words for a person."""


def decode_with_opencv(
    path: Path,
    *,
    wanted: PictureFormat,
    wanted_fps: float | None,
    threads: int,
    max_pixels: int,
    max_seconds: float,
    is_cautious: bool,
    heartbeat: Callable[[], None],
    count_errors: Callable[[], int],
) -> Generator[DecodedFrame]:
    """As pipeline.video.decoding.decode, frames in BGR, for the whole of a video that is sound; else NotByOpenCV.

    Frames that are not shown at 0, 1 / wanted_fps … seconds are not converted. With `is_cautious`, only kinds of files
    are taken that are known to be read rightly; else all but those that are known not to be. Raises NotByOpenCV also
    after some frames, which then count for nothing.
    """
    with closing(decode(path, threads=1, max_pixels=max_pixels, max_seconds=max_seconds)) as frames:
        first = next(frames)
    assert first.frame is not None
    with opened(path, max_pixels) as (container, stream, file):
        if reason := _why_not(container, stream, file, first, wanted, is_cautious):
            raise NotByOpenCV(reason)
        aspect = _aspect_when_turned(first)
        is_rounded_down = first.frame.format.name in QUICK and int(first.frame.color_range) != FULL_RANGE
        errors_before = count_errors()
        times = _times(container, stream, path, max_seconds)
        with _capture(path, threads) as capture:
            for number, (shown, num_times) in enumerate(repeated(times, wanted_fps)):
                heartbeat()
                is_wanted = bool(num_times) or not number
                good, image = capture.read() if is_wanted else (capture.grab(), None)
                if not good or count_errors() > errors_before:
                    raise NotByOpenCV(f"OpenCV complains or stops at frame {number}")
                frame = None if image is None else av.VideoFrame.from_numpy_buffer(cast(Any, image), format="bgr24")
                yield shown._replace(frame=frame, pixel_aspect=aspect, is_rounded_down=is_rounded_down)
            if capture.grab():
                raise NotByOpenCV("OpenCV returns more frames than there are")
        if count_errors() > errors_before:
            raise NotByOpenCV("OpenCV complains at the end")


def _why_not(
    container: InputContainer,
    stream: VideoStream,
    file: int,
    first: DecodedFrame,
    wanted: PictureFormat,
    is_cautious: bool,
) -> str:
    """Why a file is not for OpenCV, as far as its head and first frame tell; "" if they say nothing against it."""
    frame, container_name, codec = first.frame, container.format.name, stream.codec_context.name
    assert frame is not None
    if is_cut(file):
        return "its end is missing"
    if container_name in UNSUITED_CONTAINERS or (is_cautious and container_name not in KNOWN_CONTAINERS):
        return f"container {container_name.split(',')[0]}"
    if not SizeWatch(stream.codec_context).is_possible or (is_cautious and codec not in KNOWN_CODECS):
        return f"codec {codec}"
    if len(container.streams.video) > 1:
        return "several video streams"
    if (frame.width, frame.height) != (stream.width, stream.height):
        return "cropped by its container"
    if EditList(container, stream, file).has_pauses:
        return "an edit list with gaps"
    return _why_not_frame(frame, first, wanted)


def _aspect_when_turned(first: DecodedFrame) -> Fraction | None:
    """Width by height of a pixel after OpenCV has turned the picture upright."""
    assert first.frame is not None
    aspect = first.pixel_aspect
    return 1 / aspect if aspect and display_of(first.frame, aspect).quarter_turns % 2 else aspect


def _why_not_frame(frame: av.VideoFrame, first: DecodedFrame, wanted: PictureFormat) -> str:
    kind, display = frame.format, display_of(frame, Fraction(1))
    if frame.interlaced_frame:
        return "interlaced"
    if light_of(frame) is not None:
        return "HDR or wide colours"
    if kind.name not in PLAIN_YUV and not kind.is_rgb and not kind.name.startswith("gray"):
        return f"pixel format {kind.name}"
    is_hd = frame.height > HD_HEIGHT or frame.width >= HD_WIDTH
    if kind.name in PLAIN_YUV and is_hd and int(frame.colorspace) == UNTAGGED:
        return "high definition without a colour matrix"
    if kind.name in PLAIN_YUV and (frame.height % 2 or frame.width % 2):
        return "an odd size"
    if display.mirrored:
        return "mirrored"
    rows, columns = FrameConverter(wanted, first.pixel_aspect).display_size(frame)
    height, width = wanted.size or (rows, columns)
    if kind.name in PLAIN_YUV and (rows < LEAST_REDUCTION * height or columns < LEAST_REDUCTION * width):
        return "not shrunk to half its size"
    return ""


def _times(container: InputContainer, stream: VideoStream, path: Path, max_seconds: float) -> Iterator[DecodedFrame]:
    """The times of frames, in the order of showing, by the packets of the stream; these are looked at on the way."""
    times = PresentationTimes(container, stream, in_output_order=False)
    sizes = SizeWatch(stream.codec_context)

    def packets() -> Iterator[av.Packet]:
        for packet in container.demux(stream):
            if packet.is_corrupt or packet.is_discard:
                raise NotByOpenCV("packets that are broken or not to be shown")
            if packet.size and sizes.changes(packet):
                raise NotByOpenCV("pictures change their size")
            yield packet

    try:
        for stamp, duration in in_order(packets(), knows_showing=not times.in_output_order):
            shown = times.at(stamp, stamp, duration, stream.time_base, None)
            times.check(shown.pts_seconds, max_seconds, path)
            yield shown
    except (av.FFmpegError, OSError) as error:
        raise NotByOpenCV("packets cannot be read") from error
    except StampsGoBack as error:
        raise NotByOpenCV("time stamps go back") from error


@contextmanager
def _capture(path: Path, threads: int) -> Iterator[cv2.VideoCapture]:
    """cv2.VideoCapture of the file at `path`, by FFmpeg alone, which is told no name and opens no other file."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # of its own: FFmpeg moves the place where it reads
    options = {"fd": str(file), "protocol_whitelist": "fd", "format_whitelist": FORMATS}
    # the only way to give options to FFmpeg through OpenCV
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(f"{name};{value}" for name, value in options.items())
    settings = [cv2.CAP_PROP_N_THREADS, threads, cv2.CAP_PROP_HW_ACCELERATION, cv2.VIDEO_ACCELERATION_NONE]
    capture = cv2.VideoCapture("fd:", cv2.CAP_FFMPEG, settings)
    try:
        if not capture.isOpened():
            raise NotByOpenCV("OpenCV cannot open it")
        yield capture
    finally:
        capture.release()
        os.close(file)
        del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
