"""ConvLSTM and ST-LSTM as they are commonly published: one convolution over all that a gate reads, step by step.

The plain baseline of the benchmarks, with the weights of a generator of pipeline.models and its values. The definitions
in the product (ConvLstmLayer.step, StLstmLayer.step) convolve x and h apart, as the papers print it; joined they are
faster, so this is what a user would otherwise run, and nothing else is arranged for speed.
"""

import torch
from torch import Tensor, nn

from pipeline.models.convlstm import ConvLstm
from pipeline.models.stlstm import StLstm
from pipeline.nn.layers import clamp, to_frames, to_grid


def joined(*parts: nn.Conv2d) -> nn.Conv2d:
    """One convolution over the concatenated inputs of `parts`, which have the same outputs; the bias is the first's."""
    weight = torch.cat([part.weight.detach() for part in parts], dim=1).contiguous()
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(parts[0].bias.detach().clone())
    return conv


def rows(conv: nn.Conv2d, start: int, stop: int) -> nn.Conv2d:
    """The outputs [start, stop) of `conv`, as a convolution."""
    part = nn.Conv2d(conv.in_channels, stop - start, conv.kernel_size[0], padding=conv.padding[0])
    part.weight = nn.Parameter(conv.weight.detach()[start:stop])
    part.bias = nn.Parameter(torch.zeros(stop - start) if conv.bias is None else conv.bias.detach()[start:stop])
    return part


class TextbookConvLstm(nn.Module):
    """Shi et al. 2015, eq. 3 without peepholes: one convolution over [x, h] per layer and step."""

    def __init__(self, ours: ConvLstm) -> None:
        super().__init__()
        self.patch_size = ours.patch_size
        self.layers = nn.ModuleList(joined(layer.from_input, layer.from_hidden) for layer in ours.layers)
        self.head = rows(ours.head, 0, ours.head.out_channels)

    def forward(self, frames: Tensor, state=None):
        batch, _, _, height, width = frames.shape
        state = list(state) if state else [None] * len(self.layers)
        tops = []
        for x in to_grid(frames, self.patch_size).contiguous().split(batch):
            for n, layer in enumerate(self.layers):
                zeros = x.new_zeros(batch, layer.out_channels // 4, *x.shape[-2:])
                h, c = state[n] or (zeros, zeros)
                i, f, g, o = layer(torch.cat([x, h], dim=1)).chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                x = torch.sigmoid(o) * torch.tanh(c)
                state[n] = (x, c)
            tops.append(self.head(x))
        return to_frames(clamp(torch.cat(tops)), self.patch_size, batch, (height, width)), tuple(state)


class TextbookStLstm(nn.Module):
    """Wang et al. 2017, eq. 5: convolutions over [x, h], [x, M], [x, h, C, M] and [C, M] per layer and step."""

    def __init__(self, ours: StLstm) -> None:
        super().__init__()
        self.patch_size, self.width = ours.patch_size, ours.hidden_channels
        d = self.width
        self.cells = nn.ModuleList()
        for layer in ours.layers:
            from_x, from_h = layer.from_input, layer.from_hidden
            merge = rows(layer.merge, 0, d)
            self.cells.append(
                nn.ModuleList(
                    [
                        joined(rows(from_x, 0, 3 * d), rows(from_h, 0, 3 * d)),
                        joined(rows(from_x, 4 * d, 7 * d), layer.from_memory),
                        joined(rows(from_x, 3 * d, 4 * d), rows(from_h, 3 * d, 4 * d), layer.output_gate),
                        merge,
                    ]
                )
            )
        self.head = rows(ours.head, 0, ours.head.out_channels)

    def forward(self, frames: Tensor, state=None):
        batch, _, _, height, width = frames.shape
        grid = to_grid(frames, self.patch_size).contiguous()
        zeros = grid.new_zeros(batch, self.width, *grid.shape[-2:])
        memory, *parts = state or [zeros] * (1 + 2 * len(self.cells))
        tops = []
        for x in grid.split(batch):
            for n, (gates, memory_gates, output_gate, merge) in enumerate(self.cells):
                h, c = parts[2 * n : 2 * n + 2]
                i, f, g = gates(torch.cat([x, h], dim=1)).chunk(3, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                i, f, g = memory_gates(torch.cat([x, memory], dim=1)).chunk(3, dim=1)
                memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
                o = torch.sigmoid(output_gate(torch.cat([x, h, c, memory], dim=1)))
                x = o * torch.tanh(merge(torch.cat([c, memory], dim=1)))
                parts[2 * n : 2 * n + 2] = [x, c]
            tops.append(self.head(x))
        return to_frames(clamp(torch.cat(tops)), self.patch_size, batch, (height, width)), (memory, *parts)
