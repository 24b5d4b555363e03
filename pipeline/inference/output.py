"""The video file that is written: at its source's frame rate, never over it, with a progress bar meanwhile."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.data.arrays import write_array
from pipeline.errors import PipelineError
from pipeline.runtime.files import replacing
from pipeline.sources.opening import probe
from pipeline.video import Image as Picture
from pipeline.video import write_video

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

    The audio of the file `audio_of` is copied, if it has any. An `output` that ends in .npy becomes an array, uint8
    (T, H, W, 3), or (T, H, W) where every frame is gray. Raises VideoError where its name has no such ending.
    """
    progress = tqdm(pictures, desc=output.name, unit="frame", disable=None, mininterval=0.5)
    if output.suffix.lower() == ".npy":
        write_frames(output, progress)
    else:
        write_video(output, progress, fps, audio_of)


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
