"""The convolutional LSTM layer (Shi et al. 2015): its equations, step by step, and the choice of its fast path."""

import torch
from torch import Tensor, nn

from pipeline.nn.convlstm_kernel import conv_lstm
from pipeline.nn.fast_path import fast_path_available
from pipeline.nn.layers import same_conv
from pipeline.nn.recurrence import GateConvolutions

State = tuple[Tensor, Tensor]  # H_t and C_t, (B, hidden_channels, h, w)


class ConvLstmLayer(nn.Module):
    """A layer of convolutional long short-term memory (Shi et al. 2015, eq. 3, without peepholes).

    `step` is its definition. `forward` computes the same values for whole sequences, by the kernel
    (convlstm_kernel.py) where that is available.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.hidden_channels = hidden_channels
        self.from_input = same_conv(in_channels, 4 * hidden_channels, kernel_size)  # W_x and b of i, f, c, o
        self.from_hidden = same_conv(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)  # W_h of them
        # the forget gate begins open: remember, until training says otherwise
        self.from_input.bias = nn.Parameter((torch.arange(4 * hidden_channels) // hidden_channels == 1).float())

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        """H_t and C_t from X_t, H_{t-1} and C_{t-1} (Shi et al. 2015, eq. 3, without the peepholes W_c ∘ C)."""
        i, f, g, o = (self.from_input(x) + self.from_hidden(h)).chunk(4, dim=1)  # W_x ∗ X_t + W_h ∗ H_{t-1} + b
        i = torch.sigmoid(i)  # i_t = σ(W_xi ∗ X_t + W_hi ∗ H_{t-1} + b_i)
        f = torch.sigmoid(f)  # f_t = σ(W_xf ∗ X_t + W_hf ∗ H_{t-1} + b_f)
        c = f * c + i * torch.tanh(g)  # C_t = f_t ∘ C_{t-1} + i_t ∘ tanh(W_xc ∗ X_t + W_hc ∗ H_{t-1} + b_c)
        o = torch.sigmoid(o)  # o_t = σ(W_xo ∗ X_t + W_ho ∗ H_{t-1} + b_o)
        h = o * torch.tanh(c)  # H_t = o_t ∘ tanh(C_t)
        return h, c

    def forward(self, grid: Tensor, batch_size: int, state: State | None) -> tuple[Tensor, State]:
        """Inputs (T * B, in_channels, h, w), time first, to hidden states (T * B, hidden_channels, h, w)."""
        if not fast_path_available(grid):
            return self.plain(grid, batch_size, state)
        weights = GateConvolutions(self.from_input.weight, self.from_input.bias, self.from_hidden.weight)
        hiddens, cell = conv_lstm(grid, weights, state, batch_size)
        return hiddens, (hiddens[-batch_size:], cell)

    def plain(self, grid: Tensor, batch_size: int, state: State | None) -> tuple[Tensor, State]:
        """What forward computes, by `step` alone and differentiated by autograd."""
        if state is None:
            zeros = grid.new_zeros(batch_size, self.hidden_channels, *grid.shape[-2:])
            state = zeros, zeros
        hiddens = []
        for x in grid.split(batch_size):
            state = self.step(x, *state)
            hiddens.append(state[0])
        return torch.cat(hiddens), state
