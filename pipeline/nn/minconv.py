"""Minimal recurrent layers of convolutions (Feng et al. 2024): gates that do not read h, so that time is one scan."""

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.nn.layers import same_conv

Cell = Literal["gru", "lstm"]
NUM_MAPS = {"gru": 2, "lstm": 3}  # gates and candidate: z, h̃ and f, i, h̃


class MinConvLayer(nn.Module):
    """minGRU or minLSTM (Feng et al. 2024, "Were RNNs All We Needed?", sections 3.1 and 3.2), linear maps convolved.

    All that is read is x_t, so that h_t = a_t ∘ h_{t-1} + b_t is linear in h, and all steps of a sequence are one scan.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int, cell: Cell) -> None:
        super().__init__()
        self.cell, self.hidden_channels = cell, hidden_channels
        num_maps = NUM_MAPS[cell]
        self.from_input = same_conv(in_channels, num_maps * hidden_channels, kernel_size)
        # h̃ from 0; the gates begin half shut to what is new: remember, until training says otherwise
        bias = torch.zeros(num_maps, hidden_channels)
        bias[0] = -1.0 if cell == "gru" else 1.0  # z, or f
        self.from_input.bias = nn.Parameter(bias.flatten())

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and b_t of h_t = a_t ∘ h_{t-1} + b_t from x_t (N, in_channels, h, w), in float32."""
        maps = self.from_input(x).float().chunk(NUM_MAPS[self.cell], dim=1)
        if self.cell == "gru":
            z, candidate = torch.sigmoid(maps[0]), maps[1]  # z_t = σ(W_z ∗ x_t + b_z), h̃_t = W_h ∗ x_t + b_h
            return 1 - z, z * candidate  # h_t = (1 - z_t) ∘ h_{t-1} + z_t ∘ h̃_t
        f, i, candidate = torch.sigmoid(maps[0]), torch.sigmoid(maps[1]), maps[2]  # likewise f_t, i_t, h̃_t
        forget = f / (f + i)  # f'_t = f_t / (f_t + i_t), i'_t = i_t / (f_t + i_t)
        return forget, (1 - forget) * candidate  # h_t = f'_t ∘ h_{t-1} + i'_t ∘ h̃_t

    def forward(self, grid: Tensor, batch_size: int, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs (T * B, in_channels, h, w), time first, to the hidden states after each step, and the last of them."""
        decay, new = (part.unflatten(0, (-1, batch_size)) for part in self.coefficients(grid))  # (T, B, C, h, w)
        hiddens = scan(decay, new, hidden).flatten(0, 1)
        return hiddens, hiddens[-batch_size:]


def scan(decay: Tensor, new: Tensor, first: Tensor | None) -> Tensor:
    """All h_t = decay_t ∘ h_{t-1} + new_t, (T, …), from `decay` and `new` (T, …) and h_0 = `first` (…); None: zeros.

    Step by step on a processor, which memory binds: there the rounds of the parallel scan take 7 times as long for 10
    steps and 20 times for 64. Elsewhere, where what counts is how many calls there are, by the parallel scan.
    """
    if first is not None:
        new = torch.cat([new[:1] + decay[:1] * first, new[1:]])
    return sequential_scan(decay, new) if new.device.type == "cpu" else parallel_scan(decay, new)


def sequential_scan(decay: Tensor, new: Tensor) -> Tensor:
    """All h_t = decay_t ∘ h_{t-1} + new_t from h_0 = 0, one after another."""
    hiddens = [new[0]]
    for a, b in zip(decay[1:], new[1:], strict=True):
        hiddens.append(torch.addcmul(b, a, hiddens[-1]))
    return torch.stack(hiddens)


def parallel_scan(decay: Tensor, new: Tensor) -> Tensor:
    """The same in ⌈log₂ T⌉ rounds, in each of which every step takes in the one 1, 2, 4 … before it.

    Steps (a, b) compose to steps: first (a, b), then (a', b'), is (a' a, a' b + b') (Hillis & Steele 1986).
    """
    reach = 1
    while reach < len(new):
        new = torch.cat([new[:reach], torch.addcmul(new[reach:], decay[reach:], new[:-reach])])
        decay = torch.cat([decay[:reach], decay[reach:] * decay[:-reach]])
        reach *= 2
    return new
