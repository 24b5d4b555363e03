"""Reads a video as a player shows it: each frame with its presentation time, or frames chosen by time at one size."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedVideo, VideoError
from pipeline.video.containers import opened
from pipeline.video.decoding import decode
from pipeline.video.frame_conversion import FrameConverter, PictureFormat
from pipeline.video.image_sequences import decode_images, numbered
from pipeline.video.packet_times import measured, stated
from pipeline.video.presentation_times import DecodedFrame, StampsGoBack
from pipeline.video.subsampling import CannotSkip
from pipeline.video.timing import is_before

Image = NDArray[np.uint8]

MAX_PIXELS = 2**26  # of a frame that read_frames takes: 8192 x 8192
LOOKED_AT = 32  # frames that are decoded to see whether their time stamps rise
SEQUENCE_FPS = 25.0  # of a folder of images, which does not say
MEASURED_BYTES = 2**28  # of a larger file only what its header states of times is read
AS_SHOWN = PictureFormat(size=None, fit="stretch", color="rgb")


class _Timed(Protocol):
    """A frame of any kind, and when it is shown."""

    @property
    def pts_seconds(self) -> float: ...
    @property
    def stop_seconds(self) -> float: ...


Timed = TypeVar("Timed", bound=_Timed)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, sizes as a player shows them; only decoding tells whether its frames are intact."""

    height: int  # pixels
    width: int  # pixels
    fps: float  # on average; 0 where nothing says so, as of a single picture
    duration_seconds: float  # 0 where nothing says so
    codec: str
    time_base: Fraction  # unit of its time stamps, seconds
    num_frames: int | None = None  # None: only decoding would tell
    is_variable: bool = False  # whether some frames are shown much longer than others


class TimedFrame(NamedTuple):
    """A frame, and from when to when a player shows it, in seconds since the first frame."""

    pts_seconds: float
    stop_seconds: float  # the next frame's pts_seconds, if there is one
    image: Image


def probe(path: Path, images: Sequence[Path] = ()) -> VideoInfo:
    """What the video at `path`, a file or a folder of numbered images, says of itself; VideoError if it is none.

    `images` are those of the folder, where they are known.
    """
    images = images or (_images(path) if path.is_dir() else ())
    first = next(iter(_decoded(path, images)), None)
    assert first is not None  # decode raises where there is no frame
    assert first.frame is not None
    try:
        display_size = FrameConverter(AS_SHOWN, first.pixel_aspect).display_size(first.frame)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from error
    if images:
        step = 1 / Fraction(SEQUENCE_FPS)
        count = len(images)
        return VideoInfo(*display_size, SEQUENCE_FPS, count / SEQUENCE_FPS, first.codec, step, count)
    with opened(path, MAX_PIXELS) as (container, stream, file):
        is_small = os.fstat(file).st_size <= MEASURED_BYTES
        timing = measured(container, stream, file) if is_small else stated(container, stream)
        return VideoInfo(
            *display_size,
            timing.fps,
            timing.duration_seconds,
            first.codec,
            stream.time_base or Fraction(1, 1000),
            timing.num_frames,
            timing.is_variable,
        )


def read_frames(path: Path) -> Iterator[tuple[float, Image]]:
    """Every frame of the video at `path`: (pts_seconds, image), the image uint8 (H, W, 3) RGB, all of one size.

    The presentation time counts from the first frame. `path` is a file or a folder of numbered images. Raises
    VideoError before the first frame if it is no video, DamagedVideo after the last good one if it breaks off or is
    damaged.
    """
    for decoded, image in _converted(path):
        yield decoded.pts_seconds, image


def read_timed_frames(path: Path, images: Sequence[Path] = (), start_seconds: float = 0.0) -> Iterator[TimedFrame]:
    """As read_frames, each frame with the time until which it is shown.

    `images` are those of a folder, where they are known. Frames before `start_seconds` may be left out; times stay.
    """
    previous: tuple[DecodedFrame, Image] | None = None
    try:
        for decoded, image in _converted(path, images, start_seconds):
            if previous is not None:
                yield TimedFrame(previous[0].pts_seconds, decoded.pts_seconds, previous[1])
            previous = decoded, image
    except DamagedVideo:
        if previous is not None:
            yield TimedFrame(previous[0].pts_seconds, previous[0].stop_seconds, previous[1])
        raise
    if previous is not None:
        yield TimedFrame(previous[0].pts_seconds, previous[0].stop_seconds, previous[1])


def _converted(
    path: Path, images: Sequence[Path] = (), start_seconds: float = 0.0
) -> Iterator[tuple[DecodedFrame, Image]]:
    converter: FrameConverter | None = None
    for decoded in _decoded(path, images, start_seconds):
        is_first = converter is None
        assert decoded.frame is not None
        converter = converter or FrameConverter(AS_SHOWN, decoded.pixel_aspect)
        try:
            image = converter.convert(decoded.frame)
        except VideoError as error:
            raise (VideoError if is_first else DamagedVideo)(f"{path}: {error}") from error
        yield decoded, image


def _images(path: Path) -> list[Path]:
    images = numbered(sorted(path.iterdir()))
    if not images:
        raise VideoError(f"{path}: holds no numbered images")
    return images


def _decoded(path: Path, images: Sequence[Path], start_seconds: float = 0.0) -> Iterator[DecodedFrame]:
    if images or path.is_dir():
        return decode_images(images or _images(path), fps=SEQUENCE_FPS, max_pixels=MAX_PIXELS)
    return _decoded_once(path, start_seconds)


def _decoded_once(path: Path, start_seconds: float) -> Iterator[DecodedFrame]:
    limits: dict[str, Any] = {
        "threads": 1,
        "max_pixels": MAX_PIXELS,
        "max_seconds": float("inf"),
        "start_seconds": start_seconds,
    }
    try:
        deque(islice(decode(path, **limits), LOOKED_AT), maxlen=0)
    except StampsGoBack:
        yield from decode(path, **limits, in_output_order=True)
        return
    except VideoError:
        pass  # damaged: it is met again, after the frames before it
    num_frames, last = 0, 0.0
    try:
        for decoded in decode(path, **limits):
            yield decoded
            num_frames, last = num_frames + 1, decoded.pts_seconds
    except StampsGoBack:  # so late that frames before it have been shown
        for decoded in islice(decode(path, **limits, in_output_order=True), num_frames, None):
            last = max(last, decoded.pts_seconds)
            yield decoded._replace(pts_seconds=last, stop_seconds=max(last, decoded.stop_seconds))


@dataclass
class Report:
    """What came out of the decoder; filled as a video is read."""

    num_frames: int = 0  # of the source
    height: int = 0  # pixels, as a player shows it
    width: int = 0
    duration_seconds: float = 0.0
    codec: str = ""
    hdr: str = ""  # how HDR was mapped to SDR, if it was


def read_resized(
    frames: Iterable[DecodedFrame], wanted: PictureFormat, fps: float | None, report: Report
) -> Iterator[Image]:
    """The frames that a player shows at 0, 1 / fps, 2 / fps … seconds (all of them if `fps` is None), as `wanted`.

    Only these are converted. `report` is filled on the way; it is complete after the last one. Errors of `frames` are
    passed on after the frame that was shown last. Raises CannotSkip if one that is to be shown was not decoded.
    """
    converter: FrameConverter | None = None
    is_first = True
    for decoded, num_times in repeated(_reported(frames, report), fps):
        if decoded.frame is None:
            if num_times or converter is None:
                raise CannotSkip
            continue
        if converter is None:
            converter = FrameConverter(wanted, decoded.pixel_aspect)
            report.height, report.width = converter.display_size(decoded.frame)
        if num_times:
            try:
                image = converter.convert(decoded.frame)
            except VideoError as error:
                report.num_frames -= 1
                if not is_first:
                    raise DamagedVideo(f"damaged after {report.num_frames} frames: {error}") from error
                raise
            if decoded.is_rounded_down:
                image = np.where(image == 0, image, np.minimum(image, 254) + 1).astype(np.uint8)  # black is exact
            is_first = False
            report.hdr = converter.hdr
            for _ in range(num_times):
                yield image


def _reported(frames: Iterable[DecodedFrame], report: Report) -> Iterator[DecodedFrame]:
    for decoded in frames:
        report.num_frames += 1
        report.duration_seconds = decoded.stop_seconds
        report.codec = decoded.codec
        yield decoded


def repeated(frames: Iterable[Timed], fps: float | None) -> Iterator[tuple[Timed, int]]:
    """Each frame, and at how many of the moments 0, 1 / fps, 2 / fps … it is shown (once if `fps` is None)."""
    if fps is None:
        for decoded in frames:
            yield decoded, 1
        return
    moment = 0
    current: Timed | None = None

    def moments_before(stop_seconds: float) -> int:
        nonlocal moment
        first = moment
        while is_before(moment / fps, stop_seconds):
            moment += 1
        return moment - first

    try:
        for following in frames:
            if current is not None:
                yield current, moments_before(following.pts_seconds)
            current = following
    except DamagedVideo:
        if current is not None:
            yield current, moments_before(current.stop_seconds)
        raise
    if current is not None:
        yield current, moments_before(current.stop_seconds)
