"""The video file that is written: at its source's frame rate, never over it, with a progress bar meanwhile."""

import logging
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from pipeline.errors import PipelineError
from pipeline.video import Image as Picture
from pipeline.video import probe, write_video

logger = logging.getLogger(__name__)
ASSUMED_FPS = 25.0  # of a video that does not say


def check_output(output: Path, source: Path) -> None:
    """Raises PipelineError where `output` is `source` itself."""
    if output.exists() and source.exists() and output.samefile(source):
        raise PipelineError(f"{output}: is the source itself; name another file to write")


def frame_rate(source: Path) -> float:
    """Frames per second of the video `source`; raises VideoError if it is no video."""
    return probe(source).fps or ASSUMED_FPS


def about_frames(source: Path) -> int | None:
    """How many frames the video `source` says that it has, None where it does not say; only decoding tells."""
    info = probe(source)
    return round(info.duration_seconds * info.fps) or None


def write_output(
    output: Path, pictures: Iterable[Picture], fps: float, audio_of: Path | None = None, *, total: int | None = None
) -> None:
    """Write the video `output` and show how many of about `total` frames it has, their rate and the time left.

    Nothing is shown where standard error is no terminal, or warnings are not wanted (foreframe --quiet). The audio of
    the file `audio_of` is copied, if it has any. Raises VideoError where the name of `output` has no ending of a video.
    """
    hidden = None if logger.isEnabledFor(logging.WARNING) else True  # None: unless it is a terminal
    progress = tqdm(pictures, desc=output.name, total=total, unit="frame", disable=hidden, mininterval=0.5)
    write_video(output, progress, fps, audio_of)
