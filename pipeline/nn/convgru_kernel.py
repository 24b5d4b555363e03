"""The fast path of ConvGru: whole sequences at once, with a hand-written backward pass; see convlstm_kernel.py."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.nn.layers import CHANNELS_LAST
from pipeline.nn.packed_convolutions import add_convolution, conv_input_grad, convolve
from pipeline.nn.recurrence import GateConvolutions, gate_convolution_grads, tanh_, write_sigmoid_grad, write_tanh_grad


def conv_gru(grid: Tensor, weights: GateConvolutions, hidden: Tensor | None, batch_size: int) -> Tensor:
    """From x (T * B, D, h, w): all h_t (T * B, D, h, w), in float32. The gates are z (update) and the candidate h̃."""
    return _ConvGru.apply(grid, *weights, hidden, batch_size)


class _ConvGru(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        grid: Tensor,
        from_input: Tensor,
        bias: Tensor,
        from_hidden: Tensor,
        first_hidden: Tensor | None,
        batch_size: int,
    ) -> Tensor:
        gates, width = convolve(grid, from_input, bias), from_hidden.shape[1]
        hiddens = torch.empty_like(gates[:, :width], dtype=torch.float32, memory_format=CHANNELS_LAST)
        first_hidden = None if first_hidden is None else first_hidden.float()
        previous_h = first_hidden
        for step_gates, h in zip(gates.split(batch_size), hiddens.split(batch_size), strict=True):
            if previous_h is not None:
                add_convolution(step_gates, previous_h, from_hidden)
            z, candidate = torch.sigmoid_(step_gates[:, :width]), tanh_(step_gates[:, width:])
            if previous_h is None:
                torch.mul(candidate, z, out=h)
            else:
                torch.lerp(previous_h, candidate, z.float(), out=h)
            previous_h = h
        ctx.save_for_backward(grid.to(gates.dtype), gates, hiddens, from_input, bias, from_hidden, first_hidden)
        ctx.batch_size = batch_size
        return hiddens

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hiddens: Tensor) -> tuple[Tensor | None, ...]:
        grid, gates, hiddens, *weights, first_hidden = ctx.saved_tensors
        convolutions, batch_size = GateConvolutions(*weights), ctx.batch_size
        grad_gates = torch.empty_like(gates)
        grad_previous_h: Tensor | None = None  # w.r.t. the h that leaves a step, from the step after it
        for start in reversed(range(0, len(gates), batch_size)):
            step = slice(start, start + batch_size)
            z, candidate = gates[step].chunk(2, dim=1)
            grad_z, grad_candidate = grad_gates[step].chunk(2, dim=1)
            previous_h = hiddens[start - batch_size : start] if start else first_hidden
            grad_h = grad_hiddens[step] if grad_previous_h is None else grad_hiddens[step] + grad_previous_h
            difference = candidate if previous_h is None else candidate - previous_h  # ∂h_t / ∂z_t
            write_sigmoid_grad((grad_h * difference).to(z.dtype), z, grad_z)
            write_tanh_grad((grad_h * z).to(candidate.dtype), candidate, grad_candidate)
            if previous_h is not None:
                through_gates = conv_input_grad(grad_gates[step], convolutions.from_hidden)
                grad_previous_h = torch.addcmul(grad_h, grad_h, z, value=-1).add_(through_gates)
        grads = gate_convolution_grads(
            grad_gates,
            grid,
            hiddens,
            first_hidden,
            convolutions,
            batch_size=batch_size,
            want_grad_x=ctx.needs_input_grad[0],
        )
        return *grads, None if first_hidden is None else grad_previous_h, None
