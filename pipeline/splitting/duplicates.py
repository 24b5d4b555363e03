"""Videos that hold the same frames, whatever their files are: one of them is used, so that none leaks into test."""

import hashlib
import logging

import numpy as np
from numpy.typing import NDArray

from pipeline.data.clips import SPLITS
from pipeline.splitting.splits import Part

logger = logging.getLogger(__name__)


class ContentHash:
    """The SHA-256 of stored frames and their shape (T, H, W, C), from frames that are shown in their order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._state = hashlib.sha256(str(shape).encode())

    def update(self, frames: NDArray[np.uint8]) -> None:
        """The next frames, uint8 (N, H, W, C)."""
        self._state.update(np.ascontiguousarray(frames).data)

    def hexdigest(self) -> str:
        """The hash, in hexadecimal digits."""
        return self._state.hexdigest()


def without_copies(parts: dict[str, list[Part]], content: dict[str, str]) -> dict[str, list[Part]]:
    """`parts` (video -> its parts) with one video of those whose content hash in `content` is the same.

    The one in test goes before the one in val, that before the one in train, then the first by name: a copy neither
    leaks from test into train nor counts twice.
    """

    def rank(video: str) -> tuple[int, str]:
        return (-max(SPLITS.index(split) for split, _, _ in parts[video]), video)

    kept: dict[str, str] = {}
    for video in sorted(parts, key=rank):
        if content[video] in kept:
            logger.warning("%s: left out, holds the same frames as %s", video, kept[content[video]])
        kept.setdefault(content[video], video)
    return {video: parts[video] for video in parts if kept[content[video]] == video}
