"""Reads a video as a player shows it: each frame with its presentation time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedVideo, VideoError

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says; none of it is promised by what comes out of the decoder."""

    height: int  # pixels
    width: int  # pixels
    fps: float  # on average
    duration_seconds: float


def probe(path: Path) -> VideoInfo:
    """What the header of the video at `path` says; raises VideoError if it is no video."""
    with _open(path) as container:
        stream = container.streams.video[0]
        duration = container.duration / av.time_base if container.duration else 0.0
        return VideoInfo(stream.height, stream.width, float(stream.average_rate or 0), duration)


def read_frames(path: Path) -> Iterator[tuple[float, Image]]:
    """Every frame of the video at `path`: seconds since the first frame, and uint8 (H, W, 3) RGB.

    Raises VideoError before the first frame if the file is no video, DamagedVideo after the last good one if it
    breaks off.
    """
    num_frames = 0
    with _open(path) as container:
        stream = container.streams.video[0]
        start: float | None = None
        last: float | None = None
        step = float(1 / (stream.average_rate or 25))
        try:
            for frame in container.decode(stream):
                # a raw stream has no times
                seconds = frame.time if frame.pts is not None else 0.0 if last is None else last + step
                start = seconds if start is None else start
                last = seconds
                num_frames += 1
                yield seconds - start, cast(Image, frame.to_ndarray(format="rgb24"))
        except av.FFmpegError as error:
            kind = DamagedVideo if num_frames else VideoError
            raise kind(f"{path}: damaged after {num_frames} frames ({error.strerror})") from error
    if not num_frames:
        raise VideoError(f"{path}: cannot be opened as a video (0 frames decoded)")


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: cannot be opened as a video ({error.strerror})") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: holds no video")
    return container
