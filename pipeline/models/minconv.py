"""minConvGRU and minConvLSTM: minimal recurrent layers (Feng et al. 2024) of convolutions over patches of the frame.

The gates of a layer read its input alone, so that all frames that are known are one parallel scan; what moves over time
is seen where one layer's memory is the next one's input.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.layers import clamp, same_conv, to_frames, to_grid
from pipeline.nn.minconv import Cell, MinConvLayer

State = tuple[Tensor, ...]


class MinConv(nn.Module):
    """Residual blocks of a minimal recurrent layer, between space-to-depth and its inverse; frames may have any size.

    A block adds W ∗ GELU(h_t), a convolution with a kernel of one cell, to its input. The state is one h per block,
    (B, hidden_channels, h, w).
    """

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        cell: Cell,
        hidden_channels: int,
        num_layers: int,
        kernel_size: int,
        patch_size: int,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.embed = same_conv(frame_shape[0] * patch_size**2, hidden_channels, kernel_size)
        self.layers = nn.ModuleList(
            MinConvLayer(hidden_channels, hidden_channels, kernel_size, cell) for _ in range(num_layers)
        )
        self.mixes = nn.ModuleList(same_conv(hidden_channels, hidden_channels, 1) for _ in range(num_layers))
        self.head = same_conv(hidden_channels, out_channels * patch_size**2, 1)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        grid = self.embed(to_grid(frames, self.patch_size))  # (T*B, D, h, w)
        after = []
        for i, (layer, mix) in enumerate(zip(self.layers, self.mixes, strict=True)):
            remembered, hidden = layer(F.gelu(grid), batch_size, None if state is None else state[i])
            grid = grid + mix(F.gelu(remembered))
            after.append(hidden)
        # float: bfloat16 has no grey between -1 and -0.996
        outputs = clamp(self.head(grid).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), tuple(after)
