"""How far predictions of a video are to be trusted, found by what the same predictors made of its last frames.

A network trained on other videos may move what stands still. What it says of frames that are known already tells: the
change that it predicts, times the factor that fits the true change best, is never much worse than no change at all.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Changes = NDArray[np.float32]  # (H, W, C), levels of 255

NOISE_LEVELS = 2.0  # of 255: changes that tell little
REACH = 1 / 20  # of the shorter side: standard deviation of the window in which one factor holds
SIGMA_CELLS = 3  # the window's standard deviation in cells, in which alone sums are kept: finer ones tell no more
# below, what is predicted has little to do with what happens: left out; above, taken as it is
LEAST_FACTOR, FULL_FACTOR = 0.2, 0.8


class Evidence:
    """Sums over known frames of what two predictors, one and another, said and what happened; local least squares.

    With c1, c2 the changes since the frame that they began with, and c the true one, the factors minimise, in a window
    around each pixel, the sum of (c - f1 c1 - f2 c2)² + ridge · (distance to the best factors for the whole picture)².
    """

    def __init__(self) -> None:
        self.num_frames = 0.0
        self.size = (1, 1)  # (H, W) of the changes
        self.sums: NDArray[np.float32] = np.zeros((5, 1, 1), np.float32)  # of cells, means of their pixels

    def add(self, first: Changes, second: Changes, true: Changes) -> None:
        """One more known frame."""
        self.size = first.shape[:2]
        cell = max(1, int(self._sigma / SIGMA_CELLS))
        height, width = (-(-length // cell) for length in self.size)
        pairs = [(first, first), (second, second), (first, second), (first, true), (second, true)]
        planes = [np.einsum("hwc,hwc->hw", a, b) / np.float32(first.shape[-1]) for a, b in pairs]
        self.sums = self.sums + np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in planes])
        self.num_frames += 1

    def fade(self, share: float) -> None:
        """Let what was added so far count only `share` of what it did."""
        self.sums = self.sums * np.float32(share)
        self.num_frames *= share

    def factors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How much of each predictor's change to take, (H, W) in [0, 1] each, 1 in all at most."""
        assert self.num_frames, "nothing was predicted that is known"
        whole = _least_squares(self.sums.mean(axis=(1, 2)), np.float32(1e-6), np.zeros(2, np.float32))
        sigma = self._sigma * self.sums.shape[1] / self.size[0]
        local = np.stack([cv2.GaussianBlur(plane[..., None], (0, 0), sigma) for plane in self.sums])
        factors = _least_squares(local.astype(np.float32), np.float32(self.num_frames * NOISE_LEVELS**2), whole)
        factors = ((factors - LEAST_FACTOR) / (FULL_FACTOR - LEAST_FACTOR)).clip(0, 1)
        first, second = (cv2.resize(plane, self.size[::-1]) for plane in factors / np.maximum(1, factors.sum(axis=0)))
        return first, second

    @property
    def _sigma(self) -> float:
        """Of the window, pixels."""
        return REACH * min(self.size)


def _least_squares(sums: NDArray[np.float32], ridge: np.float32, prior: NDArray[np.float32]) -> NDArray[np.float32]:
    """The factors (2, …), none negative, from sums (5, …) as Evidence adds them."""
    prior = prior.reshape(2, *[1] * (sums.ndim - 1))
    a, b, both = sums[0] + ridge, sums[1] + ridge, sums[2]
    p, q = sums[3] + ridge * prior[0], sums[4] + ridge * prior[1]
    determinant = np.maximum(a * b - both**2, 1e-12)
    first, second = (b * p - both * q) / determinant, (a * q - both * p) / determinant
    alone = np.stack([np.maximum(p / a, 0), np.maximum(q / b, 0)])  # where the other one's factor would be negative
    gain = np.stack([alone[0] * p, alone[1] * q])
    better = gain[0] >= gain[1]
    one = np.stack([np.where(better, alone[0], 0), np.where(better, 0, alone[1])])
    return np.where((first >= 0) & (second >= 0), np.stack([first, second]), one).astype(np.float32)
