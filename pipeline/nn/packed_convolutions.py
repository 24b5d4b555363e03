"""Convolutions, and their gradients, that are called step after step with the same weights: packed once, used often.

oneDNN brings the weights into an order of its own at every call, which takes a twelfth of the time of one step of a
recurrence. Within PackedWeights they stay in that order, and a result is added to what is there without a pass over
memory; in float32, without AVX-512, the larger ones are Winograd's (winograd.py), whose weights are transformed once.
Elsewhere, and where there is no oneDNN (CUDA, float64), these are torch's convolutions. They are for hand-written
backward passes: autograd does not see through them.
"""

from contextvars import ContextVar, Token
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.nn import fast_path
from pipeline.nn.layers import CHANNELS_LAST, channels_last
from pipeline.nn.winograd import (
    WinogradKernel,
    winograd_convolve,
    winograd_convolve_onto,
    winograd_kernel,
    winograd_pays,
    winograd_weight_grad,
)

Channels = tuple[int, int]  # [start, stop)
CHECK = False  # whether every PackedWeights checks its weights; a debug mode, on in the tests


def convolution_dtype(grid: Tensor) -> torch.dtype:
    """The type in which `grid` is convolved: what autocast says, if it is on and not float64, which it leaves alone."""
    kind = grid.device.type
    lower = torch.is_autocast_enabled(kind) and grid.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if lower else grid.dtype


def convolve(grid: Tensor, weight: Tensor, bias: Tensor | None = None, *, channels: Channels | None = None) -> Tensor:
    """A convolution (N, C, h, w) to (N, D, h, w), or to some `channels` of that; in convolution_dtype."""
    dtype = convolution_dtype(grid)
    kernel = _kernel(weight, channels, grid, dtype, transposed=False)
    return _convolve(grid.to(dtype), kernel, None if bias is None else _part(bias, channels).to(dtype))


def add_convolution(sums: Tensor, grid: Tensor, weight: Tensor, *, channels: Channels | None = None) -> None:
    """Add to `sums`, dense and channels-last, what convolve returns, in their type."""
    kernel = _kernel(weight, channels, grid, sums.dtype, transposed=False)
    if _packed(kernel):
        _convolve_onto(sums, grid.to(sums.dtype), kernel)
    else:
        sums.add_(_convolve(grid.to(sums.dtype), kernel, None))


def conv_input_grad(grad_output: Tensor, weight: Tensor, *, channels: Channels | None = None) -> Tensor:
    """The gradient w.r.t. a convolution's input (N, C, h, w).

    `grad_output` is that w.r.t. its output (N, D, h, w), or w.r.t. some `channels` of it.
    """
    return _convolve_transposed(grad_output, _kernel(weight, channels, grad_output, grad_output.dtype, transposed=True))


def add_conv_input_grad(sums: Tensor, grad_output: Tensor, weight: Tensor, *, channels: Channels | None = None) -> None:
    """Add what conv_input_grad returns to `sums`, dense, channels-last and of the same type."""
    kernel = _kernel(weight, channels, grad_output, grad_output.dtype, transposed=True)
    if _packed(kernel):
        _convolve_onto(sums, grad_output, kernel)
    else:
        sums.add_(_convolve_transposed(grad_output, kernel))


def conv_weight_grad(grad_output: Tensor, grid: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """The gradients w.r.t. the weight and the bias of a convolution of `grid` (N, C, h, w), in its type."""
    shape = (grad_output.shape[1], grid.shape[1], kernel_size, kernel_size)
    if _winograd(grid, torch.Size(shape), grid.dtype):
        return winograd_weight_grad(grad_output, grid, kernel_size), grad_output.sum(dim=(0, 2, 3))
    weight = torch.empty(shape, dtype=grid.dtype, device=grid.device, memory_format=CHANNELS_LAST)  # only for its shape
    padding = [kernel_size // 2] * 2
    _, grad_weight, grad_bias = fast_path.convolution_backward(
        grad_output, grid, weight, [len(weight)], [1, 1], padding, [1, 1], False, [0, 0], 1, [False, True, True]
    )
    return grad_weight, grad_bias


class PackedWeights:
    """While it is entered, weights are taken to stay as they are; their packed form is kept while this object lives.

    To be entered around calls of a model between which nothing changes its weights, once or again and again. A change
    cannot be seen cheaply: torch's fused optimizers leave no trace in a tensor's version. With `check` (None: as the
    module's CHECK says) each weight is compared, whenever its packed form is used, with a copy of what was packed:
    AssertionError where it has changed.
    """

    def __init__(self, check: bool | None = None) -> None:
        self.check = CHECK if check is None else check
        self.kernels: dict[_Use, _Packed] = {}
        self._outer: list[Token[PackedWeights | None]] = []

    def __enter__(self) -> Self:
        self._outer.append(_entered.set(self))
        return self

    def __exit__(self, *error: object) -> None:
        _entered.reset(self._outer.pop())


class _Packed(NamedTuple):
    """The packed form of a weight."""

    kernel: "_Kernel"
    weight: Tensor  # held, so that none other comes to lie at its address
    copy: Tensor | None  # of the weight as it was packed, to check against

    def assert_fresh(self) -> None:
        fresh = self.copy is None or torch.equal(self.weight, self.copy)
        shape = tuple(self.weight.shape)
        assert fresh, f"a weight {shape} has changed while it was packed: leave PackedWeights before weights change"


_Kernel = Tensor | WinogradKernel
# where a weight lies and its shape, which channels, transposed or not, in what type, for grids of what shape
_Use = tuple[int, torch.Size, Channels | None, bool, torch.dtype, torch.Size]
_entered: ContextVar[PackedWeights | None] = ContextVar("packed weights", default=None)


def _kernel(
    weight: Tensor, channels: Channels | None, grid: Tensor, dtype: torch.dtype, *, transposed: bool
) -> _Kernel:
    """The weight of some output channels in `dtype`; in oneDNN's order, is_mkldnn, or Winograd's, where that pays.

    It does within PackedWeights. A packed weight for the `transposed` convolution is turned: the transpose of a
    convolution is the convolution with the kernel turned by 180° and its input and output channels exchanged.
    """
    assert not torch.is_grad_enabled(), "autograd does not see through this"
    packed_weights = _entered.get()
    if packed_weights is None:
        return _part(weight, channels).to(dtype)
    use = (weight.data_ptr(), weight.shape, channels, transposed, dtype, grid.shape)
    packed = packed_weights.kernels.get(use)
    if packed is None:
        plain = _part(weight, channels).to(dtype)
        packable = fast_path.packing_available(grid, dtype)
        kernel = _pack(plain, grid, transposed=transposed) if packable else plain
        # a tensor without content, by which memory is estimated, cannot be compared
        check = packed_weights.check and type(grid) is Tensor
        packed = packed_weights.kernels[use] = _Packed(kernel, weight, weight.clone() if check else None)
    packed.assert_fresh()
    return packed.kernel


def _pack(kernel: Tensor, grid: Tensor, *, transposed: bool) -> _Kernel:
    if transposed:
        kernel = kernel.transpose(0, 1).flip(2, 3)
    if _winograd(grid, kernel.shape, kernel.dtype):
        return winograd_kernel(kernel)
    padding = [kernel.shape[-1] // 2] * 2
    return fast_path.reorder_convolution_weight(channels_last(kernel), padding, [1, 1], [1, 1], 1, list(grid.shape))


def _winograd(grid: Tensor, weight_shape: torch.Size, dtype: torch.dtype) -> bool:
    """Whether a convolution of `grid` with a weight (D, C, r, r), or the weight's gradient, is Winograd's."""
    if dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not fast_path.packing_available(grid, dtype):
        return False
    return fast_path.products_outrun_convolutions() and winograd_pays(grid.shape, weight_shape)


def _packed(kernel: _Kernel) -> bool:
    return isinstance(kernel, WinogradKernel) or kernel.is_mkldnn


def _part(weight: Tensor, channels: Channels | None) -> Tensor:
    return weight if channels is None else weight[slice(*channels)]


def _convolve(grid: Tensor, kernel: _Kernel, bias: Tensor | None) -> Tensor:
    if isinstance(kernel, WinogradKernel):
        return winograd_convolve(grid, kernel, bias)
    padding = [kernel.shape[-1] // 2] * 2
    if not kernel.is_mkldnn:
        return F.conv2d(grid, kernel, bias, padding=padding)
    return fast_path.onednn_convolution(channels_last(grid), kernel, bias, padding, [1, 1], [1, 1], 1, "none", [], None)


def _convolve_transposed(grad_output: Tensor, kernel: _Kernel) -> Tensor:
    if isinstance(kernel, WinogradKernel) or kernel.is_mkldnn:  # it has been turned
        return _convolve(grad_output, kernel, None)
    return F.conv_transpose2d(grad_output, kernel, padding=kernel.shape[-1] // 2)


def _convolve_onto(sums: Tensor, grid: Tensor, kernel: _Kernel) -> None:
    if isinstance(kernel, WinogradKernel):
        winograd_convolve_onto(sums, grid, kernel)
        return
    padding = [kernel.shape[-1] // 2] * 2
    fast_path.onednn_convolution_onto(
        sums, channels_last(grid), kernel, None, padding, [1, 1], [1, 1], 1, "add", 1.0, None, [], None
    )
