"""Tells predicted motion from real: a patch discriminator over space and time, for losses.Adversary; no generator."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

HALVED_FROM = 32  # pixels
SAFE_SIDE, SAFE_STEPS = 32, 3  # of what bfloat16 is safe on, after halving: the narrow side, and time


class Discriminator(nn.Module):
    """3-D convolutions with spectral norm (Miyato et al. 2018); a score for each patch and step (Isola et al. 2017).

    Frames of 32 pixels and more are halved in size first: motion and edges survive that, and the cost is a quarter.
    Smaller ones, of at least 8 pixels, are not. On the processor small grids and short clips are judged in float32:
    oneDNN's bfloat16 convolutions in 3-D are not safe on them (torch 2.13).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        widths = [in_channels, channels, 2 * channels, 4 * channels]
        strides = [(1, 2, 2), (1, 2, 2), (1, 1, 1)]
        kernels = [(3, 4, 4), (3, 4, 4), (3, 3, 3)]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv3d(widths[i], widths[i + 1], kernels[i], strides[i], padding=1)) for i in range(3)
        )
        self.score = spectral_norm(nn.Conv3d(widths[-1], 1, 3, padding=1))

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (B, T, h, w), above 0 for real, of `frames` (B, T, C, H, W), and the features of each layer."""
        hidden = frames.transpose(1, 2)  # (B, C, T, H, W)
        if min(frames.shape[-2:]) >= HALVED_FROM:
            hidden = F.avg_pool3d(hidden, (1, 2, 2))
        features = []
        with _safe_precision(hidden):
            for layer in self.layers:
                hidden = F.leaky_relu(layer(hidden), 0.2)
                features.append(hidden)
            scores = self.score(hidden)[:, 0].float()
        return scores, features


def _safe_precision(hidden: Tensor) -> AbstractContextManager[object]:
    """Float32 where the convolutions of `hidden` (B, C, T, H, W) are not safe in less, else what is asked for."""
    if hidden.device.type != "cpu" or (min(hidden.shape[-2:]) >= SAFE_SIDE and hidden.shape[2] >= SAFE_STEPS):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)
