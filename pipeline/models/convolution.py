"""Convolutions that are called step after step with the same weights; not for autograd, but for ways back written out.

oneDNN brings the weights into an order of its own at every call, which takes a twelfth of the time of one step of a
recurrence. Within FixedWeights they stay in that order, and a result is added to what is there without a pass over
memory. Elsewhere, and where there is no oneDNN (CUDA, float64), these are torch's convolutions.
"""

from contextvars import ContextVar, Token
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.models.layers import channels_last

aten, mkldnn = torch.ops.aten, torch.ops.mkldnn


def convolve(grid: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution (N, C, h, w) to (N, D, h, w), in the type that autocast says, else that of `grid`."""
    dtype = _dtype(grid)
    packed = _packed(weight, grid, dtype, None)
    if packed is None:
        return F.conv2d(grid, weight, bias, padding=weight.shape[-1] // 2)
    return _call(grid.to(dtype), packed, None if bias is None else bias.to(dtype))


def add_convolution(sums: Tensor, grid: Tensor, weight: Tensor) -> None:
    """Add to `sums` (N, D, h, w), channels-last, the convolution of `grid` (N, C, h, w), in the type of `sums`."""
    packed = _packed(weight, grid, sums.dtype, None)
    if packed is None:
        sums.add_(F.conv2d(grid.to(sums.dtype), weight.to(sums.dtype), padding=weight.shape[-1] // 2))
    else:
        _call_onto(sums, grid.to(sums.dtype), packed)


def of_input(of_output: Tensor, weight: Tensor, rows: tuple[int, int] | None = None) -> Tensor:
    """The gradient by what was convolved, from that by what came out: all, or the channels [start, stop) of it."""
    packed = _packed(weight, of_output, of_output.dtype, rows or (0, len(weight)))
    if packed is None:
        part = weight if rows is None else weight[slice(*rows)]
        return F.conv_transpose2d(of_output, part.to(of_output.dtype), padding=weight.shape[-1] // 2)
    return _call(of_output, packed, None)


def add_of_input(sums: Tensor, of_output: Tensor, weight: Tensor, rows: tuple[int, int] | None = None) -> None:
    """Add it to `sums`, channels-last and of the same type."""
    packed = _packed(weight, of_output, of_output.dtype, rows or (0, len(weight)))
    if packed is None:
        sums.add_(of_input(of_output, weight, rows))
    else:
        _call_onto(sums, of_output, packed)


def of_weights(of_output: Tensor, grid: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """The gradients by the weights and a bias, in float32, of a convolution of `grid` (N, C, h, w)."""
    weight = grid.new_empty(of_output.shape[1], grid.shape[1], kernel_size, kernel_size)  # only its shape is read
    padding = [kernel_size // 2] * 2
    _, gradient, of_bias = aten.convolution_backward(
        of_output,
        grid,
        channels_last(weight),
        [len(weight)],
        [1, 1],
        padding,
        [1, 1],
        False,
        [0, 0],
        1,
        [False, True, True],
    )
    return gradient.float(), of_bias.float()


class FixedWeights:
    """While it is entered, weights are taken to stay as they are, and what oneDNN made of them is kept for its life.

    To be entered around calls of a model between which nothing changes its weights, once or again and again. That
    nothing does cannot be seen: torch's fused optimizers leave no trace in a tensor's version.
    """

    def __init__(self) -> None:
        self.kernels: dict[_Use, tuple[Tensor, Tensor]] = {}  # the weight, so that its id is not used again
        self.before: list[Token[FixedWeights | None]] = []

    def __enter__(self) -> Self:
        self.before.append(_fixed.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _fixed.reset(self.before.pop())


_Use = tuple[int, tuple[int, int] | None, torch.dtype, torch.Size]  # of which weight, what for, on what
_fixed: ContextVar[FixedWeights | None] = ContextVar("fixed weights", default=None)


def _packed(weight: Tensor, grid: Tensor, dtype: torch.dtype, rows: tuple[int, int] | None) -> Tensor | None:
    """The weights in oneDNN's order; None where it has no part, or where it is not worth while.

    Of the rows [start, stop), if given, those of the way back: a convolution's transpose is the convolution with the
    kernel turned by 180° and its ends exchanged.
    """
    fixed = _fixed.get()
    if fixed is None or not _has_onednn(grid, dtype):
        return None
    use = (id(weight), rows, dtype, grid.shape)
    if use not in fixed.kernels:
        values = weight.detach().to(dtype)
        if rows is not None:
            values = values[slice(*rows)].transpose(0, 1).flip(2, 3)
        padding = [weight.shape[-1] // 2] * 2
        kernel = mkldnn._reorder_convolution_weight(channels_last(values), padding, [1, 1], [1, 1], 1, list(grid.shape))
        fixed.kernels[use] = weight, kernel
    return fixed.kernels[use][1]


def _has_onednn(grid: Tensor, dtype: torch.dtype) -> bool:
    # a tensor without content, by which memory is estimated, is a subclass
    if grid.device.type != "cpu" or type(grid) is not Tensor or not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and mkldnn._is_mkldnn_bf16_supported())


def _dtype(grid: Tensor) -> torch.dtype:
    kind = grid.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else grid.dtype


def _call(grid: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    padding = [kernel.shape[-1] // 2] * 2
    return mkldnn._convolution_pointwise(
        channels_last(grid), kernel, bias, padding, [1, 1], [1, 1], 1, "none", [], None
    )


def _call_onto(sums: Tensor, grid: Tensor, kernel: Tensor) -> None:
    padding = [kernel.shape[-1] // 2] * 2
    mkldnn._convolution_pointwise_.binary(
        sums, channels_last(grid), kernel, None, padding, [1, 1], [1, 1], 1, "add", 1.0, None, [], None
    )
