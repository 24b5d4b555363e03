"""The fast path of StLstm: all layers over whole sequences, with a hand-written backward pass.

As convlstm_kernel.py does it for one layer, but the zigzag of the memory M lets no layer run ahead of the others, so
that all layers of a step are computed before the next step. The equations are StLstmLayer.step's, in
pipeline/models/stlstm.py; C and M are sums of many steps, and stay in float32 under autocast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.nn.layers import channels_last, empty_grid
from pipeline.nn.packed_convolutions import (
    add_conv_input_grad,
    add_convolution,
    conv_input_grad,
    conv_weight_grad,
    convolution_dtype,
    convolve,
)
from pipeline.nn.recurrence import tanh_, with_previous_states, write_sigmoid_grad, write_tanh_grad


class StLstmWeights(NamedTuple):
    """The weights of one layer, each of them all its gates at once."""

    from_input: Tensor  # 7 * D channels from x: of i, f, g, o and i', f', g'
    bias: Tensor
    from_hidden: Tensor  # 4 * D from H: of i, f, g, o
    from_memory: Tensor  # 3 * D from M: of i', f', g'
    output_gate: Tensor  # D from [C, M]: of o
    merge: Tensor  # D from [C, M], 1x1
    merge_bias: Tensor


class StLstmOutput(NamedTuple):
    """What all layers compute for a sequence."""

    hiddens: Tensor  # H of the top layer after each step, (T * B, D, h, w)
    state: tuple[Tensor, ...]  # M, then H and C of each layer, (B, D, h, w)
    delta_cell: Tensor | None  # ΔC of all steps and layers, (T * L * B, D, h, w)
    delta_memory: Tensor | None  # ΔM likewise


def st_lstm(
    grid: Tensor,
    state: Sequence[Tensor],
    layers: Sequence[StLstmWeights],
    batch_size: int,
    *,
    want_deltas: bool,
) -> StLstmOutput:
    """From x (T * B, in_channels, h, w) and the state before it; ΔC and ΔM are None where they are not wanted."""
    weights = [weight for layer in layers for weight in layer]
    hiddens, *after, delta_cell, delta_memory = _StLstm.apply(
        len(layers), batch_size, want_deltas, grid, *state, *weights
    )
    return StLstmOutput(hiddens, tuple(after), delta_cell, delta_memory)


class _Tape(NamedTuple):
    """What the forward pass of one layer writes down for its backward pass.

    Lists have one (B, …, h, w) per step, the other tensors are of all steps, (T * B, …, h, w).
    """

    weights: StLstmWeights
    first_hidden: Tensor  # (B, D, h, w)
    hiddens: Tensor  # D: H after each step
    cell_memory: Tensor  # 2 * D: [C, M] after each step, in the convolutions' type
    cell_gates: list[Tensor]  # 3 * D: i, f, g
    memory_gates: list[Tensor]  # 3 * D: i', f', g'
    output_gates: list[Tensor]  # D: o
    merged: list[Tensor]  # D: tanh(W_1x1 ∗ [C, M])
    cells: list[Tensor]  # D, float32: C before each step, and after the last
    memories: list[Tensor]  # D, float32: M before each step

    def step(
        self, t: int, x: Tensor, memory: Tensor, memory_input: Tensor, deltas: tuple[list[Tensor], list[Tensor]] | None
    ) -> Tensor:
        """Compute step `t` from x and M, which as convolutions take it is `memory_input`; returns the next M.

        ΔC and ΔM join the two lists `deltas`.
        """
        weights, width, batch_size = self.weights, memory.shape[1], len(memory)
        step = slice(t * batch_size, (t + 1) * batch_size)
        hidden = self.hiddens[step.start - batch_size : step.start] if t else self.first_hidden
        cell_memory = self.cell_memory[step]
        cell_gates = convolve(x, weights.from_input, weights.bias, channels=(0, 3 * width))
        add_convolution(cell_gates, hidden, weights.from_hidden, channels=(0, 3 * width))
        cell = _update(cell_gates, self.cells[t], deltas and deltas[0], out=cell_memory[:, :width])
        memory_gates = convolve(x, weights.from_input, weights.bias, channels=(4 * width, 7 * width))
        add_convolution(memory_gates, memory_input, weights.from_memory)
        next_memory = _update(memory_gates, memory, deltas and deltas[1], out=cell_memory[:, width:])
        o = convolve(x, weights.from_input, weights.bias, channels=(3 * width, 4 * width))
        add_convolution(o, hidden, weights.from_hidden, channels=(3 * width, 4 * width))
        add_convolution(o, cell_memory, weights.output_gate)
        merged = convolve(cell_memory, weights.merge, weights.merge_bias)
        tanh_(merged)
        torch.mul(o.sigmoid_(), merged, out=self.hiddens[step])
        self.cell_gates.append(cell_gates)
        self.memory_gates.append(memory_gates)
        self.output_gates.append(o)
        self.merged.append(merged)
        self.cells.append(cell)
        self.memories.append(memory)
        return next_memory

    def flat(self) -> list[Tensor]:
        """All tensors, as `restored` takes them."""
        weights, first_hidden, hiddens, cell_memory, *lists = self
        return [*weights, first_hidden, hiddens, cell_memory, *(tensor for tensors in lists for tensor in tensors)]

    @staticmethod
    def restored(tensors: Sequence[Tensor]) -> "_Tape":
        """The inverse of `flat`, for a tape whose lists are of one length."""
        num_weights = len(StLstmWeights._fields)
        start = num_weights + len(_Tape._fields) - 1 - _NUM_LISTS
        steps = (len(tensors) - start) // _NUM_LISTS
        lists = [list(tensors[i : i + steps]) for i in range(start, len(tensors), steps)]
        return _Tape._make([StLstmWeights._make(tensors[:num_weights]), *tensors[num_weights:start], *lists])


_NUM_LISTS = 6  # fields of a _Tape, the last ones, that are lists


def _update(gates: Tensor, old: Tensor, deltas: list[Tensor] | None, out: Tensor) -> Tensor:
    """f ∘ old + i ∘ g, float32, for C and for M; `gates` are put through their functions, `out` gets a copy.

    The increment i ∘ g (ΔC or ΔM) joins `deltas`.
    """
    width = old.shape[1]
    torch.sigmoid_(gates[:, : 2 * width])
    i, f, g = gates.chunk(3, dim=1)
    new = torch.mul(tanh_(g), i)
    if deltas is not None:
        deltas.append(new.to(gates.dtype, copy=True))
    out.copy_(new.addcmul_(f, old))
    return new


def _update_grads(grad_new: Tensor, grad_delta: Tensor | None, gates: Tensor, old: Tensor, out: Tensor) -> Tensor:
    """The gradient w.r.t. `old` in _update, from those w.r.t. its result and its increment.

    The gradient w.r.t. the gates before their functions is written to `out`.
    """
    width = old.shape[1]
    i, f, g = gates.chunk(3, dim=1)
    grad_i, grad_f, grad_g = out.split(width, dim=1)[:3]
    grad_product = (grad_new if grad_delta is None else grad_new + grad_delta).to(i.dtype)  # w.r.t. i ∘ g
    torch.mul(grad_product, g, out=grad_i)
    grad_f.copy_(grad_new * old)
    write_sigmoid_grad(out[:, : 2 * width], gates[:, : 2 * width], out[:, : 2 * width])
    write_tanh_grad(grad_product * i, g, grad_g)
    return grad_new * f


@dataclass
class _LayerGradients:
    """The gradients of one layer: grids over all steps, filled in from the last step to the first."""

    tape: _Tape
    grad_hidden: Tensor  # w.r.t. the H that leaves the step that is next, in the convolutions' type
    grad_cell: Tensor  # w.r.t. its C, float32
    grad_gates: Tensor  # 4 * D: w.r.t. i, f, g, o
    grad_memory_gates: Tensor  # 3 * D: w.r.t. i', f', g'
    grad_merged: Tensor  # D: w.r.t. W_1x1 ∗ [C, M]

    @staticmethod
    def begin(tape: _Tape, grad_hidden: Tensor, grad_cell: Tensor) -> "_LayerGradients":
        """At the last step; `grad_hidden` is added to in place."""
        grids = [empty_grid(tape.hiddens, parts * tape.hiddens.shape[1]) for parts in (4, 3, 1)]
        return _LayerGradients(tape, grad_hidden, grad_cell, *grids)

    def step(self, t: int, grad_memory: Tensor, grad_deltas: Sequence[Tensor | None]) -> Tensor:
        """Go back through step `t`; takes the gradient w.r.t. the M that leaves it, returns that w.r.t. its input M.

        `grad_deltas` are those w.r.t. ΔC and ΔM.
        """
        tape, weights, grad_h = self.tape, self.tape.weights, self.grad_hidden
        width, batch_size = grad_h.shape[1], len(grad_h)
        step = slice(t * batch_size, (t + 1) * batch_size)
        o, merged = tape.output_gates[t], tape.merged[t]
        grad_gates, grad_memory_gates = self.grad_gates[step], self.grad_memory_gates[step]
        grad_o, grad_merged = grad_gates[:, 3 * width :], self.grad_merged[step]
        write_sigmoid_grad(grad_h * merged, o, grad_o)
        write_tanh_grad(grad_h * o, merged, grad_merged)
        grad_cell_memory = conv_input_grad(grad_o, weights.output_gate)
        add_conv_input_grad(grad_cell_memory, grad_merged, weights.merge)
        grad_cell = self.grad_cell + grad_cell_memory[:, :width]
        grad_memory = grad_memory + grad_cell_memory[:, width:]
        self.grad_cell = _update_grads(grad_cell, grad_deltas[0], tape.cell_gates[t], tape.cells[t], grad_gates)
        grad_memory = _update_grads(
            grad_memory, grad_deltas[1], tape.memory_gates[t], tape.memories[t], grad_memory_gates
        )
        self.grad_hidden = conv_input_grad(grad_gates, weights.from_hidden)
        return grad_memory.add_(conv_input_grad(grad_memory_gates, weights.from_memory))

    def add_grad_x(self, sums: Tensor, rows: slice) -> None:
        """Add the gradient w.r.t. x, in these rows of the grids, to `sums`."""
        from_input, num_gates = self.tape.weights.from_input, self.grad_gates.shape[1]
        add_conv_input_grad(sums, self.grad_gates[rows], from_input, channels=(0, num_gates))
        add_conv_input_grad(sums, self.grad_memory_gates[rows], from_input, channels=(num_gates, len(from_input)))

    def grad_weights(self, x: Tensor, memory_inputs: Tensor) -> StLstmWeights:
        """The gradients w.r.t. the weights, which read `x` and, as M, `memory_inputs` (T * B, …); after all steps."""
        tape, channels, kernel_size = self.tape, x.shape[1], self.tape.weights.from_input.shape[-1]
        # of x and H at once, and of x and M: faster than of each
        x_hidden = with_previous_states(x, tape.hiddens, tape.first_hidden, len(tape.first_hidden))
        to_gates, gates_bias = conv_weight_grad(self.grad_gates, x_hidden, kernel_size)
        x_memory = torch.cat([x, memory_inputs], dim=1)
        to_memory_gates, memory_gates_bias = conv_weight_grad(self.grad_memory_gates, x_memory, kernel_size)
        grad_o = self.grad_gates[:, -tape.hiddens.shape[1] :]
        output_gate, _ = conv_weight_grad(grad_o, tape.cell_memory, kernel_size)
        merge, merge_bias = conv_weight_grad(self.grad_merged, tape.cell_memory, 1)
        return StLstmWeights(
            from_input=torch.cat([to_gates[:, :channels], to_memory_gates[:, :channels]]),
            bias=torch.cat([gates_bias, memory_gates_bias]),
            from_hidden=to_gates[:, channels:],
            from_memory=to_memory_gates[:, channels:],
            output_gate=output_gate,
            merge=merge,
            merge_bias=merge_bias,
        )


class _StLstm(torch.autograd.Function):
    """Takes x, then M, and H and C of each layer, then each layer's weights; returns the fields of StLstmOutput."""

    @staticmethod
    def forward(
        ctx: Any, num_layers: int, batch_size: int, want_deltas: bool, grid: Tensor, *others: Tensor
    ) -> tuple[Tensor | None, ...]:
        states, weights = others[: 1 + 2 * num_layers], others[1 + 2 * num_layers :]
        dtype, width, num_weights = convolution_dtype(grid), states[0].shape[1], len(StLstmWeights._fields)
        grid = channels_last(grid.to(dtype))
        layers = []
        for n in range(num_layers):
            own = StLstmWeights._make(weights[num_weights * n : num_weights * (n + 1)])
            hidden, cell = channels_last(states[1 + 2 * n].to(dtype)), channels_last(states[2 + 2 * n].float())
            grids = [hidden, empty_grid(grid, width), empty_grid(grid, 2 * width)]
            layers.append(_Tape._make([own, *grids, [], [], [], [], [cell], []]))
        memory, first_memory = channels_last(states[0].float()), channels_last(states[0].to(dtype))
        memory_input = first_memory
        deltas: tuple[list[Tensor], list[Tensor]] | None = ([], []) if want_deltas else None
        for t in range(len(grid) // batch_size):
            step = slice(t * batch_size, (t + 1) * batch_size)
            x = grid[step]
            for layer in layers:
                memory = layer.step(t, x, memory, memory_input, deltas)
                x, memory_input = layer.hiddens[step], layer.cell_memory[step, width:]
        after = [state for layer in layers for state in (layer.hiddens[-batch_size:].clone(), layer.cells.pop())]
        ctx.save_for_backward(grid, first_memory, *(tensor for layer in layers for tensor in layer.flat()))
        ctx.num_layers = num_layers
        ctx.set_materialize_grads(False)
        joined = (torch.cat(deltas[0]), torch.cat(deltas[1])) if deltas is not None else (None, None)
        return layers[-1].hiddens, memory, *after, *joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hiddens: Tensor | None, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        grid, first_memory, *saved = ctx.saved_tensors
        count = len(saved) // ctx.num_layers
        tapes = [_Tape.restored(saved[start : start + count]) for start in range(0, len(saved), count)]
        batch_size, width, dtype = len(first_memory), first_memory.shape[1], grid.dtype
        zeros = torch.zeros_like(first_memory, dtype=torch.float32)
        grad_memory, *grad_states = (zeros if grad is None else grad for grad in grads[: 1 + 2 * len(tapes)])
        grad_deltas = [None if grad is None else grad.split(batch_size) for grad in grads[-2:]]
        layers = [
            _LayerGradients.begin(tape, channels_last(grad_h.to(dtype, copy=True)), channels_last(grad_c.float()))
            for tape, grad_h, grad_c in zip(tapes, grad_states[::2], grad_states[1::2], strict=True)
        ]
        for t in reversed(range(len(grid) // batch_size)):
            step = slice(t * batch_size, (t + 1) * batch_size)
            if grad_hiddens is not None:
                layers[-1].grad_hidden += grad_hiddens[step]
            for n, layer in reversed(list(enumerate(layers))):
                step_deltas = [None if grad is None else grad[t * len(layers) + n] for grad in grad_deltas]
                grad_memory = layer.step(t, grad_memory, step_deltas)
                if n:
                    layer.add_grad_x(layers[n - 1].grad_hidden, step)
        grad_x = torch.zeros_like(grid) if ctx.needs_input_grad[3] else None
        if grad_x is not None:
            layers[0].add_grad_x(grad_x, slice(None))
        grad_weights: list[Tensor] = []
        for n, layer in enumerate(layers):
            # M comes from the layer below, to the lowest one from the highest a step before
            memory_inputs = tapes[n - 1].cell_memory[:, width:]
            memory_inputs = memory_inputs if n else torch.cat([first_memory, memory_inputs[:-batch_size]])
            grad_weights += layer.grad_weights(tapes[n - 1].hiddens if n else grid, memory_inputs)
        grad_states = [grad for layer in layers for grad in (layer.grad_hidden, layer.grad_cell)]
        return None, None, None, grad_x, grad_memory, *grad_states, *grad_weights
