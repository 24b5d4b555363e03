"""Pixels as numbers: stored bytes to what a model sees and back again, and the brightness (luma) of colours."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NORMALIZATION: Final = "uint8 / 127.5 - 1"  # what to_float does; a model's card says the same
LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


def to_float(frames: NDArray[np.uint8] | Tensor) -> Tensor:
    """Stored frames as a model sees them: uint8 (B, T, H, W, C) -> float32 (B, T, C, H, W) in [-1, 1]."""
    return torch.as_tensor(frames).movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1).contiguous()


def to_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """A model's frames as pictures: float (B, T, C, H, W), cut off at [-1, 1] -> uint8 (B, T, H, W, C)."""
    pixels = frames.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return pixels.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def luma(images: Tensor) -> Tensor:
    """Brightness (N, 1, H, W) of images (N, C, H, W) of one or three channels."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return torch.einsum("nchw,c->nhw", images, weights)[:, None]
