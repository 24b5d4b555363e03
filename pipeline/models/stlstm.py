"""The spatiotemporal LSTM with the zigzag memory: PredRNN (Wang et al. 2017, 2022), over patches of the frame."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.models.layers import channels_last, clamp, same_conv, to_frames, to_grid
from pipeline.models.recurrent import beside, convolve, delayed, of_input, of_sigmoid, of_tanh, of_weights, tanh, tanh_

State = tuple[Tensor, ...]
NUM_WEIGHTS = 7  # of a layer, see _Layer


class StLstm(nn.Module):
    """Stacked ST-LSTM layers between space-to-depth and its inverse; frames may have any size.

    A second memory M rises through the layers within a step and goes from the top layer to the bottom one of the next
    step (Wang et al. 2017, figure 2), so what a step saw is at once in all layers. The state is M, then h and C of each
    layer, each (B, hidden_channels, h, w).

    In training, auxiliary_loss() gives the decoupling loss of the forward calls since it was last asked: its weight in
    the whole is `decoupling` (Wang et al. 2022, section 3.3), 0 for none.
    """

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden_channels: int,
        num_layers: int,
        kernel_size: int,
        patch_size: int,
        decoupling: float,
    ) -> None:
        super().__init__()
        self.patch_size, self.hidden_channels, self.decoupling = patch_size, hidden_channels, decoupling
        cell_channels = frame_shape[0] * patch_size**2
        widths = [cell_channels] + [hidden_channels] * (num_layers - 1)
        self.layers = nn.ModuleList(StLstmLayer(width, hidden_channels, kernel_size) for width in widths)
        # one for all layers, as in the paper's equation of the loss: both increments are seen through it
        self.adapter = same_conv(hidden_channels, hidden_channels, 1, bias=False) if decoupling else None
        self.head = same_conv(hidden_channels, out_channels * patch_size**2, 1)
        self.likeness: list[Tensor] = []

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        grid = to_grid(frames, self.patch_size)  # (T*B, C*patch_size², h, w)
        if state is None:
            nothing = channels_last(grid.new_zeros(batch_size, self.hidden_channels, *grid.shape[-2:]))
            state = (nothing,) * (1 + 2 * len(self.layers))
        cells = cast("list[StLstmLayer]", list(self.layers))  # nn.ModuleList forgets what it holds
        weights = [weight for layer in cells for weight in layer.weights()]
        from_frames = cells[0].from_input(grid)
        tops, cell_gains, memory_gains, *after = _StLstm.apply(len(cells), batch_size, from_frames, *state, *weights)
        if self.adapter is not None and self.training:
            self.likeness.append(alike(self.adapter(cell_gains), self.adapter(memory_gains)))
        outputs = clamp(self.head(tops).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), tuple(after)

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted decoupling loss since the last call, None if there is none; objectives add it to theirs."""
        likeness, self.likeness = self.likeness, []
        return self.decoupling * torch.stack(likeness).mean() if likeness else None


class StLstmLayer(nn.Module):
    """The weights of one layer (Wang et al. 2017, eq. 5): each of x, h, M and [C, M] has its convolution."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.from_input = same_conv(in_channels, 7 * hidden_channels, kernel_size)  # i, f, g, o and i', f', g'
        self.from_hidden = same_conv(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)
        self.from_memory = same_conv(hidden_channels, 3 * hidden_channels, kernel_size, bias=False)
        self.output_gate = same_conv(2 * hidden_channels, hidden_channels, kernel_size, bias=False)
        self.merge = same_conv(2 * hidden_channels, hidden_channels, 1)
        # both forget gates begin open: remember, until training says otherwise
        part = torch.arange(7 * hidden_channels) // hidden_channels
        self.from_input.bias = nn.Parameter(((part == 1) | (part == 5)).float())

    def weights(self) -> list[Tensor | None]:
        """As _StLstm takes them."""
        joined = (self.from_hidden.weight, self.from_memory.weight, self.output_gate.weight)
        return [self.from_input.weight, self.from_input.bias, *joined, self.merge.weight, self.merge.bias]


class _Layer(NamedTuple):
    """What one layer computes over all steps, grids (T * B, …), and from what."""

    from_input: Tensor  # of the first layer unused
    bias: Tensor
    from_hidden: Tensor
    from_memory: Tensor
    output_gate: Tensor
    merge: Tensor
    merge_bias: Tensor
    first_hidden: Tensor  # (B, D, h, w)
    first_cell: Tensor  # (B, D, h, w), float32
    cell_gates: Tensor  # 4 * D: i, f, g, o
    memory_gates: Tensor  # 3 * D: i', f', g'
    both: Tensor  # 2 * D: C and M, in the grids' type
    merged: Tensor  # tanh of the merged
    hiddens: Tensor
    cells: Tensor  # float32
    memories: Tensor  # float32

    def cast(self, dtype: torch.dtype) -> "_Layer":
        """The same with its weights in `dtype`."""
        return _Layer._make([*(weight.to(dtype) for weight in self[:NUM_WEIGHTS]), *self[NUM_WEIGHTS:]])

    def step(self, now: slice, given: Sequence[Tensor], memory: Tensor, gains: Sequence[Tensor]) -> None:
        """Fill in the step `now` (rows of the grids), from what x gives to both kinds of gates, and M before."""
        size = now.stop - now.start
        past = slice(now.start - size, now.start)
        hidden, cell = (self.hiddens[past], self.cells[past]) if now.start else (self.first_hidden, self.first_cell)
        of_cell, of_memory = self.cell_gates[now], self.memory_gates[now]
        torch.add(convolve(hidden, self.from_hidden), given[0], out=of_cell)
        torch.add(convolve(memory.to(hidden.dtype), self.from_memory), given[1], out=of_memory)
        both = self.both[now].chunk(2, dim=1)
        for gates, gain, before, after, copy in (
            (of_cell, gains[0], cell, self.cells[now], both[0]),
            (of_memory, gains[1], memory, self.memories[now], both[1]),
        ):
            i, f, g = gates.split(hidden.shape[1], dim=1)[:3]
            gain.copy_(torch.mul(tanh_(g), i.sigmoid_(), out=after))
            copy.copy_(after.addcmul_(f.sigmoid_(), before))
        o = of_cell[:, -hidden.shape[1] :]
        o.add_(convolve(self.both[now], self.output_gate)).sigmoid_()
        self.merged[now] = tanh(convolve(self.both[now], self.merge, self.merge_bias))
        torch.mul(o, self.merged[now], out=self.hiddens[now])

    def of_weights(
        self,
        of_cell_gates: Tensor,
        of_memory_gates: Tensor,
        of_output: Tensor,
        of_merge: Tensor,
        below: "_Layer",
        first_memory: Tensor | None,
    ) -> list[Tensor | None]:
        """The gradients by the weights, from those by what they gave. M comes from `below`, and so does x.

        For the lowest layer, which has a `first_memory`, M comes from the highest one, a step before; what x gives is
        computed outside.
        """
        width, size = self.hiddens.shape[1], len(self.first_hidden)
        of_gate, _ = of_weights(of_output, self.both, self.output_gate)
        of_both, of_bias = of_weights(of_merge, self.both, self.merge)
        if first_memory is not None:
            hiddens = delayed(self.hiddens, self.first_hidden, size)
            memories = delayed(below.memories, first_memory.to(hiddens.dtype), size)
            of_hidden, _ = of_weights(of_cell_gates, hiddens, self.from_hidden)
            of_memory, _ = of_weights(of_memory_gates, memories, self.from_memory)
            return [None, None, of_hidden, of_memory, of_gate, of_both, of_bias]
        x, (to_cell, to_memory) = below.hiddens, self.from_input.split([4 * width, 3 * width])
        # of x and h at once, and of x and M: faster than of each
        inputs = beside(x, self.hiddens, self.first_hidden, size)
        of_cell, of_cell_bias = of_weights(of_cell_gates, inputs, torch.cat([to_cell, self.from_hidden], dim=1))
        inputs = torch.cat([x, below.memories.to(x.dtype)], dim=1)
        of_memory, of_memory_bias = of_weights(of_memory_gates, inputs, torch.cat([to_memory, self.from_memory], dim=1))
        of_x = torch.cat([of_cell[:, :width], of_memory[:, :width]])
        of_x_bias = torch.cat([of_cell_bias, of_memory_bias])
        return [of_x, of_x_bias, of_cell[:, width:], of_memory[:, width:], of_gate, of_both, of_bias]


class _StLstm(torch.autograd.Function):
    """All layers over all steps: the zigzag lets no layer run ahead, but gradients are written where they are to lie.

    Takes what the frames give to the first layer's gates (T * B, 7 * D, h, w), then M, and h and C of each layer, then
    each layer's weights. Gives the top h (T * B, D, h, w), what was added to C and to M (T * L * B, D, h, w), then M,
    and h and C of each layer. C and M are sums of many steps, and stay in float32 under autocast.
    """

    @staticmethod
    def forward(ctx: Any, num_layers: int, size: int, from_frames: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        dtype, first_memory = from_frames.dtype, others[0].float()
        states, weights = others[1 : 1 + 2 * num_layers], others[1 + 2 * num_layers :]
        width, length = others[0].shape[1], len(from_frames)

        def grid(channels: int, kind: torch.dtype = dtype, copies: int = 1) -> Tensor:
            shape = (copies * length, channels, *from_frames.shape[-2:])
            return torch.empty(shape, dtype=kind, device=from_frames.device, memory_format=torch.channels_last)

        layers = []
        for n in range(num_layers):
            before = [states[2 * n].to(dtype), states[2 * n + 1].float()]
            grids = [grid(channels * width) for channels in (4, 3, 2, 1, 1)]
            sums = [grid(width, torch.float32) for _ in range(2)]
            layers.append(_Layer._make([*weights[NUM_WEIGHTS * n : NUM_WEIGHTS * (n + 1)], *before, *grids, *sums]))
        gains = grid(width, copies=num_layers), grid(width, copies=num_layers)
        memory = first_memory
        parts = [4 * width, 3 * width]
        for now, place in _order(length, num_layers, size):
            n = place.start // size % num_layers
            layer = layers[n]
            given = from_frames[now] if n == 0 else convolve(layers[n - 1].hiddens[now], layer.from_input, layer.bias)
            layer.step(now, given.split(parts, dim=1), memory, (gains[0][place], gains[1][place]))
            memory = layer.memories[now]
        ctx.save_for_backward(first_memory, *(tensor for layer in layers for tensor in layer))
        ctx.size, ctx.hidden_type = size, states[0].dtype
        after = [state[-size:].clone() for layer in layers for state in (layer.hiddens, layer.cells)]
        return layers[-1].hiddens, *gains, memory.clone(), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_tops: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        first_memory, *saved = ctx.saved_tensors
        fields = len(_Layer._fields)
        layers = [_Layer(*saved[n : n + fields]).cast(of_tops.dtype) for n in range(0, len(saved), fields)]
        size, length, width = ctx.size, len(of_tops), of_tops.shape[1]
        *of_gains, of_memory = gradients[:3]
        of_hidden, of_cell = (list(gradients[3 + part :: 2]) for part in range(2))
        of_cell_gates = [torch.empty_like(layer.cell_gates) for layer in layers]
        of_memory_gates = [torch.empty_like(layer.memory_gates) for layer in layers]
        of_output = [torch.empty_like(layer.merged) for layer in layers]
        of_merge = [torch.empty_like(layer.merged) for layer in layers]
        for now, place in reversed(_order(length, len(layers), size)):
            n = place.start // size % len(layers)
            layer = layers[n]
            of_h = of_hidden[n] + of_tops[now] if n == len(layers) - 1 else of_hidden[n]
            o, merged = layer.cell_gates[now, 3 * width :], layer.merged[now]
            of_sigmoid(of_h * merged, o, of_output[n][now])
            of_tanh(of_h * o, merged, of_merge[n][now])
            of_cell_gates[n][now, 3 * width :].copy_(of_output[n][now])
            of_both = of_input(of_output[n][now], layer.output_gate)
            of_both += of_input(of_merge[n][now], layer.merge)
            before = layer.cells[now.start - size : now.start] if now.start else layer.first_cell
            of_cell[n] = _of_sum(
                of_cell[n] + of_both[:, :width],
                of_gains[0][place],
                layer.cell_gates[now],
                before,
                of_cell_gates[n][now],
            )
            if n:
                before = layers[n - 1].memories[now]
            else:
                before = layers[-1].memories[now.start - size : now.start] if now.start else first_memory
            of_gates = of_memory_gates[n][now]
            of_memory = _of_sum(
                of_memory + of_both[:, width:], of_gains[1][place], layer.memory_gates[now], before, of_gates
            )
            of_memory += of_input(of_gates, layer.from_memory)
            of_hidden[n] = of_input(of_cell_gates[n][now], layer.from_hidden)
            if n:
                to_cell, to_memory = layer.from_input.split([4 * width, 3 * width])
                of_x = of_input(of_cell_gates[n][now], to_cell) + of_input(of_gates, to_memory)
                of_hidden[n - 1] = of_hidden[n - 1] + of_x
        of_all: list[Tensor | None] = []
        for n, layer in enumerate(layers):
            kinds = (of_cell_gates[n], of_memory_gates[n], of_output[n], of_merge[n])
            of_all += layer.of_weights(*kinds, layers[n - 1], first_memory if n == 0 else None)
        of_states = [
            of for of_h, of_c in zip(of_hidden, of_cell, strict=True) for of in (of_h.to(ctx.hidden_type), of_c)
        ]
        return None, None, torch.cat([of_cell_gates[0], of_memory_gates[0]], dim=1), of_memory, *of_states, *of_all


def _order(length: int, num_layers: int, size: int) -> list[tuple[slice, slice]]:
    """The zigzag: for each step and layer, its rows of a grid (T * B, …), and of one of all layers (T * L * B, …)."""
    starts = [start for start in range(0, length, size) for _ in range(num_layers)]
    return [(slice(a, a + size), slice(b * size, b * size + size)) for b, a in enumerate(starts)]


def _of_sum(of_after: Tensor, of_gain: Tensor, gates: Tensor, before: Tensor, out: Tensor) -> Tensor:
    """The gradient by a memory `before` a step, from that after it and by its gain; those by i, f and g go to `out`."""
    width = before.shape[1]
    i, f, g = gates.split(width, dim=1)[:3]
    of_i, of_f, of_g = out.split(width, dim=1)[:3]
    of_product = (of_after + of_gain).to(i.dtype)
    torch.mul(of_product, g, out=of_i)
    of_f.copy_(of_after * before)
    of_sigmoid(out[:, : 2 * width], gates[:, : 2 * width], out[:, : 2 * width])
    of_tanh(of_product * i, g, of_g)
    return of_after * f


def alike(cell_gain: Tensor, memory_gain: Tensor) -> Tensor:
    """How alike the two memories' increments are: mean |cos| of the channels, in [0, 1] (Wang et al. 2022, eq. 7)."""
    return F.cosine_similarity(cell_gain.flatten(2).float(), memory_gain.flatten(2).float(), dim=2).abs().mean()
