"""The spatiotemporal LSTM with the zigzag memory: PredRNN (Wang et al. 2017, 2022), over patches of the frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.nn.layers import channels_last, clamp, empty_grid, same_conv, to_frames, to_grid
from pipeline.nn.packed import add_convolution, add_of_input, convolution_type, convolve, of_input, of_weights
from pipeline.nn.recurrent import beside, of_sigmoid, of_tanh, tanh_

State = tuple[Tensor, ...]
NUM_WEIGHTS, NUM_LISTS = 7, 6  # tensors and lists by step that a _Layer begins and ends with


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
        adapter = self.adapter if self.training else None
        tops, *after, cell_gains, memory_gains = _StLstm.apply(
            len(cells), batch_size, adapter is not None, grid, *state, *weights
        )
        if adapter is not None:
            self.likeness.append(alike(adapter(cell_gains), adapter(memory_gains)))
        outputs = clamp(self.head(tops).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), tuple(after)

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted decoupling loss since the last call, None if there is none; objectives add it to theirs."""
        likeness, self.likeness = self.likeness, []
        return self.decoupling * torch.cat(likeness).mean() if likeness else None


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
    """What one layer computes, and from what: lists are by step, the rest is over all steps, grids (T * B, …)."""

    from_input: Tensor
    bias: Tensor
    from_hidden: Tensor
    from_memory: Tensor
    output_gate: Tensor
    merge: Tensor
    merge_bias: Tensor
    first_hidden: Tensor  # (B, D, h, w)
    hiddens: Tensor  # D
    both: Tensor  # 2 * D: C and M, in the grids' type
    cell_gates: list[Tensor]  # 3 * D: i, f, g
    memory_gates: list[Tensor]  # 3 * D: i', f', g'
    output_gates: list[Tensor]  # D: o
    merged: list[Tensor]  # D: tanh of the merged
    cells: list[Tensor]  # D, float32, before each step
    memories: list[Tensor]  # D, float32, before each step

    def step(self, t: int, x: Tensor, memory: Tensor, seen: Tensor, gains: list[Tensor] | None) -> Tensor:
        """Go through step `t`, from x and M before: `memory`, and as convolutions take it, `seen`. Gives M after.

        What is added to C and to M joins `gains`.
        """
        width, size = memory.shape[1], len(memory)
        now = slice(t * size, (t + 1) * size)
        hidden = self.hiddens[now.start - size : now.start] if t else self.first_hidden
        both = self.both[now]
        gates, sums = [], []
        for start, recurrent, weight, before, copy in (
            (0, hidden, self.from_hidden, self.cells[t], both[:, :width]),
            (4 * width, seen, self.from_memory, memory, both[:, width:]),
        ):
            three = convolve(x, self.from_input, self.bias, channels=(start, start + 3 * width))
            add_convolution(three, recurrent, weight, channels=(0, 3 * width))
            torch.sigmoid_(three[:, : 2 * width])
            i, f, g = three.chunk(3, dim=1)
            after = torch.mul(tanh_(g), i)
            if gains is not None:
                gains.append(after.to(three.dtype, copy=True))
            copy.copy_(after.addcmul_(f, before))
            gates.append(three)
            sums.append(after)
        o = convolve(x, self.from_input, self.bias, channels=(3 * width, 4 * width))
        add_convolution(o, hidden, self.from_hidden, channels=(3 * width, 4 * width))
        add_convolution(o, both, self.output_gate)
        merged = convolve(both, self.merge, self.merge_bias)
        tanh_(merged)
        torch.mul(o.sigmoid_(), merged, out=self.hiddens[now])
        lists = (self.cell_gates, self.memory_gates, self.output_gates, self.merged, self.cells, self.memories)
        for kept, new in zip(lists, (*gates, o, merged, sums[0], memory), strict=True):
            kept.append(new)
        return sums[1]


@dataclass
class _WayBack:
    """The gradients of one layer: grids over all steps, filled in from the last to the first."""

    layer: _Layer
    of_hidden: Tensor  # by h after the step that is next, in the grids' type
    of_cell: Tensor  # likewise by C, float32
    of_cell_gates: Tensor
    of_memory_gates: Tensor
    of_merge: Tensor

    @staticmethod
    def begin(layer: _Layer, of_hidden: Tensor, of_cell: Tensor) -> "_WayBack":
        """At the last step; `of_hidden` is added to in place."""
        grids = [empty_grid(layer.hiddens, parts * layer.hiddens.shape[1]) for parts in (4, 3, 1)]
        return _WayBack(layer, of_hidden, of_cell, *grids)

    def step(self, t: int, of_memory: Tensor, of_gains: Sequence[Tensor | None]) -> Tensor:
        """Go back through step `t`, from the gradient by M after it; give that by M before it."""
        layer, of_h, size = self.layer, self.of_hidden, len(self.of_hidden)
        width, now = of_h.shape[1], slice(t * size, (t + 1) * size)
        o, merged = layer.output_gates[t], layer.merged[t]
        of_gates, of_memory_gates, of_merge = self.of_cell_gates[now], self.of_memory_gates[now], self.of_merge[now]
        of_o = of_gates[:, 3 * width :]
        of_sigmoid(of_h * merged, o, of_o)
        of_tanh(of_h * o, merged, of_merge)
        of_both = of_input(of_o, layer.output_gate)
        add_of_input(of_both, of_merge, layer.merge)
        of_cell, of_memory = self.of_cell + of_both[:, :width], of_memory + of_both[:, width:]
        self.of_cell = _of_sum(of_cell, of_gains[0], layer.cell_gates[t], layer.cells[t], of_gates)
        of_memory = _of_sum(of_memory, of_gains[1], layer.memory_gates[t], layer.memories[t], of_memory_gates)
        self.of_hidden = of_input(of_gates, layer.from_hidden)
        return of_memory.add_(of_input(of_memory_gates, layer.from_memory))

    def add_of_x(self, sums: Tensor, rows: slice) -> None:
        """Add the gradient by x, in these rows, to `sums`."""
        weight, to_cell = self.layer.from_input, self.of_cell_gates.shape[1]
        add_of_input(sums, self.of_cell_gates[rows], weight, channels=(0, to_cell))
        add_of_input(sums, self.of_memory_gates[rows], weight, channels=(to_cell, len(weight)))

    def of_weights(self, x: Tensor, seen: Tensor) -> list[Tensor]:
        """The gradients by the weights, which were given `x`, and M as `seen`; at the end."""
        layer, channels, kernel_size = self.layer, x.shape[1], self.layer.from_input.shape[-1]
        # of x and h at once, and of x and M: faster than of each
        inputs = beside(x, layer.hiddens, layer.first_hidden, len(layer.first_hidden))
        to_cell, cell_bias = of_weights(self.of_cell_gates, inputs, kernel_size)
        to_memory, memory_bias = of_weights(self.of_memory_gates, torch.cat([x, seen], dim=1), kernel_size)
        output_gate, _ = of_weights(self.of_cell_gates[:, -layer.hiddens.shape[1] :], layer.both, kernel_size)
        from_input = torch.cat([to_cell[:, :channels], to_memory[:, :channels]])
        from_states = to_cell[:, channels:], to_memory[:, channels:]
        of_merge = of_weights(self.of_merge, layer.both, 1)
        return [from_input, torch.cat([cell_bias, memory_bias]), *from_states, output_gate, *of_merge]


class _StLstm(torch.autograd.Function):
    """All layers over all steps: the zigzag lets no layer run ahead, but gradients are written where they are to lie.

    Takes a grid of frames (T * B, C, h, w), then M, and h and C of each layer, then each layer's weights. Gives the top
    h (T * B, D, h, w), M, and h and C of each layer, and, if they are wanted, what was added to C and to M
    (T * L * B, D, h, w). C and M are sums of many steps, and stay in float32 under autocast.
    """

    @staticmethod
    def forward(
        ctx: Any, num_layers: int, size: int, want_gains: bool, grid: Tensor, *others: Tensor
    ) -> tuple[Tensor | None, ...]:
        states, weights = others[: 1 + 2 * num_layers], others[1 + 2 * num_layers :]
        dtype, width = convolution_type(grid), states[0].shape[1]
        grid = channels_last(grid.to(dtype))
        layers = []
        for n in range(num_layers):
            own = weights[NUM_WEIGHTS * n : NUM_WEIGHTS * (n + 1)]
            hidden, cell = channels_last(states[1 + 2 * n].to(dtype)), channels_last(states[2 + 2 * n].float())
            grids = [hidden, empty_grid(grid, width), empty_grid(grid, 2 * width)]
            layers.append(_Layer._make([*own, *grids, [], [], [], [], [cell], []]))
        memory, first_seen = channels_last(states[0].float()), channels_last(states[0].to(dtype))
        seen = first_seen
        gains: list[Tensor] | None = [] if want_gains else None
        for t in range(len(grid) // size):
            now = slice(t * size, (t + 1) * size)
            x = grid[now]
            for layer in layers:
                memory = layer.step(t, x, memory, seen, gains)
                x, seen = layer.hiddens[now], layer.both[now, width:]
        after = [state for layer in layers for state in (layer.hiddens[-size:].clone(), layer.cells.pop())]
        ctx.save_for_backward(grid, first_seen, *(tensor for layer in layers for tensor in _flat(layer)))
        ctx.num_layers = num_layers
        ctx.set_materialize_grads(False)
        joined = (torch.cat(gains[::2]), torch.cat(gains[1::2])) if gains is not None else (None, None)
        return layers[-1].hiddens, memory, *after, *joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_tops: Tensor | None, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        grid, first_seen, *saved = ctx.saved_tensors
        count = len(saved) // ctx.num_layers
        layers = [_restored(saved[start : start + count]) for start in range(0, len(saved), count)]
        size, width, dtype = len(first_seen), first_seen.shape[1], grid.dtype
        nothing = torch.zeros_like(first_seen, dtype=torch.float32)
        of_memory, *of_states = (nothing if of is None else of for of in gradients[: 1 + 2 * len(layers)])
        of_gains = [None if of is None else of.split(size) for of in gradients[-2:]]
        ways = [
            _WayBack.begin(layer, channels_last(of_h.to(dtype, copy=True)), channels_last(of_c.float()))
            for layer, of_h, of_c in zip(layers, of_states[::2], of_states[1::2], strict=True)
        ]
        for t in reversed(range(len(grid) // size)):
            now = slice(t * size, (t + 1) * size)
            if of_tops is not None:
                ways[-1].of_hidden += of_tops[now]
            for n, way in reversed(list(enumerate(ways))):
                gains = [None if of is None else of[t * len(ways) + n] for of in of_gains]
                of_memory = way.step(t, of_memory, gains)
                if n:
                    way.add_of_x(ways[n - 1].of_hidden, now)
        of_grid = torch.zeros_like(grid) if ctx.needs_input_grad[3] else None
        if of_grid is not None:
            ways[0].add_of_x(of_grid, slice(None))
        of_all = []
        for n, way in enumerate(ways):
            # M comes from the layer below, to the lowest one from the highest a step before
            seen = layers[n - 1].both[:, width:]
            seen = seen if n else torch.cat([first_seen, seen[:-size]])
            of_all += way.of_weights(layers[n - 1].hiddens if n else grid, seen)
        of_states = [of for way in ways for of in (way.of_hidden, way.of_cell)]
        return None, None, None, of_grid, of_memory, *of_states, *of_all


def _flat(layer: _Layer) -> list[Tensor]:
    """All tensors of it, as _restored takes them."""
    *whole, cell_gates, memory_gates, output_gates, merged, cells, memories = layer
    return [*whole, *cell_gates, *memory_gates, *output_gates, *merged, *cells, *memories]


def _restored(tensors: Sequence[Tensor]) -> _Layer:
    """The inverse of _flat."""
    start = len(_Layer._fields) - NUM_LISTS
    steps = (len(tensors) - start) // NUM_LISTS
    return _Layer._make([*tensors[:start], *(list(tensors[i : i + steps]) for i in range(start, len(tensors), steps))])


def _of_sum(of_after: Tensor, of_gain: Tensor | None, gates: Tensor, before: Tensor, out: Tensor) -> Tensor:
    """The gradient by a memory `before` a step, from that after it and by its gain; those by i, f and g go to `out`."""
    width = before.shape[1]
    i, f, g = gates.chunk(3, dim=1)
    of_i, of_f, of_g = out.split(width, dim=1)[:3]
    of_product = (of_after if of_gain is None else of_after + of_gain).to(i.dtype)
    torch.mul(of_product, g, out=of_i)
    of_f.copy_(of_after * before)
    of_sigmoid(out[:, : 2 * width], gates[:, : 2 * width], out[:, : 2 * width])
    of_tanh(of_product * i, g, of_g)
    return of_after * f


def alike(cell_gain: Tensor, memory_gain: Tensor) -> Tensor:
    """How alike two memories' increments (N, D, h, w) are: |cos| of each channel, (N, D) (Wang et al. 2022, eq. 7)."""
    return F.cosine_similarity(cell_gain.flatten(2).float(), memory_gain.flatten(2).float(), dim=2).abs()
