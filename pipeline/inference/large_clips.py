"""Test clips as large as their videos: pictures are decoded again, and continued as `foreframe predict` continues them.

A model learns from small frames and is measured on them; people look at their videos.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.data.frames import FrameStore
from pipeline.errors import PipelineError, VideoError
from pipeline.inference.generation import continuation
from pipeline.ingest.folder import Entry
from pipeline.ingest.listing import list_here
from pipeline.ingest.pool import job_for
from pipeline.ingest.video_job import frames_between
from pipeline.model_dir import ModelCard
from pipeline.params import DataParams, ExtractParams
from pipeline.runtime.cores import usable_cores

logger = logging.getLogger(__name__)

MOST_SECONDS = 600.0  # of a video that are decoded to come to a clip
CLOSE_LEVELS = 4.0  # of 255: how far a stored frame may be from its picture made small, on average

Frames = NDArray[np.uint8]  # (T, H, W, C)


@dataclass(frozen=True)
class Place:
    """A clip: of the video called so, the stored frames from number `start` to `stop`."""

    video: str
    start: int
    stop: int


class Originals:
    """The videos that the frames of a store are from."""

    def __init__(self, store: FrameStore, data: DataParams, extract: ExtractParams) -> None:
        """`data` and `extract` are those that the store was made with."""
        self.store, self.data, self.extract = store, data, extract

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """What the videos are, by their names in the index; raises DataError where a list of them has a mistake."""
        videos = Path(self.data.videos)
        if not videos.exists():
            return {}
        listed = list_here(videos, roots=self.data.roots, axes=self.extract.array_axes, camera=self.extract.camera)
        return {entry.name: entry for entry in listed if entry.paths or entry.part}

    def scale(self, places: Sequence[Place], most: int) -> int:
        """How many times as high and wide as the stored frames the pictures at all `places` are, `most` at most.

        Those that cannot be had do not count; 1 where there are no others.
        """
        if most == 1:
            return 1
        scales = [self._scale(place.video) for place in places if self._is_near(place)]
        return max(1, min(most, *scales)) if scales else 1

    def pictures(self, place: Place, scale: int) -> Frames:
        """The pictures of the frames at `place`, `scale` times as high and wide, RGB: uint8 (T, H, W, 3).

        Raises VideoError where they are not to be had: another video lies there now, or its end is far away.
        """
        entry = self.entries.get(place.video)
        if entry is None or not self._is_near(place) or self._scale(place.video) < scale:
            raise VideoError("its video is not at hand, too small, or begins too long before it")
        height, width = self.extract.size
        larger = self.extract.model_copy(update={"size": (scale * height, scale * width), "color": "rgb"})
        job = job_for(entry, larger, array=Path(), threads=usable_cores())
        pictures = frames_between(job, place.start, place.stop)
        stored = self.store.load(place.video)[place.start : place.stop]
        if _distance(pictures, stored) > CLOSE_LEVELS:
            raise VideoError("its video is another one now")
        return pictures

    def _scale(self, video: str) -> int:
        row = self.store.index.loc[video]
        ratios = [int(row["height"]) / self.extract.size[0], int(row["width"]) / self.extract.size[1]]
        return int(max(ratios) if self.extract.fit == "pad" else min(ratios))

    def _is_near(self, place: Place) -> bool:
        row = self.store.index.loc[place.video]
        seconds = float(row["duration_seconds"]) * place.stop / int(row["stored_frames"])
        return place.video in self.entries and seconds <= MOST_SECONDS


def large_clip(
    originals: Originals,
    place: Place,
    scale: int,
    model: nn.Module,
    card: ModelCard,
    num_frames: int,
    device: torch.device,
) -> tuple[Frames, Frames, Frames] | None:
    """The pictures of the context and of the horizon at `place`, and `num_frames` that follow the context.

    None, and a line that says why, where they are not to be had.
    """
    try:
        pictures = originals.pictures(place, scale)
        context, truth = pictures[: card.context], pictures[card.context :]
        predicted = np.stack(list(islice(continuation(model, card, list(context), device), num_frames)))
    except PipelineError as error:
        logger.warning("%s: is shown in the size of its frames (%s)", place.video, error)
        return None
    return context, truth, predicted


def _distance(pictures: Frames, stored: Frames) -> float:
    """How far `stored` frames are in brightness from `pictures` made as small, levels of 255, on average."""
    size = stored.shape[2], stored.shape[1]
    small = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures])
    return float(np.abs(_gray(small) - _gray(stored)).mean())


def _gray(frames: Frames) -> NDArray[np.float32]:
    """The brightness of gray or RGB frames: float32 (T, H, W)."""
    return np.stack(
        [frame[..., 0] if frame.shape[-1] == 1 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    ).astype(np.float32)
