"""Where a video cuts from one shot to the next: a clip may not cross a cut."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.frames import StoredFrames

CHUNK = 256  # frames that are compared at a time
NEIGHBOURS = 5  # differences whose median says how much motion is ordinary around a frame
# standard deviation of a picture's values, of 1: where both frames have less, a difference counts for more, but not
# for more than that of a picture of the least
ORDINARY_CONTRAST, LEAST_CONTRAST = 0.15, 0.03


def frame_differences(frames: StoredFrames) -> NDArray[np.float64]:
    """How much each frame differs from the previous one: uint8 (T, H, W, C) -> (T - 1,).

    The mean absolute difference, in [0, 1]; of dark or dull pictures as if they had the contrast of ordinary ones.
    """
    differences = []
    for start in range(0, len(frames) - 1, CHUNK):
        chunk = frames[start : start + CHUNK + 1].astype(np.float32) / 255
        contrast = chunk.std(axis=(1, 2, 3)).astype(np.float64)
        scale = np.clip(np.maximum(contrast[1:], contrast[:-1]), LEAST_CONTRAST, ORDINARY_CONTRAST) / ORDINARY_CONTRAST
        differences.append(np.abs(np.diff(chunk, axis=0)).mean(axis=(1, 2, 3)) / scale)
    return np.concatenate(differences) if differences else np.empty(0)


def find_shots(frames: StoredFrames, threshold: float | None) -> list[tuple[int, int]]:
    """The half-open ranges of frames (T, H, W, C) between which the video cuts; one range where `threshold` is None.

    A hard cut is a difference that stands out by more than `threshold` over the median of those around it. So a pan
    or a flicker, where all differences are large, is no cut, and a shot of one frame has a cut on either side.
    """
    num_frames = len(frames)
    if threshold is None or num_frames < 3:
        return [(0, num_frames)]
    differences = frame_differences(frames)
    padded = np.pad(differences, NEIGHBOURS // 2, constant_values=np.nan)
    ordinary = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
    cuts = [int(cut) + 1 for cut in np.flatnonzero(differences - ordinary > threshold)]
    return list(zip([0, *cuts], [*cuts, num_frames], strict=True))
