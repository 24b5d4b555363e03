"""The video file that is written: its frames at its source's times, never over it, with a progress bar meanwhile."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from pipeline.data.arrays import write_array
from pipeline.errors import PipelineError
from pipeline.runtime.files import replacing
from pipeline.sources.opening import has_audio, probe
from pipeline.video import Image as Picture
from pipeline.video import TimedFrame, write_timed_video

logger = logging.getLogger(__name__)
ASSUMED_FPS = 25.0  # of a video that does not say
RECENT_FRAMES = 5  # by whose times the rate is known that a video had last


def check_output(output: Path, source: Path) -> None:
    """Raises PipelineError where `output` is `source` itself, or would lie in what is no folder."""
    for parent in output.parents:
        if parent.exists() and not parent.is_dir():
            raise PipelineError(f"{output}: {parent} is a file, no folder; name another place")
    if output.exists() and source.exists() and output.samefile(source):
        raise PipelineError(f"{output}: is the source itself; name another file to write")


def about_frames(source: Path) -> int | None:
    """How many frames the video `source` says that it has, None where it does not say; only decoding tells."""
    info = probe(source)
    return round(info.duration_seconds * info.fps) or None


def write_output(output: Path, frames: Iterable[TimedFrame], source: Path, *, total: int | None = None) -> None:
    """Write the video `output`, `frames` at their times; show how many of about `total` it has, and the time left.

    Nothing is shown where standard error is no terminal, or warnings are not wanted (foreframe --quiet).
    All audio of `source` is copied, if it has any. An `output` that ends in .npy becomes an array, uint8 (T, H, W, 3),
    or (T, H, W) where every frame is gray. Raises VideoError where its name has no such ending.
    """
    hidden = None if logger.isEnabledFor(logging.WARNING) else True  # None: unless it is a terminal
    progress = tqdm(frames, desc=output.name, total=total, unit="frame", disable=hidden, mininterval=0.5)
    if output.suffix.lower() == ".npy":
        write_frames(output, (frame.image for frame in progress))
        return
    audio_from = source if has_audio(source) else None
    write_timed_video(output, progress, time_base=probe(source).time_base, audio_from=audio_from)


def write_frames(output: Path, pictures: Iterable[Picture]) -> None:
    """Write `pictures`, each uint8 (H, W, 3), as one .npy array; the colours are left out where there are none."""
    is_gray = True

    def watched() -> Iterator[Picture]:
        nonlocal is_gray
        for picture in pictures:
            is_gray = is_gray and bool((picture == picture[:, :, :1]).all())
            yield picture

    coloured = output.with_name(f".{output.name}.colour")  # so that memory does not grow with the length
    try:
        write_array(coloured, watched())
        frames = np.load(coloured, mmap_mode="r")
        with replacing(output) as part, part.open("wb") as file:
            np.save(file, frames[..., 0] if is_gray else frames)
    finally:
        coloured.unlink(missing_ok=True)


class Clock:
    """The times of frames that follow a video: at the rate that it had last, from its last frame or its end on."""

    def __init__(self) -> None:
        self.steps: deque[float] = deque(maxlen=RECENT_FRAMES)  # seconds between frames
        self.last: TimedFrame | None = None

    def see(self, frame: TimedFrame) -> None:
        """The next frame of the video."""
        if self.last is not None and frame.pts_seconds > self.last.pts_seconds:
            self.steps.append(frame.pts_seconds - self.last.pts_seconds)
        self.last = frame

    @property
    def step_seconds(self) -> float:
        """How long a frame is shown: the median of the last ones, the last of all left out where there are others.

        That one may be held, as those of GIFs are, or its length be a guess.
        """
        assert self.last is not None, "no frame was seen"
        if self.steps:
            return median(self.steps)
        length = self.last.stop_seconds - self.last.pts_seconds
        return length if length > 0 else 1 / ASSUMED_FPS

    def timed(self, pictures: Iterable[Picture]) -> Iterator[TimedFrame]:
        """`pictures` after the video, one after another."""
        assert self.last is not None, "no frame was seen"
        # a container may say less of the last frame's length than was meant, or nothing
        start = max(self.last.stop_seconds, self.last.pts_seconds + self.step_seconds)
        for number, picture in enumerate(pictures):
            yield TimedFrame(start + number * self.step_seconds, start + (number + 1) * self.step_seconds, picture)
