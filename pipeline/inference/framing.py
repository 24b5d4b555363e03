"""How a picture of any size becomes the frame that a generator is fed, as in training, and how its output becomes one.

A generator was trained on frames that were cropped, padded or stretched to one size. The same is done to any picture.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.data.clips import to_float, to_uint8
from pipeline.data.color import luma
from pipeline.errors import ModelError
from pipeline.model_dir import ModelCard
from pipeline.video import Image as Picture

Region = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Framing:
    """Which part of a picture a generator sees, and where that part lies in the frames that it is fed."""

    visible: Region  # of the picture
    frame_shape: tuple[int, int, int]  # (C, h, w), fed
    content: Region  # of the frame, that the visible part is scaled to; what is around it is black

    @property
    def content_size(self) -> tuple[int, int]:
        """(height, width) of the content, pixels of a frame."""
        return _size(self.content)

    @property
    def enlarges(self) -> bool:
        """Whether pictures have more pixels than what the generator sees of them."""
        height, width = _size(self.visible)
        return height * width > self.content_size[0] * self.content_size[1]

    def frame(self, picture: Picture) -> Tensor:
        """The picture (H, W, 3) as what the generator is fed: (1, C, h, w) in [-1, 1]."""
        cropped = to_float(np.ascontiguousarray(picture[self.visible])[None, None])[0]  # (1, 3, H, W)
        if self.frame_shape[0] == 1:
            cropped = luma(cropped)
        frame = torch.full((1, *self.frame_shape), -1.0)
        frame[:, :, *self.content] = F.interpolate(cropped, _size(self.content), mode="bilinear", antialias=True)
        return frame

    def picture(self, frame: Tensor, background: Picture) -> Picture:
        """A frame (1, C, h, w) in [-1, 1] as a picture; what the generator does not see is that of `background`."""
        content = frame[:, :, *self.content]
        if content.shape[-2:] != _size(self.visible):
            content = F.interpolate(content, _size(self.visible), mode="bicubic", antialias=True)
        result = background.copy()
        result[self.visible] = to_uint8(content[None])[0, 0]
        return result


def framing_for(card: ModelCard, size: tuple[int, int], side: int | None = None) -> Framing:
    """How pictures of `size` (height, width) are shown to the model of `card`.

    A generator that takes frames of any size sees the whole picture, things in it as large as in training, or with the
    shorter side of the frame `side` pixels. One made for a single size sees what it saw in training: the middle where
    frames were cropped, a border where they were padded, the whole out of shape where they were stretched. Raises
    ModelError where that leaves no choice of `side`.
    """
    channels, *trained = card.frame_shape
    ratios = [frame / picture for frame, picture in zip(trained, size, strict=True)]
    scale = {"crop": [max(ratios)] * 2, "pad": [min(ratios)] * 2, "stretch": ratios}[card.fit]
    if side is not None:
        factor = side / min(length * ratio for length, ratio in zip(size, scale, strict=True))
        scale = [ratio * factor for ratio in scale]
    height, width = (max(1, round(length * ratio)) for length, ratio in zip(size, scale, strict=True))
    try:
        card.check_size((height, width))
        return Framing(_whole(size), (channels, height, width), _whole((height, width)))
    except ModelError:
        if side is not None:
            raise
    visible = _middle(size, [min(n, round(t / s)) for n, t, s in zip(size, trained, scale, strict=True)])
    content = _middle(trained, [min(t, n) for t, n in zip(trained, (height, width), strict=True)])
    return Framing(visible, card.frame_shape, content)


def _size(region: Region) -> tuple[int, int]:
    """(height, width) of a region."""
    rows, columns = region
    return rows.stop - rows.start, columns.stop - columns.start


def _whole(size: tuple[int, int]) -> Region:
    return slice(0, size[0]), slice(0, size[1])


def _middle(size: tuple[int, int] | list[int], part: list[int]) -> Region:
    """The middle `part` (height, width) of `size`."""
    starts = [(whole - length) // 2 for whole, length in zip(size, part, strict=True)]
    return slice(starts[0], starts[0] + part[0]), slice(starts[1], starts[1] + part[1])
