"""Reads a video as a player shows it: each frame with its presentation time, or frames chosen by time at one size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedVideo, VideoError
from pipeline.video.decoding import DecodedFrame, decode, opened
from pipeline.video.pictures import FrameConverter, Painter
from pipeline.video.sequences import decode_images, numbered
from pipeline.video.skipping import TOLERANCE_SECONDS, CannotSkip

Image = NDArray[np.uint8]

MAX_PIXELS = 2**26  # of a frame that read_frames takes: 8192 x 8192
SEQUENCE_FPS = 25.0  # of a folder of images, where nobody says
AS_SHOWN = FrameConverter(size=None, fit="stretch", color="rgb")


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, sizes as a player shows them; only decoding tells how many frames there are."""

    height: int  # pixels
    width: int  # pixels
    fps: float  # on average
    duration_seconds: float
    codec: str


def probe(path: Path) -> VideoInfo:
    """What the video at `path`, a file or a folder of numbered images, says of itself; VideoError if it is none."""
    shown = next(iter(_shown(path)), None)
    assert shown is not None  # decode raises where there is no frame
    assert shown.frame is not None
    painter = Painter(AS_SHOWN, shown.pixel_aspect)
    painter.note(shown.frame)
    assert painter.shown_size is not None
    if path.is_dir():
        return VideoInfo(*painter.shown_size, SEQUENCE_FPS, len(_images(path)) / SEQUENCE_FPS, shown.codec)
    with opened(path, MAX_PIXELS) as (container, stream, _):
        seconds = (stream.duration or 0) * (stream.time_base or 0) or (container.duration or 0) / av.time_base
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        return VideoInfo(*painter.shown_size, fps, float(seconds), shown.codec)


def read_frames(path: Path) -> Iterator[tuple[float, Image]]:
    """Every frame of the video at `path`: seconds since the first frame, and uint8 (H, W, 3) RGB, all of one size.

    `path` is a file or a folder of numbered images. Raises VideoError before the first frame if it is no video,
    DamagedVideo after the last good one if it breaks off or is damaged.
    """
    painter: Painter | None = None
    for shown in _shown(path):
        first = painter is None
        assert shown.frame is not None
        painter = painter or Painter(AS_SHOWN, shown.pixel_aspect)
        try:
            image = painter.paint(shown.frame)
        except VideoError as error:
            raise (VideoError if first else DamagedVideo)(f"{path}: {error}") from error
        yield shown.seconds, image


def _images(path: Path) -> list[Path]:
    return numbered(sorted(path.iterdir()))


def _shown(path: Path) -> Iterator[DecodedFrame]:
    if path.is_dir():
        images = _images(path)
        if not images:
            raise VideoError(f"{path}: holds no numbered images")
        return decode_images(images, fps=SEQUENCE_FPS, max_pixels=MAX_PIXELS)
    return decode(path, threads=1, max_pixels=MAX_PIXELS, max_seconds=float("inf"))


@dataclass
class Report:
    """What came out of the decoder; filled as a video is read."""

    num_frames: int = 0  # of the source
    height: int = 0  # pixels, as a player shows it
    width: int = 0
    duration_seconds: float = 0.0
    codec: str = ""


def read_resized(
    frames: Iterable[DecodedFrame], look: FrameConverter, fps: float | None, report: Report
) -> Iterator[Image]:
    """The frames that a player shows at 0, 1 / fps, 2 / fps … seconds (all of them if `fps` is None), as `look` says.

    Only these are made into pictures. `report` is filled on the way; it is whole after the last one. Errors of
    `frames` are passed on after the frame that was shown last. Raises CannotSkip if one that is to be shown
    was left out.
    """
    painter: Painter | None = None
    painted = False
    for shown, times in on_show(_noted(frames, report), fps):
        if shown.frame is None:
            if times or painter is None:
                raise CannotSkip
            continue
        if painter is None:
            painter = Painter(look, shown.pixel_aspect)
            painter.note(shown.frame)
            assert painter.shown_size is not None
            report.height, report.width = painter.shown_size
        if times:
            try:
                image = painter.paint(shown.frame)
            except VideoError as error:
                report.num_frames -= 1
                if painted:
                    raise DamagedVideo(f"damaged after {report.num_frames} frames: {error}") from error
                raise
            painted = True
            for _ in range(times):
                yield image


def _noted(frames: Iterable[DecodedFrame], report: Report) -> Iterator[DecodedFrame]:
    for shown in frames:
        report.num_frames += 1
        report.duration_seconds = shown.stop_seconds
        report.codec = shown.codec
        yield shown


def on_show(frames: Iterable[DecodedFrame], fps: float | None) -> Iterator[tuple[DecodedFrame, int]]:
    """Each frame, and how many of the moments 0, 1 / fps, 2 / fps … it is on show (once if `fps` is None)."""
    count = 0
    before: DecodedFrame | None = None

    def moments(stop_seconds: float) -> int:
        nonlocal count
        start = count
        assert fps is not None
        while count / fps < stop_seconds - TOLERANCE_SECONDS:
            count += 1
        return count - start

    try:
        for shown in frames:
            if fps is None:
                yield shown, 1
                continue
            if before is not None:
                yield before, moments(shown.seconds)
            before = shown
    except DamagedVideo:
        if before is not None:
            yield before, moments(before.stop_seconds)
        raise
    if before is not None:
        yield before, moments(before.stop_seconds)
