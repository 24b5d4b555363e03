"""The convolutional LSTM (Shi et al. 2015) over patches of the frame."""

import torch
from torch import Tensor, nn

from pipeline.models.layers import same_conv, to_frames, to_grid

State = tuple[tuple[Tensor, Tensor], ...]


class ConvLstm(nn.Module):
    """Stacked ConvLSTM layers between space-to-depth and its inverse.

    Patches of patch_size² pixels become the channels of one grid cell, as in the paper's section 4.1. The state is
    one (h, c) a layer, each (B, hidden_channels, h, w). Without peepholes (the terms in W_c∘C of eq. 3), which tie
    the weights to one size of frame: this network takes any.
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
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        cell_channels = frame_shape[0] * patch_size**2
        self.layers = nn.ModuleList(
            ConvLstmLayer(cell_channels if i == 0 else hidden_channels, hidden_channels, kernel_size)
            for i in range(num_layers)
        )
        self.head = nn.Conv2d(hidden_channels, out_channels * patch_size**2, 1)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        grid = to_grid(frames, self.patch_size)  # (T*B, C*patch_size², h, w)
        after = []
        for i, layer in enumerate(self.layers):
            grid, hidden = layer(grid, batch_size, None if state is None else state[i])
            after.append(hidden)
        # float: bfloat16 has no grey between -1 and -0.996
        outputs = torch.tanh(self.head(grid).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), tuple(after)


class ConvLstmLayer(nn.Module):
    """One layer over a whole sequence: what reads x is one convolution over all steps, only what reads h waits."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.from_input = same_conv(in_channels, 4 * hidden_channels, kernel_size)
        self.from_hidden = same_conv(hidden_channels, 4 * hidden_channels, kernel_size, bias=False)
        # the forget gate begins open: remember, until training says otherwise
        self.from_input.bias = nn.Parameter((torch.arange(4 * hidden_channels) // hidden_channels == 1).float())

    def forward(
        self, grid: Tensor, batch_size: int, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Inputs (T * B, in_channels, h, w), time first, to hidden states (T * B, hidden_channels, h, w)."""
        from_input = self.from_input(grid).split(batch_size)  # T of (B, 4 * hidden_channels, h, w)
        hidden, cell = state if state is not None else (None, None)
        outputs = []
        for gates in from_input:
            hidden, cell = self.step(gates if hidden is None else gates + self.from_hidden(hidden), cell)
            outputs.append(hidden)
        assert hidden is not None
        assert cell is not None
        return torch.cat(outputs), (hidden, cell)

    @staticmethod
    def step(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        """The hidden and the cell state after a step (Shi et al. 2015, eq. 3); without a cell state, the first."""
        i, f, g, o = gates.chunk(4, dim=1)
        new = torch.sigmoid(i) * torch.tanh(g)
        # the sum of many steps stays in float32 under autocast
        cell = new.float() if cell is None else torch.sigmoid(f) * cell + new
        return (torch.sigmoid(o) * torch.tanh(cell)).to(gates.dtype), cell
