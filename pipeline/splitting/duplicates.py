"""Videos that hold the same frames, whatever their files are: one of them is used, so that none leaks into test."""

import hashlib
import logging

import numpy as np

from pipeline.data.clips import SPLITS
from pipeline.data.frames import StoredFrames
from pipeline.splitting.splits import Part

logger = logging.getLogger(__name__)


def content_hash(frames: StoredFrames) -> str:
    """The SHA-256 of stored frames (T, H, W, C) and their shape, in hexadecimal digits."""
    state = hashlib.sha256(str(frames.shape).encode())
    for frame in frames:
        state.update(np.ascontiguousarray(frame).data)
    return state.hexdigest()


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
