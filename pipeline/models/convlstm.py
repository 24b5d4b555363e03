"""The convolutional LSTM (Shi et al. 2015) over patches of the frame.

Each layer computes, for its input X_t (eq. 3 without peepholes; ∗ is a convolution, ∘ a product element by element),

    i_t = σ(W_xi ∗ X_t + W_hi ∗ H_{t-1} + b_i)
    f_t = σ(W_xf ∗ X_t + W_hf ∗ H_{t-1} + b_f)
    C_t = f_t ∘ C_{t-1} + i_t ∘ tanh(W_xc ∗ X_t + W_hc ∗ H_{t-1} + b_c)
    o_t = σ(W_xo ∗ X_t + W_ho ∗ H_{t-1} + b_o)
    H_t = o_t ∘ tanh(C_t)

which is ConvLstmLayer.step in pipeline/nn/convlstm.py, line by line.
"""

from torch import Tensor, nn

from pipeline.nn.convlstm import ConvLstmLayer
from pipeline.nn.layers import clamp, to_frames, to_grid

State = tuple[tuple[Tensor, Tensor], ...]


class ConvLstm(nn.Module):
    """Stacked ConvLSTM layers between space-to-depth and its inverse.

    Patches of patch_size² pixels become the channels of one grid cell, as in the paper's section 4.1. The state is
    one (H, C) per layer, each (B, hidden_channels, h, w). Without peepholes (the terms in W_c∘C of eq. 3), which tie
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
        outputs = clamp(self.head(grid).float())
        return to_frames(outputs, self.patch_size, batch_size, (height, width)), tuple(after)
