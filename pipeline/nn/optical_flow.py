"""Optical flow between two frames, estimated in torch: dense Lucas-Kanade from coarse to fine, on any device.

As in Bouguet's pyramidal form (2001), but for every pixel at once: each level of a pyramid takes the flow of the
coarser one, warps the earlier frame by it, and solves for what is missing by least squares over a window.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nn.layers import warp

LEAST_SIDE = 8  # of the coarsest level, pixels
MOST_LEVELS = 4  # so that what a pixel's flow depends on stays near it; motion up to some 15 pixels is found
WINDOW_RADIUS, SMOOTHING_RADIUS = 2, 1  # pixels
LARGEST_UPDATE = 1.0  # pixels of a level: beyond it the linear model does not hold
DAMPING = 0.01  # added to the diagonal: without texture the flow stays the coarser level's (Levenberg-Marquardt)
OUTLIER = 0.2  # difference of frames, in [-1, 1], at which a pixel counts half (Cauchy weights, Black & Anandan 1996)


@torch.no_grad()
def backward_flow(first: Tensor, second: Tensor) -> Tensor:
    """Where each pixel of `second` was in `first`, both (N, C, H, W) in [-1, 1]: (N, 2, H, W), pixels right and down.

    So warp(first, flow) is about `second`. Colours count by their mean. Float32 under autocast too; no gradient.
    """
    flow: Tensor | None = None
    levels = [_pyramid(frames.float().mean(dim=1, keepdim=True)) for frames in (first, second)]
    for level, (coarse_first, coarse_second) in reversed(list(enumerate(zip(*levels, strict=True)))):
        height, width = coarse_second.shape[-2:]
        if flow is None:
            flow = torch.zeros_like(coarse_second).expand(-1, 2, -1, -1)
        else:
            flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
        flow = _window_mean(flow + _update(coarse_first, coarse_second, flow), SMOOTHING_RADIUS)
        if level and torch.onnx.is_in_onnx_export():
            flow = flow * _has_coarser(levels[1][level - 1])
    assert flow is not None
    return flow


def _has_coarser(image: Tensor) -> Tensor:
    """Whether a pyramid goes on below `image`, 1 or 0: a recorded graph has all levels, and takes no flow from some."""
    sides = torch.stack([torch.as_tensor(side) for side in image.shape[-2:]])
    return (sides.min() >= 2 * LEAST_SIDE).to(image.dtype)


def _pyramid(image: Tensor) -> list[Tensor]:
    """`image` (N, 1, H, W) and its halves, from fine to coarse."""
    levels = [image]
    while len(levels) < MOST_LEVELS and (
        torch.onnx.is_in_onnx_export() or min(levels[-1].shape[-2:]) >= 2 * LEAST_SIDE
    ):
        height, width = levels[-1].shape[-2:]
        levels.append(F.avg_pool2d(F.pad(levels[-1], (0, width % 2, 0, height % 2), mode="replicate"), 2))
    return levels


def _update(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """What is missing in `flow` (N, 2, H, W) between two images (N, 1, H, W): one step of Gauss-Newton."""
    warped = warp(first, flow)
    x, y = _gradient((warped + second) / 2)
    error = second - warped
    weight = 1 / (1 + (error / OUTLIER).square())
    weighted_x, weighted_y = weight * x, weight * y
    products = torch.cat(
        [weighted_x * x, weighted_x * y, weighted_y * y, weighted_x * error, weighted_y * error], dim=1
    )
    xx, xy, yy, x_error, y_error = _window_mean(products, WINDOW_RADIUS).unbind(dim=1)
    xx, yy = xx + DAMPING, yy + DAMPING
    determinant = xx * yy - xy * xy  # at least DAMPING², by Cauchy and Schwarz
    update = torch.stack([yy * x_error - xy * y_error, xx * y_error - xy * x_error], dim=1) / determinant[:, None]
    return update.clamp(-LARGEST_UPDATE, LARGEST_UPDATE)


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of `image` (N, 1, H, W) to the right and down."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def _window_mean(images: Tensor, radius: int) -> Tensor:
    """The mean of `images` (N, C, H, W) over a square window around each pixel.

    Shifted sums, rows then columns: on the processor six times as fast as avg_pool2d.
    """
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    for dim in (-2, -1):
        size = images.shape[dim]
        sums = padded.narrow(dim, 0, size) + padded.narrow(dim, 1, size)
        for shift in range(2, 2 * radius + 1):
            sums += padded.narrow(dim, shift, size)
        padded = sums
    return padded.div_((2 * radius + 1) ** 2)
