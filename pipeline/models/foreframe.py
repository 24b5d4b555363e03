"""The project's own generator: it moves the frame that it was shown and paints only what moving cannot explain.

Most of the next frame is the last one, displaced. A network that must paint it spends its capacity, and its training,
on copying; here the copy is free and stays sharp, and what is learnt is motion. After 100 CPU-seconds on
moving digits, one run each: adding to the moved frame, rather than choosing between it and a painted one,
with a smaller head, test MSE 5.3 instead of 12.5; one displacement instead of three 6.7; a GRU for an LSTM 4.7.

The parts: gated recurrent units over grids of several scales (Ballas et al. 2016, ConvGRU), joined top-down; from them
several displacement fields, a soft choice among them for every pixel (as Finn et al. 2016 choose among transformed
frames), and what is to be added.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.layers import CHANNELS_LAST, clamp, same_conv, to_grid, to_pixels, warp
from pipeline.nn.recurrent import ConvGru

State = tuple[Tensor, ...]
STAY = 3.0  # lead of the frame that is not moved, in the logits of the choice before training


class Foreframe(nn.Module):
    """Recurrent motion: the state is the last frame and one hidden grid a scale, each (B, channels, h, w).

    Scale l has hidden_channels · (l + 1) channels and cells of patch_size · 2^l pixels; frames may have any size. Where
    fewer channels come out than go in, the first ones are moved, the others (noise) are only read; where more come out
    there is nothing to move, and the frame is painted.

    With `carry` the last output joins the state (recurrence over the output, Sajjadi et al. 2018, section 3): what is
    given is a mixture, in each pixel, of it, displaced in as many ways, and of what would be without; before
    training with the share `carry` of the former. For frames that are not the model's own: a sequence that is
    translated into another.
    """

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden_channels: int,
        num_scales: int,
        num_motions: int,
        patch_size: int,
        carry: float = 0.0,
    ) -> None:
        super().__init__()
        in_channels = frame_shape[0]
        self.patch_size, self.out_channels = patch_size, out_channels
        self.num_motions = num_motions if out_channels <= in_channels else 0
        self.carry = carry > 0 and self.num_motions > 0
        if self.carry:  # the logit of what comes out without, beside those of the ways to begin with
            self.fresh = math.log((math.exp(STAY) + self.num_motions - 1) * (1 - carry) / carry)
        widths = [hidden_channels * (scale + 1) for scale in range(num_scales)]
        self.encode = same_conv(2 * in_channels * patch_size**2, widths[0], 3)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2).to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
            for fine, coarse in pairwise(widths)
        )
        self.cells = nn.ModuleList(ConvGru(width) for width in widths)
        self.up = nn.ModuleList(same_conv(b, 4 * a, 1) for a, b in pairwise(widths))
        self.join = nn.ModuleList(same_conv(2 * width, width, 3) for width in widths[:-1])
        # to a cell: what is added to each pixel, how each displacement counts in each pixel, the displacements
        ways = self.num_motions * (2 if self.carry else 1)
        self.parts = (out_channels * patch_size**2, ways * patch_size**2, 2 * ways)
        self.head = same_conv(widths[0], sum(self.parts), 1)
        # training begins at "nothing changes", which on real footage is much better than chance: nothing is added, and
        # the frame that stays where it is outweighs the displaced ones, which there are for a start on every side
        paint, choose, move = self.head.weight.detach().split(self.parts)
        self.head.weight = nn.Parameter(torch.cat([0 * paint, 0.3 * choose, 0.3 * move]))
        stay = torch.zeros(ways, patch_size**2)
        stay[:: max(1, self.num_motions)] = STAY
        around = star(self.num_motions).repeat(2 if self.carry else 1, 1)
        begin = [torch.zeros(self.parts[0]), stay.flatten(), around.flatten() / patch_size]
        self.head.bias = nn.Parameter(torch.cat(begin))

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        batch_size, *_, height, width = frames.shape
        last, hidden = (frames[:, 0], [None] * len(self.cells)) if state is None else (state[0], list(state[1:]))
        previous = hidden[-1] if state is not None and self.carry else None  # output
        change = frames - torch.cat([last[:, None], frames[:, :-1]], dim=1)
        grid = F.gelu(self.encode(to_grid(torch.cat([frames, change], dim=2), self.patch_size)))  # (T*B, D, h, w)
        grids, after = [], [frames[:, -1]]
        for scale, cell in enumerate(self.cells):
            if scale:
                rows, columns = grid.shape[-2:]
                grid = F.gelu(self.down[scale - 1](F.pad(grid, (0, columns % 2, 0, rows % 2), mode="replicate")))
            grid, new = cell(grid, batch_size, hidden[scale])
            grids.append(grid)
            after.append(new)
        for scale in reversed(range(len(self.join))):
            rows, columns = grids[scale].shape[-2:]
            finer = F.pixel_shuffle(self.up[scale](grid), 2)[..., :rows, :columns]
            grid = F.gelu(self.join[scale](torch.cat([grids[scale], finer], dim=1)))
        # what touches pixels is float32: bfloat16 has no grey between -1 and -0.996
        added, choice, motion = self.head(grid).float().split(self.parts, dim=1)
        size = (height, width)
        outputs = to_pixels(added, self.patch_size, size)  # (T*B, C, H, W)
        if self.num_motions:
            shown = frames[:, :, : self.out_channels].transpose(0, 1).flatten(0, 1)
            ways = self.spread(motion, size).split(self.num_motions, dim=1)
            logits = to_pixels(choice, self.patch_size, size).split(self.num_motions, dim=1)
            outputs = outputs + self.moved(shown, ways[0], logits[0].softmax(dim=1))
            if self.carry:
                outputs, previous = self.carried(outputs, ways[1], logits[1], previous, batch_size)
                return outputs, (*after, previous)
        return clamp(outputs).unflatten(0, (-1, batch_size)).transpose(0, 1), tuple(after)

    def spread(self, motion: Tensor, size: tuple[int, int]) -> Tensor:
        """Displacements (N, 2 * M, h, w), in patches, as those of pixels, in pixels: (N, M, 2, H, W)."""
        cells = [self.patch_size * side for side in motion.shape[-2:]]
        # between the cells' centres it changes evenly, so that no seams show
        motion = F.interpolate(motion.contiguous() * self.patch_size, size=cells, mode="bilinear", align_corners=False)
        return motion[..., : size[0], : size[1]].unflatten(1, (-1, 2))

    def moved(self, images: Tensor, motion: Tensor, choice: Tensor) -> Tensor:
        """`images` (N, C, H, W) displaced each way, mixed in each pixel by `choice` (N, M, H, W): (N, C, H, W).

        `motion` is (N, M, 2, H, W): right and down, from a pixel to where its value is read.
        """
        images = images[:, None].expand(-1, self.num_motions, -1, -1, -1)
        ways = warp(images.flatten(0, 1), motion.flatten(0, 1)).unflatten(0, (-1, self.num_motions))
        return (ways * choice[:, :, None]).sum(dim=1)

    def carried(
        self, fresh: Tensor, motion: Tensor, choice: Tensor, previous: Tensor | None, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, C, H, W) and the last of them, from those before them and the `fresh` ones (T * B, …).

        The logits `choice` (T * B, M, H, W) say how much of the output before, displaced each way by `motion`, goes
        into the next. Only this light part goes step by step; a first frame is fresh.
        """
        choice = torch.cat([torch.full_like(choice[:, :1], self.fresh), choice], dim=1).softmax(dim=1)
        outputs = []
        for new, ways, shares in zip(*(part.split(batch_size) for part in (fresh, motion, choice)), strict=True):
            if previous is not None:
                new = shares[:, :1] * new + self.moved(previous, ways, shares[:, 1:])
            previous = clamp(new)
            outputs.append(previous)
        assert previous is not None
        return torch.stack(outputs, dim=1), previous


def star(num_directions: int) -> Tensor:
    """Displacements to begin with, (M, 2) pixels: none, and one pixel in evenly spread directions."""
    angles = [2 * math.pi * m / max(1, num_directions - 1) for m in range(num_directions - 1)]
    return torch.tensor([(0.0, 0.0), *((math.sin(a), math.cos(a)) for a in angles)][:num_directions])
