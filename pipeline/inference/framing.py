"""How a picture of any size is shown to a generator as in training, and how what it makes is a picture again."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.clips import to_float, to_uint8
from pipeline.data.color import luma
from pipeline.errors import ModelError
from pipeline.model_dir import ModelCard

Picture = NDArray[np.uint8]  # (H, W, 3), RGB
Place = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Framing:
    """The part of a picture that a generator sees, and where that part lies in the frames that it is fed."""

    seen: Place  # in the picture
    frame_shape: tuple[int, int, int]  # (C, h, w), fed
    inside: Place  # in the frame; what is around it is black

    def frame(self, picture: Picture) -> Tensor:
        """The picture as what the generator is fed: (1, C, h, w) in [-1, 1]."""
        frame = to_float(np.ascontiguousarray(picture[self.seen])[None, None])[0]  # (1, 3, H, W)
        if self.frame_shape[0] == 1:
            frame = luma(frame)
        height, width = (part.stop - part.start for part in self.inside)
        canvas = torch.full((1, *self.frame_shape), -1.0)
        canvas[:, :, *self.inside] = F.interpolate(frame, (height, width), mode="bilinear", antialias=True)
        return canvas

    def picture(self, frame: Tensor, around: Picture) -> Picture:
        """A frame (1, C, h, w) in [-1, 1] as a picture; what the generator does not see is as in `around`."""
        frame = frame[:, :, *self.inside]
        height, width = (part.stop - part.start for part in self.seen)
        if frame.shape[-2:] != (height, width):
            frame = F.interpolate(frame, (height, width), mode="bicubic", antialias=True)
        result = around.copy()
        result[self.seen] = to_uint8(frame[None])[0, 0]
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
        return Framing(_all(size), (channels, height, width), _all((height, width)))
    except ModelError:
        if side is not None:
            raise
    seen = _middle(size, [min(n, round(t / s)) for n, t, s in zip(size, trained, scale, strict=True)])
    inside = _middle(trained, [min(t, n) for t, n in zip(trained, (height, width), strict=True)])
    return Framing(seen, card.frame_shape, inside)


def _all(size: tuple[int, int]) -> Place:
    return slice(0, size[0]), slice(0, size[1])


def _middle(size: tuple[int, int] | list[int], part: list[int]) -> Place:
    """The middle `part` (height, width) of `size`."""
    starts = [(whole - length) // 2 for whole, length in zip(size, part, strict=True)]
    return slice(starts[0], starts[0] + part[0]), slice(starts[1], starts[1] + part[1])
