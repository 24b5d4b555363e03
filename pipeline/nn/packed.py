"""Convolutions that are called step after step with the same weights; for ways back written out, not for autograd.

oneDNN brings the weights into an order of its own at every call, which takes a twelfth of the time of one step of a
recurrence. Within PackedWeights they stay in that order, and a result is added to what is there without a pass over
memory. Elsewhere, and where there is no oneDNN (CUDA, float64), these are torch's convolutions.
"""

from contextvars import ContextVar, Token
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nn.layers import CHANNELS_LAST, channels_last

aten, mkldnn = torch.ops.aten, torch.ops.mkldnn
Channels = tuple[int, int]  # [start, stop)


def convolution_type(grid: Tensor) -> torch.dtype:
    """The type in which `grid` is convolved: what autocast says, if it is on and not float64, which it leaves alone."""
    kind = grid.device.type
    lower = torch.is_autocast_enabled(kind) and grid.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if lower else grid.dtype


def convolve(grid: Tensor, weight: Tensor, bias: Tensor | None = None, *, channels: Channels | None = None) -> Tensor:
    """A convolution (N, C, h, w) to (N, D, h, w), or to some `channels` of that; in convolution_type."""
    dtype = convolution_type(grid)
    kernel = _kernel(weight, channels, grid, dtype, back=False)
    return _call(grid.to(dtype), kernel, None if bias is None else _part(bias, channels).to(dtype))


def add_convolution(sums: Tensor, grid: Tensor, weight: Tensor, *, channels: Channels | None = None) -> None:
    """Add to `sums`, dense and channels-last, what convolve gives, in their type."""
    kernel = _kernel(weight, channels, grid, sums.dtype, back=False)
    if kernel.is_mkldnn:
        _call_onto(sums, grid.to(sums.dtype), kernel)
    else:
        sums.add_(_call(grid.to(sums.dtype), kernel, None))


def of_input(of_output: Tensor, weight: Tensor, *, channels: Channels | None = None) -> Tensor:
    """The gradient by what was convolved (N, C, h, w), from that by what came out: all D, or some `channels` of it."""
    return _call_back(of_output, _kernel(weight, channels, of_output, of_output.dtype, back=True))


def add_of_input(sums: Tensor, of_output: Tensor, weight: Tensor, *, channels: Channels | None = None) -> None:
    """Add what of_input gives to `sums`, dense, channels-last and of the same type."""
    kernel = _kernel(weight, channels, of_output, of_output.dtype, back=True)
    if kernel.is_mkldnn:
        _call_onto(sums, of_output, kernel)
    else:
        sums.add_(_call_back(of_output, kernel))


def of_weights(of_output: Tensor, grid: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """The gradients by the weights and a bias of a convolution of `grid` (N, C, h, w), in its type."""
    shape = (of_output.shape[1], grid.shape[1], kernel_size, kernel_size)
    weight = torch.empty(shape, dtype=grid.dtype, device=grid.device, memory_format=CHANNELS_LAST)  # only for its shape
    padding = [kernel_size // 2] * 2
    _, of_weight, of_bias = aten.convolution_backward(
        of_output, grid, weight, [len(weight)], [1, 1], padding, [1, 1], False, [0, 0], 1, [False, True, True]
    )
    return of_weight, of_bias


class PackedWeights:
    """While it is entered, weights are taken to stay; what was made of them is kept while this object lives.

    To be entered around calls of a model between which nothing changes its weights, once or again and again. That
    nothing does cannot be seen: torch's fused optimizers leave no trace in a tensor's version.
    """

    def __init__(self) -> None:
        self.kernels: dict[_Use, tuple[Tensor, Tensor]] = {}  # with the weight, so that none other comes to lie there
        self.before: list[Token[PackedWeights | None]] = []

    def __enter__(self) -> Self:
        self.before.append(_fixed.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _fixed.reset(self.before.pop())


# where a weight lies and its shape, which channels, back or not, in what type, on what grids
_Use = tuple[int, torch.Size, Channels | None, bool, torch.dtype, torch.Size]
_fixed: ContextVar[PackedWeights | None] = ContextVar("fixed weights", default=None)


def _kernel(weight: Tensor, channels: Channels | None, grid: Tensor, dtype: torch.dtype, *, back: bool) -> Tensor:
    """The weights of some output channels in `dtype`; in oneDNN's order, an is_mkldnn tensor, where that pays.

    It does within PackedWeights. Those for the way `back` are then turned: a convolution's transpose is the convolution
    with the kernel turned by 180° and its ends exchanged.
    """
    assert not torch.is_grad_enabled(), "autograd does not see through this"
    fixed = _fixed.get()
    if fixed is None:
        return _part(weight, channels).to(dtype)
    use = (weight.data_ptr(), weight.shape, channels, back, dtype, grid.shape)
    found = fixed.kernels.get(use)
    if found is not None:
        return found[1]
    kernel = _part(weight, channels).to(dtype)
    if _has_onednn(grid, dtype):
        if back:
            kernel = kernel.transpose(0, 1).flip(2, 3)
        padding = [kernel.shape[-1] // 2] * 2
        kernel = mkldnn._reorder_convolution_weight(channels_last(kernel), padding, [1, 1], [1, 1], 1, list(grid.shape))
    fixed.kernels[use] = weight, kernel
    return kernel


def _part(weight: Tensor, channels: Channels | None) -> Tensor:
    return weight if channels is None else weight[slice(*channels)]


def _has_onednn(grid: Tensor, dtype: torch.dtype) -> bool:
    # a tensor without content, by which memory is estimated, is a subclass
    if grid.device.type != "cpu" or type(grid) is not Tensor:
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported())


def _call(grid: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    padding = [kernel.shape[-1] // 2] * 2
    if not kernel.is_mkldnn:
        return F.conv2d(grid, kernel, bias, padding=padding)
    return mkldnn._convolution_pointwise(
        channels_last(grid), kernel, bias, padding, [1, 1], [1, 1], 1, "none", [], None
    )


def _call_back(of_output: Tensor, kernel: Tensor) -> Tensor:
    if kernel.is_mkldnn:  # it has been turned
        return _call(of_output, kernel, None)
    return F.conv_transpose2d(of_output, kernel, padding=kernel.shape[-1] // 2)


def _call_onto(sums: Tensor, grid: Tensor, kernel: Tensor) -> None:
    padding = [kernel.shape[-1] // 2] * 2
    mkldnn._convolution_pointwise_.binary(
        sums, channels_last(grid), kernel, None, padding, [1, 1], [1, 1], 1, "add", 1.0, None, [], None
    )
