"""Where the source of each target of a translation comes from: a folder of videos, or a degradation of the target."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from pipeline.data.degradations import NEED_COLOR, degrade


class Translation(BaseModel):
    """Two folders of videos, or a degradation of targets, with the fields that clips.json and model.json hold."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: str | None  # folders of the videos, in data.videos
    target: str | None
    degradation: str | None  # a name in DEGRADATIONS, where there are no folders
    strength: float | None
    seed: int

    @property
    def label(self) -> str:
        """What people call it: `noise 25`, `winter -> summer`."""
        if self.degradation is None:
            return f"{self.source} -> {self.target}"
        return f"{self.degradation} {self.strength:g}"

    @property
    def enlarges(self) -> int:
        """How many times higher and wider a translation is than what a person has; 1 but for a low resolution."""
        return int(self.strength or 1) if self.degradation == "low_resolution" else 1

    @property
    def keeps_luma(self) -> bool:
        """Whether the brightness of the target is that of the source."""
        return self.degradation in NEED_COLOR

    def source_of(self, video: str) -> str:
        """The path of the source video of the target `video`."""
        return f"{self.source}{video.removeprefix(str(self.target))}"

    def degrade(self, frames: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        """The source frames of the target `frames`, as pipeline.data.degradations.degrade makes them."""
        assert self.degradation is not None
        assert self.strength is not None
        return degrade(frames, self.degradation, self.strength, self.seed, numbers)
