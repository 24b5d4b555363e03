"""The spatiotemporal LSTM with the zigzag memory: PredRNN (Wang et al. 2017, 2022), over patches of the frame."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.layers import channels_last, clamp, same_conv, to_frames, to_grid

State = tuple[Tensor, ...]


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
        self.layers = nn.ModuleList(StLstmCell(width, hidden_channels, kernel_size) for width in widths)
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
        memory, parts = state[0], list(state[1:])
        cells = cast("list[StLstmCell]", list(self.layers))  # nn.ModuleList forgets what it holds
        tops = []
        # the zigzag lets no other layer run ahead of the steps
        for from_frame in cells[0].from_input(grid).split(batch_size):
            for i, layer in enumerate(cells):
                from_input = layer.from_input(parts[2 * i - 2]) if i else from_frame
                hidden, cell, memory, gains = layer(from_input, parts[2 * i], parts[2 * i + 1], memory)
                parts[2 * i : 2 * i + 2] = [hidden, cell]
                if self.adapter is not None and self.training:
                    self.likeness.append(alike(*map(self.adapter, gains)))
            tops.append(hidden)
        outputs = clamp(self.head(torch.cat(tops)).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), (memory, *parts)

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted decoupling loss since the last call, None if there is none; objectives add it to theirs."""
        likeness, self.likeness = self.likeness, []
        return self.decoupling * torch.stack(likeness).mean() if likeness else None


class StLstmCell(nn.Module):
    """One step of one layer (Wang et al. 2017, eq. 5); each of x, h, M and [C, M] has its convolution, x's outside."""

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

    def forward(
        self, from_input: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
        """from_input(x) (B, 7 * D, h, w), h, C and M before, each (B, D, h, w), to h, C and M after, and the gains."""
        of_cell, of_memory = from_input.split([4 * hidden.shape[1], 3 * hidden.shape[1]], dim=1)
        i, f, g, o = (of_cell + self.from_hidden(hidden)).chunk(4, dim=1)
        cell_gain = torch.sigmoid(i) * torch.tanh(g)
        # the sums of many steps stay in float32 under autocast, as the states given to begin with
        cell = torch.sigmoid(f) * cell + cell_gain
        i, f, g = (of_memory + self.from_memory(memory)).chunk(3, dim=1)
        memory_gain = torch.sigmoid(i) * torch.tanh(g)
        memory = torch.sigmoid(f) * memory + memory_gain
        both = torch.cat([cell, memory], dim=1).to(o.dtype)
        hidden = torch.sigmoid(o + self.output_gate(both)) * torch.tanh(self.merge(both))
        return hidden.to(cell.dtype), cell, memory, (cell_gain, memory_gain)


def alike(cell_gain: Tensor, memory_gain: Tensor) -> Tensor:
    """How alike the two memories' increments are: mean |cos| of the channels, in [0, 1] (Wang et al. 2022, eq. 7)."""
    return F.cosine_similarity(cell_gain.flatten(2).float(), memory_gain.flatten(2).float(), dim=2).abs().mean()
