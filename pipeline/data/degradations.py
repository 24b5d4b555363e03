"""What turns a clean frame into the source of a translation: the maps whose inverse a generator is to learn.

Every map takes frames (B, T, C, H, W) in [-1, 1] to frames of the same shape and range, on the 256 levels of 8 bits, as
if a file held them, and each frame on its own: one call over T frames equals T calls of one. What is random is drawn
from the seed and a number that names the frame, so that a frame is degraded the same way whichever clip it is in.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.color import LUMA, luma
from pipeline.errors import DataError

Map = Callable[[Tensor, float, Tensor], Tensor]  # images (N, C, H, W), strength, one seed per image (N,)

BLOCK = 8  # pixels: side of a JPEG block, and of a block that `masked` takes away
ALIGNMENT = BLOCK  # pixels: a crop that begins at a multiple of it is degraded as the whole frame is
MARGIN = 16  # pixels around a crop that its degradation can depend on, at the strengths that params.py allows


def degrade(frames: Tensor, degradation: str, strength: float, seed: int, numbers: NDArray[np.int64]) -> Tensor:
    """`frames` (B, T, C, H, W) in [-1, 1] after the map called `degradation`.

    `numbers` (B, T, …) are one or more whole numbers, not negative, that name each frame; with `seed` they decide what
    is random. Raises DataError where the frames do not allow the map: no colour to take away.
    """
    channels = frames.shape[2]
    if degradation in NEED_COLOR and channels != 3:
        raise DataError(f"translate.degradation {degradation}: needs colour (extract.color: rgb), the frames are gray")
    seeds = [image_seed(seed, number) for number in numbers.reshape(frames.shape[0] * frames.shape[1], -1)]
    images = DEGRADATIONS[degradation](frames.flatten(0, 1), strength, torch.tensor(seeds))
    return to_levels(images).unflatten(0, frames.shape[:2])


def image_seed(seed: int, number: NDArray[np.int64]) -> int:
    """A seed for the frame that `number` (one or more whole numbers) names, without a pattern between neighbours."""
    entropy = [seed & 0xFFFFFFFF, *(int(part) for part in number)]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint32)[0])


def to_levels(images: Tensor) -> Tensor:
    """The nearest of the 256 levels that a byte has, in [-1, 1]."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


def edges(images: Tensor, strength: float, _: Tensor) -> Tensor:
    """White outlines on black, the gradient of brightness (Sobel) after a blur of `strength` pixels."""
    smooth = F.pad(gaussian(luma(images), strength), (1, 1, 1, 1), mode="replicate")
    sobel = smooth.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    gradient = F.conv2d(smooth, torch.stack([sobel, sobel.T])[:, None])  # (N, 2, H, W)
    # a step of an eighth of the range within two pixels is a clear line
    lines = torch.tanh(8 * gradient.square().sum(dim=1, keepdim=True).sqrt())
    return (2 * lines - 1).expand_as(images)


def grey(images: Tensor, strength: float, _: Tensor) -> Tensor:
    """The share `strength` of the colour taken away; 1: grey."""
    return images.lerp(luma(images).expand_as(images), strength)


def low_resolution(images: Tensor, strength: float, _: Tensor) -> Tensor:
    """`strength` times smaller, then brought to the old size by bicubic interpolation: what was there is lost."""
    height, width = images.shape[-2:]
    small = (max(1, round(height / strength)), max(1, round(width / strength)))
    return bicubic(to_levels(bicubic(images, small)), (height, width))


def noise(images: Tensor, strength: float, seeds: Tensor) -> Tensor:
    """White Gaussian noise of standard deviation `strength`, in levels of 255, on every pixel and channel."""
    drawn = [torch.randn(images.shape[1:], generator=generator) for generator in generators(seeds)]
    return images + torch.stack(drawn).to(images) * (strength / 127.5)


def blur(images: Tensor, strength: float, _: Tensor) -> Tensor:
    """A Gaussian of standard deviation `strength` pixels, as of a lens out of focus."""
    return gaussian(images, strength)


def compression(images: Tensor, strength: float, _: Tensor) -> Tensor:
    """What JPEG of quality `strength` (1 to 100) leaves: the DCT of 8 x 8 blocks, rounded; colour is not subsampled."""
    height, width = images.shape[-2:]
    padded = F.pad(images * 127.5, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    if images.shape[1] == 3:
        padded = torch.einsum("nchw,dc->ndhw", padded, padded.new_tensor(TO_YCBCR))
    blocks = padded.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK))  # (N, C, h, 8, w, 8)
    dct = dct_matrix().to(padded)
    steps = quantisation(strength, images.shape[1]).to(padded)  # (C, 8, 8)
    coefficients = torch.einsum("nchiwj,ui,vj->nchwuv", blocks, dct, dct)
    rounded = (coefficients / steps[:, None, None]).round() * steps[:, None, None]
    decoded = torch.einsum("nchwuv,ui,vj->nchiwj", rounded, dct, dct).flatten(4).flatten(2, 3)
    if images.shape[1] == 3:
        decoded = torch.einsum("nchw,dc->ndhw", decoded, torch.linalg.inv(decoded.new_tensor(TO_YCBCR)))
    return decoded[..., :height, :width] / 127.5


def masked(images: Tensor, strength: float, seeds: Tensor) -> Tensor:
    """The share `strength` of the picture lost: blocks of 8 x 8 pixels are mid-grey, each frame has its own."""
    height, width = images.shape[-2:]
    shape = (1, math.ceil(height / BLOCK), math.ceil(width / BLOCK))
    lost = torch.stack([torch.rand(shape, generator=generator) < strength for generator in generators(seeds)])
    lost = lost.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)[..., :height, :width]
    return images.masked_fill(lost.to(images.device), 0)


DEGRADATIONS: dict[str, Map] = {
    "edges": edges,
    "grey": grey,
    "low_resolution": low_resolution,
    "noise": noise,
    "blur": blur,
    "compression": compression,
    "masked": masked,
}
NEED_COLOR = {"grey"}

# JFIF: Y, Cb, Cr of R, G, B around mid-grey
TO_YCBCR = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
# ITU-T T.81, annex K, tables K.1 (brightness) and K.2 (colour): steps of the DCT's coefficients at quality 50
STEPS = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99",
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99" + 32 * " 99",
)


def quantisation(quality: float, channels: int) -> Tensor:
    """The steps (channels, 8, 8) of a JPEG of `quality`, scaled as the reference library does."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    tables = torch.tensor([[float(step) for step in table.split()] for table in STEPS])
    steps = (tables * percent / 100).round().clamp(1, 255).view(2, BLOCK, BLOCK)
    return steps[:1].repeat(channels, 1, 1) if channels != 3 else steps[[0, 1, 1]]


def dct_matrix() -> Tensor:
    """The orthonormal DCT-II of 8 samples: coefficients = matrix @ samples."""
    row, column = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None, :]
    matrix = torch.cos(math.pi * (2 * column + 1) * row / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    return torch.where(row == 0, math.sqrt(1 / BLOCK), matrix)


def gaussian(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) blurred by a Gaussian of `sigma` pixels, cut off at 3 sigma; edges are continued."""
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(images)
    channels = images.shape[1]
    padded = F.pad(images, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def bicubic(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) at `size` (height, width), filtered against aliasing where they shrink."""
    return F.interpolate(images, size=size, mode="bicubic", antialias=True)


def generators(seeds: Tensor) -> list[torch.Generator]:
    """One generator per seed, on the CPU, so that the numbers are the same on every device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
