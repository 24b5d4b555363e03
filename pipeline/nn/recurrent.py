"""Recurrent layers of convolutions over whole sequences, with their way back written out, and what that is made of.

What reads x is one convolution over all steps; only what reads h goes step by step. Autograd would join and copy the
gradients of the parts that a step is cut into, and add up the weights' gradient step by step: an eighth of the time of
a training step on a processor. Here gates and gradients are written where they are to lie, and the gradient by the
weights of x and h is one convolution over all steps and both: an eighth less time than two.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.nn.layers import CHANNELS_LAST, channels_last, empty_grid, same_conv
from pipeline.nn.packed import add_convolution, convolve, of_input, of_weights

aten = torch.ops.aten


class ConvLstmLayer(nn.Module):
    """A layer of convolutional long short-term memory (Shi et al. 2015, eq. 3, without peepholes)."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.from_input = same_conv(in_channels, 4 * hidden_channels, kernel_size)
        self.from_hidden = same_conv(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)
        # the forget gate begins open: remember, until training says otherwise
        self.from_input.bias = nn.Parameter((torch.arange(4 * hidden_channels) // hidden_channels == 1).float())

    def forward(
        self, grid: Tensor, batch_size: int, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Inputs (T * B, in_channels, h, w), time first, to hidden states (T * B, hidden_channels, h, w)."""
        outputs, cell = _ConvLstm.apply(grid, *weights(self), *(state or (None, None)), batch_size)
        return outputs, (outputs[-batch_size:], cell)


class ConvGru(nn.Module):
    """A gated recurrent unit of convolutions, without the reset gate (as Zhou et al. 2016, for half the arithmetic)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_input = same_conv(channels, 2 * channels, 3)
        self.from_hidden = same_conv(channels, 2 * channels, 3, bias=False)
        # the update gate begins nearly shut: remember, until training says otherwise
        self.from_input.bias = nn.Parameter(-(torch.arange(2 * channels) < channels).float())

    def forward(self, grid: Tensor, batch_size: int, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs (T * B, channels, h, w), time first, to the hidden states after each step, and the last of them."""
        outputs = _ConvGru.apply(grid, *weights(self), hidden, batch_size)
        return outputs, outputs[-batch_size:]


def weights(layer: ConvLstmLayer | ConvGru) -> tuple[Tensor, Tensor | None, Tensor]:
    """Of x, their bias, and of h."""
    return layer.from_input.weight, layer.from_input.bias, layer.from_hidden.weight


class _ConvLstm(torch.autograd.Function):
    """From x (T * B, in_channels, h, w): all h (T * B, D, h, w), and the last C; gates are i, f, g, o.

    h is of the gates' type; C is a sum of many steps, and stays in float32 under autocast.
    """

    @staticmethod
    def forward(
        ctx: Any,
        grid: Tensor,
        from_x: Tensor,
        bias: Tensor,
        from_h: Tensor,
        hidden: Tensor | None,
        cell: Tensor | None,
        batch_size: int,
    ) -> tuple[Tensor, Tensor]:
        gates, width = convolve(grid, from_x, bias), from_h.shape[1]
        hiddens = torch.empty_like(gates[:, :width], memory_format=CHANNELS_LAST)
        shown = torch.empty_like(hiddens)
        cells = torch.empty_like(hiddens, dtype=torch.float32)
        first = None if hidden is None else channels_last(hidden.to(gates.dtype))
        last, before = first, cell
        for step, c, th, h in zip(*(part.split(batch_size) for part in (gates, cells, shown, hiddens)), strict=True):
            if last is not None:
                add_convolution(step, last, from_h)
            torch.sigmoid_(step[:, : 2 * width])
            torch.sigmoid_(step[:, 3 * width :])
            i, f, g, o = step.chunk(4, dim=1)
            torch.mul(tanh_(g), i, out=c)
            if before is not None:
                c.addcmul_(f, before)
            th.copy_(tanh(c))
            torch.mul(o, th, out=h)
            last, before = h, c
        ctx.save_for_backward(grid.to(gates.dtype), gates, hiddens, cells, shown, from_x, from_h, first, cell)
        ctx.batch_size = batch_size
        return hiddens, cells[-batch_size:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_hiddens: Tensor, of_cell: Tensor) -> tuple[Tensor | None, ...]:
        grid, gates, hiddens, cells, shown, *kernels, first, cell = ctx.saved_tensors
        size = ctx.batch_size
        of_gates = torch.empty_like(gates)
        of_cell = channels_last(of_cell)
        of_last: Tensor | None = None
        for start in reversed(range(0, len(gates), size)):
            now = slice(start, start + size)
            here = gates[now].clone()  # one pass in the order of memory; its four parts lie interleaved
            i, f, g, o = here.chunk(4, dim=1)
            of_i, of_f, of_g, of_o = of_gates[now].chunk(4, dim=1)
            before = cells[start - size : start] if start else cell
            of_h = of_hiddens[now] if of_last is None else of_hiddens[now] + of_last
            torch.mul(of_h, shown[now], out=of_o)
            of_cell = of_cell + aten.tanh_backward(of_h * o, shown[now])
            of_c = of_cell.to(o.dtype)
            torch.mul(of_c, g, out=of_i)
            if before is None:
                of_f.zero_()
            else:
                of_f.copy_(of_cell * before)
            # all at once, which is one pass in the order of memory; that of g is written over
            of_sigmoid(of_gates[now], here, of_gates[now])
            of_tanh(of_c * i, g, of_g)
            of_cell = of_cell * f
            of_last = of_input(of_gates[now], kernels[1]) if start or first is not None else None
        return (
            *_of_inputs(ctx.needs_input_grad[0], of_gates, grid, hiddens, first, kernels, size),
            of_last,
            None if cell is None else of_cell,
            None,
        )


class _ConvGru(torch.autograd.Function):
    """From x (T * B, D, h, w): all h (T * B, D, h, w), in float32; gates are update and new."""

    @staticmethod
    def forward(
        ctx: Any, grid: Tensor, from_x: Tensor, bias: Tensor, from_h: Tensor, hidden: Tensor | None, batch_size: int
    ) -> Tensor:
        gates, width = convolve(grid, from_x, bias), from_h.shape[1]
        hiddens = torch.empty_like(gates[:, :width], dtype=torch.float32, memory_format=CHANNELS_LAST)
        last = hidden
        for step, h in zip(gates.split(batch_size), hiddens.split(batch_size), strict=True):
            if last is not None:
                add_convolution(step, last, from_h)
            update, new = torch.sigmoid_(step[:, :width]), tanh_(step[:, width:])
            if last is None:
                torch.mul(new, update, out=h)
            else:
                torch.lerp(last, new, update.float(), out=h)
            last = h
        ctx.save_for_backward(grid.to(gates.dtype), gates, hiddens, from_x, from_h, hidden)
        ctx.batch_size = batch_size
        return hiddens

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_hiddens: Tensor) -> tuple[Tensor | None, ...]:
        grid, gates, hiddens, *kernels, first = ctx.saved_tensors
        size = ctx.batch_size
        of_gates = torch.empty_like(gates)
        of_last: Tensor | None = None
        for start in reversed(range(0, len(gates), size)):
            now = slice(start, start + size)
            update, new = gates[now].chunk(2, dim=1)
            of_update, of_new = of_gates[now].chunk(2, dim=1)
            before = hiddens[start - size : start] if start else first
            of_h = of_hiddens[now] if of_last is None else of_hiddens[now] + of_last
            of_sigmoid((of_h * (new if before is None else new - before)).to(update.dtype), update, of_update)
            of_tanh((of_h * update).to(new.dtype), new, of_new)
            if before is not None:
                of_last = torch.addcmul(of_h, of_h, update, value=-1).add_(of_input(of_gates[now], kernels[1]))
        inputs = _of_inputs(ctx.needs_input_grad[0], of_gates, grid, hiddens, first, kernels, size)
        return *inputs, None if first is None else of_last, None


def tanh(values: Tensor) -> Tensor:
    """tanh in float32, to 1e-7, as 2σ(2x) - 1: a fifth of the time."""
    return torch.sigmoid(2 * values.float()).mul_(2).sub_(1)


def tanh_(values: Tensor) -> Tensor:
    """Put tanh in the place of `values`, which may be bfloat16, and give it in float32: in less than half the time."""
    result = tanh(values)
    values.copy_(result)
    return result


def of_sigmoid(gradient: Tensor, sigmoid: Tensor, out: Tensor) -> None:
    """Write the gradient by what `sigmoid` is the sigmoid of."""
    aten.sigmoid_backward.grad_input(gradient, sigmoid, grad_input=out)


def of_tanh(gradient: Tensor, tanh: Tensor, out: Tensor) -> None:
    """Write the gradient by what `tanh` is the tanh of."""
    aten.tanh_backward.grad_input(gradient, tanh, grad_input=out)


def _of_inputs(
    needed: bool,
    of_gates: Tensor,
    grid: Tensor,
    hiddens: Tensor,
    first: Tensor | None,
    kernels: list[Tensor],
    size: int,
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """The gradients by x, if `needed`, its kernel, its bias and the kernel of h, whose states begin at `first`."""
    of_both, of_bias = of_weights(of_gates, beside(grid, hiddens, first, size), kernels[0].shape[-1])
    of_x, of_h = of_both.split([kernel.shape[1] for kernel in kernels], dim=1)
    return of_input(of_gates, kernels[0]) if needed else None, of_x, of_bias, of_h


def beside(grid: Tensor, states: Tensor, first: Tensor | None, size: int) -> Tensor:
    """x (T * B, …) and, as further channels, the states before each step: `first`, of size B, else 0, then `states`."""
    width = grid.shape[1]
    both = empty_grid(grid, width + states.shape[1])
    both[:, :width] = grid
    both[:size, width:] = 0 if first is None else first
    both[size:, width:] = states[:-size]
    return both
