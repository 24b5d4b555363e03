"""How much moves in videos: the mean length of the optical flow, in pixels per frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.frames import FrameStore, StoredFrames
from pipeline.measuring.baselines import flow_between
from pipeline.measuring.evaluation import pick

MOST_VIDEOS, PAIRS = 48, 4  # that are looked at, spread evenly; pairs of frames in each
MOST_SIDE = 256  # pixels: a larger frame is shrunk, and its flow enlarged again


def motion(store: FrameStore, videos: Sequence[str]) -> dict[str, float]:
    """Pixels per frame by which the stored pictures move, for at most MOST_VIDEOS of `videos` with two frames."""
    known = [video for video in videos if store.index.loc[video, "stored_frames"] > 1]
    chosen = [known[index] for index in pick(len(known), MOST_VIDEOS)]
    return {video: _motion(store.load(video)) for video in chosen}


def _motion(frames: StoredFrames) -> float:
    """The mean over PAIRS pairs of neighbours in `frames` (T, H, W, C), T > 1."""
    factor = -(-max(frames.shape[1:3]) // MOST_SIDE)
    lengths = []
    for t in pick(len(frames) - 1, PAIRS):
        first, second = (_shrunk(np.asarray(frames[i]), factor) for i in (t, t + 1))
        lengths.append(factor * np.linalg.norm(flow_between(first, second), axis=-1).mean())
    return float(np.mean(lengths))


def _shrunk(frame: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means of squares of `factor` pixels; rows and columns that fill none are dropped."""
    if factor == 1:
        return frame
    height, width = (side // factor for side in frame.shape[:2])
    if min(height, width) == 0:
        return frame
    squares = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return squares.mean(axis=(1, 3)).astype(np.uint8)
