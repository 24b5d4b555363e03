"""Tells predicted motion from real: a patch discriminator over space and time, for losses.Adversary; no generator."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

HALVED_FROM = 32  # pixels


class Discriminator(nn.Module):
    """3-D convolutions with spectral norm (Miyato et al. 2018); a score for each patch and step (Isola et al. 2017).

    Frames of 32 pixels and more are halved in size first: motion and edges survive that, and the cost is a quarter.
    Smaller ones, of at least 8 pixels, are not: on a grid of 2 x 2 oneDNN's bfloat16 convolution with a kernel of 4
    writes beyond its memory (torch 2.13).
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
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            features.append(hidden)
        return self.score(hidden)[:, 0].float(), features
