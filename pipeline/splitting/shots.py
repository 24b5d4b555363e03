"""Where a video cuts from one shot to the next: a clip may not cross a cut."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.data.frames import StoredFrames, pieces

CHUNK = 256  # frames that are compared at a time
NEIGHBOURS = 5  # differences whose median says how much motion is ordinary around a frame
# standard deviation of a picture's values, of 1: where both frames have less, a difference counts for more, but not
# for more than that of a picture of the least
ORDINARY_CONTRAST, LEAST_CONTRAST = 0.15, 0.03


def _unwatched(piece: NDArray[np.uint8]) -> None:
    pass


def frame_differences(
    frames: StoredFrames, watch: Callable[[NDArray[np.uint8]], None] = _unwatched
) -> NDArray[np.float64]:
    """How much each frame differs from the previous one: uint8 (T, H, W, C) -> (T - 1,).

    The mean absolute difference, in [0, 1]; of dark or dull pictures as if they had the contrast of ordinary ones.
    `watch` is shown all frames, some at a time, in their order.
    """
    differences = []
    previous = None
    for piece in pieces(frames, CHUNK):
        watch(piece)
        chunk = (piece if previous is None else np.concatenate([previous, piece])).astype(np.float32) / 255
        previous = piece[-1:]
        contrast = chunk.std(axis=(1, 2, 3)).astype(np.float64)
        scale = np.clip(np.maximum(contrast[1:], contrast[:-1]), LEAST_CONTRAST, ORDINARY_CONTRAST) / ORDINARY_CONTRAST
        differences.append(np.abs(np.diff(chunk, axis=0)).mean(axis=(1, 2, 3)) / scale)
    return np.concatenate(differences) if differences else np.empty(0)


def find_shots(
    frames: StoredFrames, threshold: float | None, watch: Callable[[NDArray[np.uint8]], None] = _unwatched
) -> list[tuple[int, int]]:
    """The half-open ranges of frames (T, H, W, C) between which the video cuts; one range where `threshold` is None.

    `watch` is shown all frames, some at a time, in their order: they are read once.

    A hard cut is a difference that stands out by more than `threshold` over the median of those around it. So a pan
    or a flicker, where all differences are large, is no cut, and a shot of one frame has a cut on either side.
    """
    num_frames = len(frames)
    if threshold is None or num_frames < 3:
        for piece in pieces(frames, CHUNK):
            watch(piece)
        return [(0, num_frames)]
    differences = frame_differences(frames, watch)
    padded = np.pad(differences, NEIGHBOURS // 2, constant_values=np.nan)
    ordinary = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS), axis=1)
    cuts = [int(cut) + 1 for cut in np.flatnonzero(differences - ordinary > threshold)]
    return list(zip([0, *cuts], [*cuts, num_frames], strict=True))
