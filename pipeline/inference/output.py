"""The video file that is written: at its source's frame rate, never over it, with a progress bar meanwhile."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from pipeline.errors import PipelineError
from pipeline.video import Image as Picture
from pipeline.video import probe, write_video

ASSUMED_FPS = 25.0  # of a video that does not say


def check_output(output: Path, source: Path) -> None:
    """Raises PipelineError where `output` is `source` itself."""
    if output.exists() and source.exists() and output.samefile(source):
        raise PipelineError(f"{output}: is the source itself; name another file to write")


def frame_rate(source: Path) -> float:
    """Frames per second of the video `source`; raises VideoError if it is no video."""
    return probe(source).fps or ASSUMED_FPS


def write_output(output: Path, pictures: Iterable[Picture], fps: float, audio_of: Path | None = None) -> None:
    """Write the video `output` and show how many frames it has so far.

    The audio of the file `audio_of` is copied, if it has any. Raises VideoError where the name of `output` has no
    ending of a video.
    """
    progress = tqdm(pictures, desc=output.name, unit="frame", disable=None, mininterval=0.5)
    write_video(output, progress, fps, audio_of)
