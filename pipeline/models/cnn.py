"""Convolutions only, no recurrence: the idea of SimVP (Gao et al. 2022), under the contract of the recurrent ones."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.layers import channels_last, clamp, same_conv, to_grid, to_pixels


class State(NamedTuple):
    """Between two calls; K is num_frames. Some callers hand it back as a plain tuple."""

    frames: Tensor  # the last ones, (B, K-1, C, H, W)
    pending: Tensor  # grids of the block that are still to be decoded, the next one first, (B, K-1, D, h, w)
    num_pending: Tensor  # how many they are, the same number in each cell, (B, 1, h, w)


class Cnn(nn.Module):
    """Encodes the last `num_frames` frames, translates their stack into that of as many to come, decodes each.

    SimVP answers once, with a whole block of frames. To answer after every frame, and for any horizon, the state holds
    the last frames, the grids of the block that are still to be decoded, and how many they are. While the rollout says
    that the model is fed its own last output (`fed_back`), the next grid of the block is decoded; any other frame is
    new, and begins a new block, computed from the last frames. At the end of a block the next one begins likewise. A
    sequence begins as if its first frame had stood still.
    """

    takes_fed_back = True

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden_channels: int,
        num_blocks: int,
        num_frames: int,
        patch_size: int,
    ) -> None:
        super().__init__()
        self.patch_size, self.num_frames, self.out_channels = patch_size, num_frames, out_channels
        stacked = num_frames * hidden_channels
        self.encode = same_conv(frame_shape[0] * patch_size**2, hidden_channels, 3)
        self.refine = same_conv(hidden_channels, hidden_channels, 3)
        self.blocks = nn.ModuleList(Block(stacked) for _ in range(num_blocks))
        self.decode = same_conv(2 * hidden_channels, hidden_channels, 3)
        self.head = same_conv(hidden_channels, out_channels * patch_size**2, 1)

    def forward(
        self, frames: Tensor, state: State | None = None, fed_back: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says.

        `fed_back` (B, T) bool says which frames are the model's own last output; None: none.
        """
        if state is None:
            state = self.begin(frames[:, 0])
        if fed_back is None:
            return self.begin_block(frames, state)
        outputs = []
        for t in range(frames.shape[1]):
            output, state = self.step(frames[:, t : t + 1], state, fed_back[:, t].to(frames.device))
            outputs.append(output)
        return torch.cat(outputs, dim=1), state

    def begin(self, frame: Tensor) -> State:
        """The state before the first frame (B, C, H, W)."""
        grid = self.features(frame[:, None])
        return State(
            frames=frame[:, None].repeat(1, self.num_frames - 1, 1, 1, 1),
            pending=grid.new_zeros(len(frame), self.num_frames - 1, *grid.shape[1:]),
            num_pending=frame.new_zeros(len(frame), 1, *grid.shape[-2:]),
        )

    def step(self, frame: Tensor, state: State, fed_back: Tensor) -> tuple[Tensor, State]:
        """One step of all sequences, each by the next grid of its block or by a new one; `frame` is (B, 1, C, H, W)."""
        past, pending, num_pending = state
        goes_on = fed_back & (num_pending[:, 0, 0, 0] > 0)  # (B,)
        if not goes_on.any():
            return self.begin_block(frame, state)
        output = self.paint(pending[:, 0], self.features(frame), frame.shape)
        window = torch.cat([past, frame], dim=1)[:, 1:]
        rest = torch.cat([pending[:, 1:], torch.zeros_like(pending[:, :1])], dim=1)
        after = State(window, rest, num_pending - 1)
        if goes_on.all():
            return output, after
        new_output, new_after = self.begin_block(frame, state)

        def pick(next_grid: Tensor, new_block: Tensor) -> Tensor:
            return torch.where(goes_on.view(-1, *[1] * (next_grid.dim() - 1)), next_grid, new_block)

        return pick(output, new_output), State(*map(pick, after, new_after))

    def begin_block(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """A block from every frame (B, T, C, H, W) and those before it: its first frame, and what is pending."""
        batch_size, num_steps = frames.shape[:2]
        window = torch.cat([state[0], frames], dim=1)  # (B, K-1+T, C, H, W)
        grids = self.features(window).unflatten(0, (-1, batch_size))  # (K-1+T, B, D, h, w)
        stacks = torch.cat([grids[t : t + self.num_frames].transpose(0, 1).flatten(1, 2) for t in range(num_steps)])
        stacks = channels_last(stacks)  # (T*B, K*D, h, w)
        for block in self.blocks:
            stacks = block(stacks)
        block_grids = stacks.unflatten(1, (self.num_frames, -1))  # (T*B, K, D, h, w)
        outputs = self.paint(block_grids[:, 0], grids[self.num_frames - 1 :].flatten(0, 1), frames.shape)
        num_pending = frames.new_full((batch_size, 1, *grids.shape[-2:]), self.num_frames - 1)
        return outputs, State(window[:, num_steps:], block_grids[-batch_size:, 1:], num_pending)

    def features(self, frames: Tensor) -> Tensor:
        """Frames (B, T, C, H, W), each for itself, as grids (T * B, hidden_channels, h, w)."""
        grid = F.gelu(self.encode(to_grid(frames, self.patch_size)))
        return grid + F.gelu(self.refine(grid))

    def paint(self, grid: Tensor, skipped: Tensor, shape: torch.Size) -> Tensor:
        """Grids (T * B, hidden_channels, h, w) and those of the frames before them as frames (B, T, out, H, W)."""
        images = self.head(F.gelu(self.decode(torch.cat([grid, skipped], dim=1))))
        # float: bfloat16 has no grey between -1 and -0.996
        images = clamp(to_pixels(images.float(), self.patch_size, (shape[-2], shape[-1])))
        return images.unflatten(0, (-1, shape[0])).transpose(0, 1)


class Block(nn.Module):
    """A wide depthwise convolution for motion, two that mix channels: steps of time among them (Liu et al. 2022)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.move = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.mix = same_conv(channels, channels, 1)
        self.out = same_conv(channels, channels, 1)

    def forward(self, grid: Tensor) -> Tensor:
        """Grids (N, channels, h, w) to the same, changed."""
        return grid + self.out(F.gelu(self.mix(self.move(grid))))
