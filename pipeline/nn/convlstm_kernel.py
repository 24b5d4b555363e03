"""The fast path of ConvLstmLayer: whole sequences at once, with a hand-written backward pass.

What reads x is one convolution over all steps; only what reads h goes step by step. Autograd would join and copy the
gradients of the parts that a step is cut into, and add up the weights' gradient step by step: an eighth of the time of
a training step on a processor. Here gates and gradients are written where they are to lie, and the weights' gradient
is one convolution over all steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.nn import fast_path
from pipeline.nn.layers import CHANNELS_LAST, channels_last
from pipeline.nn.packed_convolutions import add_convolution, conv_input_grad, convolve
from pipeline.nn.recurrence import (
    GateConvolutions,
    gate_convolution_grads,
    tanh,
    tanh_,
    write_sigmoid_grad,
    write_tanh_grad,
)


def conv_lstm(
    grid: Tensor, weights: GateConvolutions, state: tuple[Tensor, Tensor] | None, batch_size: int
) -> tuple[Tensor, Tensor]:
    """From x (T * B, in_channels, h, w): all h_t (T * B, D, h, w), and the last c_t (B, D, h, w).

    The gates are i, f, g, o. h is of the gates' type; c is a sum of many steps, and stays in float32 under autocast.
    """
    return _ConvLstm.apply(grid, *weights, *(state or (None, None)), batch_size)


class _ConvLstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        grid: Tensor,
        from_input: Tensor,
        bias: Tensor,
        from_hidden: Tensor,
        hidden: Tensor | None,
        cell: Tensor | None,
        batch_size: int,
    ) -> tuple[Tensor, Tensor]:
        gates, width = convolve(grid, from_input, bias), from_hidden.shape[1]
        hiddens = torch.empty_like(gates[:, :width], memory_format=CHANNELS_LAST)  # h_t
        tanh_cells = torch.empty_like(hiddens)  # tanh(c_t)
        cells = torch.empty_like(hiddens, dtype=torch.float32)  # c_t
        first_hidden = None if hidden is None else channels_last(hidden.to(gates.dtype))
        previous_h, previous_c = first_hidden, cell
        by_step = (part.split(batch_size) for part in (gates, cells, tanh_cells, hiddens))
        for step_gates, c, tanh_c, h in zip(*by_step, strict=True):
            if previous_h is not None:
                add_convolution(step_gates, previous_h, from_hidden)
            torch.sigmoid_(step_gates[:, : 2 * width])
            torch.sigmoid_(step_gates[:, 3 * width :])
            i, f, g, o = step_gates.chunk(4, dim=1)
            torch.mul(tanh_(g), i, out=c)
            if previous_c is not None:
                c.addcmul_(f, previous_c)
            tanh_c.copy_(tanh(c))
            torch.mul(o, tanh_c, out=h)
            previous_h, previous_c = h, c
        ctx.save_for_backward(
            grid.to(gates.dtype), gates, hiddens, cells, tanh_cells, from_input, bias, from_hidden, first_hidden, cell
        )
        ctx.batch_size = batch_size
        return hiddens, cells[-batch_size:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hiddens: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        grid, gates, hiddens, cells, tanh_cells, *weights, first_hidden, first_cell = ctx.saved_tensors
        convolutions, batch_size = GateConvolutions(*weights), ctx.batch_size
        grad_gates = torch.empty_like(gates)
        grad_c = channels_last(grad_cell)  # w.r.t. the c that leaves a step
        grad_previous_h: Tensor | None = None  # w.r.t. the h that leaves a step, from the step after it
        for start in reversed(range(0, len(gates), batch_size)):
            step = slice(start, start + batch_size)
            step_gates = gates[step].clone()  # one pass in the order of memory; its four parts lie interleaved
            i, f, g, o = step_gates.chunk(4, dim=1)
            grad_i, grad_f, grad_g, grad_o = grad_gates[step].chunk(4, dim=1)
            tanh_c = tanh_cells[step]
            previous_c = cells[start - batch_size : start] if start else first_cell
            grad_h = grad_hiddens[step] if grad_previous_h is None else grad_hiddens[step] + grad_previous_h
            torch.mul(grad_h, tanh_c, out=grad_o)
            grad_c = grad_c + fast_path.tanh_backward(grad_h * o, tanh_c)
            grad_product = grad_c.to(o.dtype)  # w.r.t. i ∘ g
            torch.mul(grad_product, g, out=grad_i)
            if previous_c is None:
                grad_f.zero_()
            else:
                grad_f.copy_(grad_c * previous_c)
            # all gates at once, which is one pass in the order of memory; that of g is written over
            write_sigmoid_grad(grad_gates[step], step_gates, grad_gates[step])
            write_tanh_grad(grad_product * i, g, grad_g)
            grad_c = grad_c * f
            if start or first_hidden is not None:
                grad_previous_h = conv_input_grad(grad_gates[step], convolutions.from_hidden)
            else:
                grad_previous_h = None
        grads = gate_convolution_grads(
            grad_gates,
            grid,
            hiddens,
            first_hidden,
            convolutions,
            batch_size=batch_size,
            want_grad_x=ctx.needs_input_grad[0],
        )
        return *grads, grad_previous_h, None if first_cell is None else grad_c, None
