"""Layers that several generators share: frames as a grid of patches and back, warping, an output's clamp."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS_LAST = torch.channels_last


def to_grid(frames: Tensor, patch_size: int) -> Tensor:
    """Frames (B, T, C, H, W) as a grid of patches, time first: (T * B, C * patch_size², h, w), channels-last.

    h = ceil(H / patch_size), likewise w: what is missing on the right and at the bottom repeats the edge. Time first,
    so that one step of all sequences is one block of memory.
    """
    frames = frames.transpose(0, 1).flatten(0, 1)  # (T*B, C, H, W)
    missing_rows, missing_columns = (-frames.shape[-2] % patch_size, -frames.shape[-1] % patch_size)
    if missing_rows or missing_columns:
        frames = F.pad(frames, (0, missing_columns, 0, missing_rows), mode="replicate")
    return channels_last(F.pixel_unshuffle(frames, patch_size))


def to_frames(grid: Tensor, patch_size: int, batch_size: int, size: tuple[int, int]) -> Tensor:
    """The inverse of to_grid: (T * B, C * patch_size², h, w) to (B, T, C, H, W), cropped to `size` (H, W)."""
    return to_pixels(grid, patch_size, size).unflatten(0, (-1, batch_size)).transpose(0, 1)


def to_pixels(grid: Tensor, patch_size: int, size: tuple[int, int]) -> Tensor:
    """Patches (N, C * patch_size², h, w) as images (N, C, H, W), cropped to `size` (H, W)."""
    return F.pixel_shuffle(grid, patch_size)[..., : size[0], : size[1]]


def channels_last(images: Tensor) -> Tensor:
    """The same (N, C, H, W) with channels innermost in memory, the layout in which convolutions run without copies."""
    return images.contiguous(memory_format=CHANNELS_LAST)


def empty_grid(like: Tensor, channels: int) -> Tensor:
    """An uninitialised grid of the type and shape of `like` (N, …, h, w), with `channels` channels; channels-last."""
    shape = (len(like), channels, *like.shape[2:])
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=CHANNELS_LAST)


def same_conv(in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps height and width; `kernel_size` must be odd."""
    assert kernel_size % 2 == 1, f"kernel_size must be odd (got {kernel_size})"
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
    return conv.to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload]


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """`images` (N, C, H, W) warped backward: pixel (x, y) is read at (x, y) + flow[:, :, y, x], between pixels too.

    `flow` is (N, 2, H, W), pixels to the right and down. Beyond the border, the border's pixel goes on. Raises
    FloatingPointError where the flow is not a number and a backward pass may follow on the processor.
    """
    _refuse_nan(flow)
    # grid_sample counts from -1 at the left edge of the first pixel to 1 at the right edge of the last
    height, width = images.shape[-2:]
    x = (2 * torch.arange(width, device=images.device) + 1) / width - 1
    y = (2 * torch.arange(height, device=images.device) + 1) / height - 1
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (H, W, 2)
    sources = pixels + flow.movedim(1, -1) * torch.tensor([2 / width, 2 / height], device=images.device)
    return F.grid_sample(images, sources, padding_mode="border", align_corners=False)


def _refuse_nan(flow: Tensor) -> None:
    """Before grid_sample: it reads NaN as the border, so that nothing tells; its backward pass ends the process.

    So it is with torch 2.13 on the processor. A tensor without content, by which memory is estimated, is a subclass.
    """
    if flow.requires_grad and flow.device.type == "cpu" and type(flow) is Tensor and flow.detach().sum().isnan():
        raise FloatingPointError("a flow is not a number")


def clamp(frames: Tensor) -> Tensor:
    """`frames` cut off at [-1, 1], with a gradient beyond that leads back inside, where torch.clamp's is 0.

    For output layers, rather than tanh: on a black background that is driven so far into saturation that its gradient
    is 0 in float32, and all pictures stay black. Black is exact with this one, too.
    """
    return _Clamp.apply(frames)


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, frames: Tensor) -> Tensor:
        ctx.save_for_backward(frames)
        return frames.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (frames,) = ctx.saved_tensors
        # a step goes against the gradient: what would lead further out is dropped
        return grad_output.masked_fill((frames.abs() > 1) & (frames * grad_output < 0), 0)
