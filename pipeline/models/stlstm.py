"""The spatiotemporal LSTM with the zigzag memory: PredRNN (Wang et al. 2017, 2022), over patches of the frame."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.fast_path import fast_path_available
from pipeline.nn.layers import channels_last, clamp, same_conv, to_frames, to_grid
from pipeline.nn.stlstm_kernel import StLstmOutput, StLstmWeights, st_lstm

State = tuple[Tensor, ...]


class StLstm(nn.Module):
    """Stacked ST-LSTM layers between space-to-depth and its inverse; frames may have any size.

    A second memory M rises through the layers within a step and goes from the top layer to the bottom one of the next
    step (Wang et al. 2017, figure 2), so that what a step reads reaches all layers at once. The
    state is M, then H and C of each layer, each (B, hidden_channels, h, w).

    In training, auxiliary_loss() returns the decoupling loss of the forward calls since it was last asked: its weight
    in the whole is `decoupling` (Wang et al. 2022, section 3.3), 0 for none.
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
        # one for all layers, as in the paper's equation of the loss: ΔC and ΔM both go through it
        self.adapter = same_conv(hidden_channels, hidden_channels, 1, bias=False) if decoupling else None
        self.head = same_conv(hidden_channels, out_channels * patch_size**2, 1)
        self.decoupling_losses: list[Tensor] = []  # of the calls since auxiliary_loss was last asked

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        grid = to_grid(frames, self.patch_size)  # (T*B, C*patch_size², h, w)
        if state is None:
            zeros = channels_last(grid.new_zeros(batch_size, self.hidden_channels, *grid.shape[-2:]))
            state = (zeros,) * (1 + 2 * len(self.layers))
        layers = cast("list[StLstmLayer]", list(self.layers))  # nn.ModuleList forgets what it holds
        adapter = self.adapter if self.training else None
        if fast_path_available(grid):
            weights = [layer.weights() for layer in layers]
            hiddens, state, *deltas = st_lstm(grid, state, weights, batch_size, want_deltas=adapter is not None)
        else:
            hiddens, state, *deltas = plain(grid, state, layers, batch_size)
        if adapter is not None:
            self.decoupling_losses.append(decoupling_loss(*(adapter(delta) for delta in deltas)))
        outputs = clamp(self.head(hiddens).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), state

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted decoupling loss since the last call, None if there is none; objectives add it to theirs."""
        losses, self.decoupling_losses = self.decoupling_losses, []
        return self.decoupling * torch.cat(losses).mean() if losses else None


class StLstmLayer(nn.Module):
    """One ST-LSTM layer (Wang et al. 2017, eq. 5): `step` is its definition.

    Each of X, H, M and [C, M] has its own convolution, for all gates that read it at once. Whole sequences go through
    the kernel (pipeline/nn/stlstm_kernel.py) where that is available.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.hidden_channels = hidden_channels
        self.from_input = same_conv(in_channels, 7 * hidden_channels, kernel_size)  # i, f, g, o and i', f', g'
        self.from_hidden = same_conv(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)
        self.from_memory = same_conv(hidden_channels, 3 * hidden_channels, kernel_size, bias=False)
        self.output_gate = same_conv(2 * hidden_channels, hidden_channels, kernel_size, bias=False)
        self.merge = same_conv(2 * hidden_channels, hidden_channels, 1)
        # both forget gates begin open: remember, until training says otherwise
        part = torch.arange(7 * hidden_channels) // hidden_channels
        self.from_input.bias = nn.Parameter(((part == 1) | (part == 5)).float())

    def step(self, x: Tensor, h: Tensor, c: Tensor, m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """H_t, C_t, M_t, ΔC and ΔM from X_t, H_{t-1}, C_{t-1} and the M of the layer below (Wang et al. 2017, eq. 5).

        For the lowest layer X_t is the frame and M the top layer's of the step before.
        """
        x_gates, x_memory_gates = self.from_input(x).split([4 * self.hidden_channels, 3 * self.hidden_channels], dim=1)
        i, f, g, o = (x_gates + self.from_hidden(h)).chunk(4, dim=1)  # W_x ∗ X_t + W_h ∗ H_{t-1} + b
        delta_cell = torch.sigmoid(i) * torch.tanh(g)  # i_t ∘ g_t
        c = torch.sigmoid(f) * c + delta_cell  # C_t = f_t ∘ C_{t-1} + i_t ∘ g_t
        i, f, g = (x_memory_gates + self.from_memory(m)).chunk(3, dim=1)  # W'_x ∗ X_t + W_m ∗ M + b'
        delta_memory = torch.sigmoid(i) * torch.tanh(g)  # i'_t ∘ g'_t
        m = torch.sigmoid(f) * m + delta_memory  # M_t = f'_t ∘ M + i'_t ∘ g'_t
        cell_memory = torch.cat([c, m], dim=1)  # [C_t, M_t]
        o = torch.sigmoid(o + self.output_gate(cell_memory))  # o_t = σ(… + W_co ∗ C_t + W_mo ∗ M_t + b_o)
        h = o * torch.tanh(self.merge(cell_memory))  # H_t = o_t ∘ tanh(W_1x1 ∗ [C_t, M_t])
        return h, c, m, delta_cell, delta_memory

    def weights(self) -> StLstmWeights:
        """As the kernel takes them."""
        return StLstmWeights(
            from_input=self.from_input.weight,
            bias=cast("Tensor", self.from_input.bias),
            from_hidden=self.from_hidden.weight,
            from_memory=self.from_memory.weight,
            output_gate=self.output_gate.weight,
            merge=self.merge.weight,
            merge_bias=cast("Tensor", self.merge.bias),
        )


def plain(grid: Tensor, state: State, layers: list[StLstmLayer], batch_size: int) -> StLstmOutput:
    """What the kernel computes, by StLstmLayer.step alone and differentiated by autograd."""
    m, *states = state
    hiddens, delta_cells, delta_memories = [], [], []
    for x in grid.split(batch_size):
        for n, layer in enumerate(layers):
            h, c = states[2 * n : 2 * n + 2]
            x, c, m, delta_cell, delta_memory = layer.step(x, h, c, m)
            states[2 * n : 2 * n + 2] = [x, c]
            delta_cells.append(delta_cell)
            delta_memories.append(delta_memory)
        hiddens.append(x)
    return StLstmOutput(torch.cat(hiddens), (m, *states), torch.cat(delta_cells), torch.cat(delta_memories))


def decoupling_loss(delta_cell: Tensor, delta_memory: Tensor) -> Tensor:
    """|cos(ΔC, ΔM)| of each channel, (N, D), for increments (N, D, h, w) (Wang et al. 2022, eq. 7)."""
    return F.cosine_similarity(delta_cell.flatten(2).float(), delta_memory.flatten(2).float(), dim=2).abs()
