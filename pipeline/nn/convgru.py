"""The convolutional GRU layer (Ballas et al. 2016), less a gate: its equations, and the choice of its fast path."""

import torch
from torch import Tensor, nn

from pipeline.nn.convgru_kernel import conv_gru
from pipeline.nn.fast_path import fast_path_available
from pipeline.nn.layers import same_conv
from pipeline.nn.recurrence import GateConvolutions


class ConvGru(nn.Module):
    """A gated recurrent unit of convolutions, without the reset gate (as Zhou et al. 2016, for half the arithmetic).

    `step` is its definition. `forward` computes the same values for whole sequences, by the kernel (convgru_kernel.py)
    where that is available.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.from_input = same_conv(channels, 2 * channels, 3)  # W_z, W and their biases
        self.from_hidden = same_conv(channels, 2 * channels, 3, bias=False)  # U_z, U
        # the update gate begins nearly shut: remember, until training says otherwise
        self.from_input.bias = nn.Parameter(-(torch.arange(2 * channels) < channels).float())

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """h_t from x_t and h_{t-1}: GRU-RCN (Ballas et al. 2016, section 3.1) with biases, and with r_t = 1.

        The candidate so reads h_{t-1} itself, where the paper has U ∗ (r_t ∘ h_{t-1}).
        """
        z, candidate = (self.from_input(x) + self.from_hidden(h)).chunk(2, dim=1)
        z = torch.sigmoid(z)  # z_t = σ(W_z ∗ x_t + U_z ∗ h_{t-1} + b_z)
        candidate = torch.tanh(candidate)  # h̃_t = tanh(W ∗ x_t + U ∗ h_{t-1} + b)
        return (1 - z) * h + z * candidate  # h_t = (1 - z_t) ∘ h_{t-1} + z_t ∘ h̃_t

    def forward(self, grid: Tensor, batch_size: int, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs (T * B, channels, h, w), time first, to the hidden states after each step, and the last of them."""
        if not fast_path_available(grid):
            return self.plain(grid, batch_size, hidden)
        weights = GateConvolutions(self.from_input.weight, self.from_input.bias, self.from_hidden.weight)
        hiddens = conv_gru(grid, weights, hidden, batch_size)
        return hiddens, hiddens[-batch_size:]

    def plain(self, grid: Tensor, batch_size: int, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """What forward computes, by `step` alone and differentiated by autograd."""
        if hidden is None:
            hidden = grid.new_zeros(batch_size, self.channels, *grid.shape[-2:])
        hiddens = []
        for x in grid.split(batch_size):
            hidden = self.step(x, hidden)
            hiddens.append(hidden)
        return torch.cat(hiddens), hidden
