"""Convolutions only, no recurrence: the idea of SimVP (Gao et al. 2022), under the contract of the recurrent ones."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from pipeline.nn.layers import channels_last, clamp, same_conv, to_grid, to_pixels

State = tuple[Tensor, ...]


class Cnn(nn.Module):
    """Encodes the last `num_frames` frames, translates their stack into that of as many to come, decodes each.

    SimVP answers once, with a whole block. To answer after every frame, and for any horizon, the state holds the last
    frames, the grids of the block that are still to be given, how many they are, and the frame that was given last.
    While what is fed in is that frame, to the bit, the rollout is running free and the next grid of the block is
    decoded; any other frame is news, and a new block is computed from the last frames. At the end of a block so it is
    from the block's own. A sequence begins as if its first frame had stood still.
    """

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

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        if state is None:
            state = self.begin(frames[:, 0])
        if frames.shape[1] == 1:
            return self.step(frames, state)
        outputs, after = self.news(frames, state)
        # all at once holds where every frame was news; else some grids of a block are due
        given = torch.cat([state[3][:, None], outputs[:, :-1]], dim=1)
        if not some((frames[:, :, : self.out_channels] == given).flatten(2).all(dim=2)):
            return outputs, after
        steps = []
        for t in range(frames.shape[1]):
            output, state = self.step(frames[:, t : t + 1], state)
            steps.append(output)
        return torch.cat(steps, dim=1), state

    def begin(self, frame: Tensor) -> State:
        """The state before the first frame (B, C, H, W)."""
        grid = self.features(frame[:, None])
        return (
            frame[:, None].repeat(1, self.num_frames - 1, 1, 1, 1),
            grid.new_zeros(len(frame), self.num_frames - 1, *grid.shape[1:]),
            frame.new_zeros(len(frame), 1, *grid.shape[-2:]),
            frame.new_full((len(frame), self.out_channels, *frame.shape[-2:]), torch.inf),  # no frame is that
        )

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of all sequences, each either news or the next of its block; `frame` is (B, 1, C, H, W)."""
        past, pending, remaining, given = state
        free = (frame[:, 0, : self.out_channels] == given).flatten(1).all(dim=1) & (remaining[:, 0, 0, 0] > 0)
        if not some(free):
            return self.news(frame, state)
        output = self.paint(pending[:, 0], self.features(frame), frame.shape)
        rest = torch.cat([pending[:, 1:], torch.zeros_like(pending[:, :1])], dim=1)
        window = torch.cat([past, frame], dim=1)[:, 1:]
        mine = (output, (window, rest, remaining - 1, output[:, 0]))
        if free.all():
            return mine
        other, after = self.news(frame, state)

        def pick(yes: Tensor, no: Tensor) -> Tensor:
            return torch.where(free.view(-1, *[1] * (yes.dim() - 1)), yes, no)

        return pick(output, other), tuple(map(pick, mine[1], after))

    def news(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """A block from every frame (B, T, C, H, W) and those before it: its first frame, and what is pending."""
        batch_size, num_steps = frames.shape[:2]
        window = torch.cat([state[0], frames], dim=1)  # (B, K-1+T, C, H, W)
        grids = self.features(window).unflatten(0, (-1, batch_size))  # (K-1+T, B, D, h, w)
        stacks = torch.cat([grids[t : t + self.num_frames].transpose(0, 1).flatten(1, 2) for t in range(num_steps)])
        stacks = channels_last(stacks)  # (T*B, K*D, h, w)
        for block in self.blocks:
            stacks = block(stacks)
        coming = stacks.unflatten(1, (self.num_frames, -1))  # (T*B, K, D, h, w)
        outputs = self.paint(coming[:, 0], grids[self.num_frames - 1 :].flatten(0, 1), frames.shape)
        pending = coming[-batch_size:, 1:]
        remaining = frames.new_full((batch_size, 1, *grids.shape[-2:]), self.num_frames - 1)
        return outputs, (window[:, num_steps:], pending, remaining, outputs[:, -1])

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


def some(conditions: Tensor) -> bool:
    """Whether any is true. None is of tensors without content, by which memory is estimated: news takes the most."""
    return not isinstance(conditions, FakeTensor) and bool(conditions.any())
