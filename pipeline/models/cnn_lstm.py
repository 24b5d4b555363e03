"""A CNN joined with an RNN: convolutions encode a frame, ConvLSTM layers remember, convolutions decode with skips."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.convlstm import ConvLstmLayer
from pipeline.nn.layers import CHANNELS_LAST, clamp, same_conv, to_grid, to_pixels

State = tuple[tuple[Tensor, Tensor], ...]


class CnnLstm(nn.Module):
    """Encoder, recurrent core over the latent grid, decoder; frames may have any size.

    The encoder keeps hidden_channels on cells of patch_size pixels and halves that grid once, with twice the channels;
    there the recurrence runs, where it is cheapest. The skip connection brings the decoder the finer grid of the same
    frame, so that the core remembers motion and not pixels. The state is one (H, C) per layer, (B, 2 *
    hidden_channels, h, w), of cells of 2 * patch_size pixels.
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
        self.encode = same_conv(frame_shape[0] * patch_size**2, hidden_channels, 3)
        down = nn.Conv2d(hidden_channels, 2 * hidden_channels, 2, stride=2)
        self.down = down.to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
        self.layers = nn.ModuleList(
            ConvLstmLayer(2 * hidden_channels, 2 * hidden_channels, kernel_size) for _ in range(num_layers)
        )
        self.up = same_conv(2 * hidden_channels, 4 * hidden_channels, 1)
        self.decode = same_conv(2 * hidden_channels, hidden_channels, 3)
        self.head = same_conv(hidden_channels, out_channels * patch_size**2, 1)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        fine = F.gelu(self.encode(to_grid(frames, self.patch_size)))  # (T*B, D, h, w)
        rows, columns = fine.shape[-2:]
        grid = F.gelu(self.down(F.pad(fine, (0, columns % 2, 0, rows % 2), mode="replicate")))
        after = []
        for i, layer in enumerate(self.layers):
            remembered, hidden = layer(grid, batch_size, None if state is None else state[i])
            grid = grid + remembered
            after.append(hidden)
        finer = F.pixel_shuffle(self.up(grid), 2)[..., :rows, :columns]
        pixels = self.head(F.gelu(self.decode(torch.cat([fine, finer], dim=1))))
        # float: bfloat16 has no grey between -1 and -0.996
        images = clamp(to_pixels(pixels.float(), self.patch_size, (height, width)))
        return images.unflatten(0, (-1, batch_size)).transpose(0, 1), tuple(after)
