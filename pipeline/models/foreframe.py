"""The project's own generator: it warps the frame that it was fed and adds what a warp cannot explain.

Most of the next frame is the last one, moved. A network that must paint it spends its capacity, and its training,
on copying; here the copy is free and stays sharp, and what is learnt is motion. After 100 CPU-seconds on
moving digits, one run each: adding to the warped frame, rather than choosing between it and a painted one,
with a smaller head, test MSE 5.3 instead of 12.5; one flow instead of three 6.7; a GRU for an LSTM 4.7.

How things move is not left to be learnt. Where the next frame is to be predicted, the motion between the last two is
measured (optical flow, pipeline/nn/optical_flow.py), bent by what the network adds to it, and goes on along itself in a
rollout; it is one of the flows that are blended. Before training the model extrapolates optical flow and keeps some of
the last frame, so that training can only add.

The parts: convolutional GRUs (pipeline/nn/convgru.py) over grids of several scales, joined top-down (Ballas et al.
2016); from them several optical flows, blend masks for the frames that these warp (as Finn et al. 2016 mask transformed
frames), and what is to be added.
"""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.nn.convgru import ConvGru
from pipeline.nn.layers import CHANNELS_LAST, clamp, same_conv, to_grid, to_pixels, warp
from pipeline.nn.optical_flow import backward_flow

STAY_LOGIT = 3.0  # lead of the frame that is not moved, in the blend logits before training
TRUST_LOGIT = 3.0  # of the share of the measured motion that is followed, before training: 0.95
FOLLOW_LOGIT = 4.0  # lead of the frame that is moved on as it moved, where that is measured


class State(NamedTuple):
    """Between two calls. Some callers hand it back as plain tuples."""

    last_frame: Tensor  # that was fed, (B, C, H, W)
    hidden: tuple[Tensor, ...]  # one per scale, (B, channels, h, w)
    carried: tuple[Tensor, ...]  # the last output, (B, out_channels, H, W); empty without `carry`
    motion: tuple[Tensor, ...]  # of the next frame if the last output is fed, (B, 2, H, W) pixels; empty where aligned


class Head(NamedTuple):
    """What the network says of each pixel: M flows of the frame that is fed and, with `carry`, M of the last output."""

    added: Tensor  # what is added, (N, out_channels, H, W)
    blend_logits: Tensor | None  # how much each warped frame counts, (N, M or 2 M, H, W); None where nothing is warped
    flows: Tensor | None  # from each pixel to where it is read, (N, M or 2 M, 2, H, W): pixels to the right and down
    trust: Tensor | None  # how much of the measured motion is in the first flow, (N, 1, H, W) in [0, 1]; None: no such


class Composition(NamedTuple):
    """What an output is composed of, before it is cut off at [-1, 1]: warped images, blended, and what is added.

    With `carry` the last output is one of the images; in a rollout it is the frame that is fed.
    """

    flows: Tensor | None  # from each pixel to where it is read, (B, M, 2, H, W), pixels; None where nothing is warped
    masks: Tensor | None  # how much each warped image counts, (B, M, H, W), 1 in all
    added: Tensor  # (B, out_channels, H, W)


class HeadChannels(NamedTuple):
    """How many channels the parts of the Head have in a cell of the grid."""

    added: int
    blend_logits: int
    flows: int
    trust: int


class Foreframe(nn.Module):
    """Recurrent motion: a State of the last frame and one hidden grid per scale.

    Scale l has hidden_channels · (l + 1) channels and cells of patch_size · 2^l pixels; frames may have any size. Where
    fewer channels come out than go in, the first ones are warped, the others (noise) are only read; where more come out
    there is nothing to warp, and the frame is painted.

    With `carry` the last output joins the state (recurrence over the output, Sajjadi et al. 2018, section 3): an output
    is a blend, in each pixel, of the last one, warped by as many flows, and of what it would be without; before
    training with the share `carry` of the former. For frames that are not the model's own: a sequence that is
    translated into another.
    """

    takes_fed_back = True

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden_channels: int,
        num_scales: int,
        num_motions: int,
        patch_size: int,
        measured_motion: bool = False,
        aligned: bool = False,
        carry: float = 0.0,
    ) -> None:
        super().__init__()
        in_channels = frame_shape[0]
        self.patch_size, self.out_channels = patch_size, out_channels
        self.num_motions = num_motions if out_channels <= in_channels else 0
        self.measures_motion = measured_motion and self.num_motions > 0 and not aligned
        self.carry = carry > 0 and self.num_motions > 0
        if self.carry:  # the logit of the output without carry, beside the initial ones of the flows
            self.fresh_logit = math.log((math.exp(STAY_LOGIT) + self.num_motions - 1) * (1 - carry) / carry)
        widths = [hidden_channels * (scale + 1) for scale in range(num_scales)]
        in_channels = 2 * in_channels + (2 + out_channels if self.measures_motion else 0)
        self.encode = same_conv(in_channels * patch_size**2, widths[0], 3)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 2, stride=2).to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload]
            for fine, coarse in pairwise(widths)
        )
        self.cells = nn.ModuleList(ConvGru(width) for width in widths)
        self.up = nn.ModuleList(same_conv(b, 4 * a, 1) for a, b in pairwise(widths))
        self.join = nn.ModuleList(same_conv(2 * width, width, 3) for width in widths[:-1])
        num_flows = self.num_motions * (2 if self.carry else 1)
        self.head_channels = HeadChannels(
            added=out_channels * patch_size**2,
            blend_logits=num_flows * patch_size**2,
            flows=2 * num_flows,
            trust=int(self.measures_motion),
        )
        self.head = same_conv(widths[0], sum(self.head_channels), 1)
        self._begin_at_nothing_changes()

    def _begin_at_nothing_changes(self) -> None:
        """Start the head where nothing is known but that things stay, or go on as they move: far better than chance.

        Nothing is added. The frame that is moved on as it moved, where that is measured, outweighs the one that stays
        where it is, and that one the warped ones, which there are for a start on every side.
        """
        added, blend_logits, flows, trust = self.head.weight.detach().split(self.head_channels)
        self.head.weight = nn.Parameter(torch.cat([0 * added, 0.3 * blend_logits, 0.3 * flows, 0.3 * trust]))
        repeats = 2 if self.carry else 1
        logits, around = torch.zeros(self.num_motions), initial_flows(self.num_motions)
        logits[:1] = STAY_LOGIT
        if self.measures_motion:
            logits = torch.cat([torch.tensor([FOLLOW_LOGIT]), logits])[: self.num_motions]
            around = torch.cat([torch.zeros(1, 2), around])[: self.num_motions]
        stay, around = logits.repeat(repeats)[:, None].expand(-1, self.patch_size**2), around.repeat(repeats, 1)
        bias = [torch.zeros(self.head_channels.added), stay.flatten(), around.flatten() / self.patch_size]
        bias.append(torch.full((self.head_channels.trust,), TRUST_LOGIT))
        self.head.bias = nn.Parameter(torch.cat(bias))

    def forward(
        self, frames: Tensor, state: tuple[Any, ...] | None = None, fed_back: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) in [-1, 1] to the frames that follow them, as pipeline.models says."""
        outputs, state, _ = self.compose(frames, state, fed_back)
        return outputs, state

    def compose(
        self, frames: Tensor, state: tuple[Any, ...] | None = None, fed_back: Tensor | None = None
    ) -> tuple[Tensor, State, Composition]:
        """What forward returns, and what the last of the frames is composed of."""
        batch_size = len(frames)
        last_frame, hidden, carried, motion = state or (frames[:, 0], (None,) * len(self.cells), (), ())
        previous = torch.cat([last_frame[:, None], frames[:, :-1]], dim=1)
        shown = frames[:, :, : self.out_channels]
        seen = [frames, frames - previous]
        if self.measures_motion:
            flow, unexplained = _motion(previous[:, :, : self.out_channels], shown, motion, fed_back)
            seen += [flow / self.patch_size, unexplained]
        grid = F.gelu(self.encode(to_grid(torch.cat(seen, dim=2), self.patch_size)))  # (T*B, D, h, w)
        grid, hidden = self._recur(grid, hidden, batch_size)
        head = self._read_head(grid, (frames.shape[-2], frames.shape[-1]))
        outputs = head.added  # (T*B, C, H, W)
        composition = Composition(None, None, head.added[-batch_size:])
        motion = ()
        if head.blend_logits is not None and head.flows is not None:
            fed = shown.transpose(0, 1).flatten(0, 1)
            flows, carried_flows = head.flows.tensor_split([self.num_motions], dim=1)
            logits, carried_logits = head.blend_logits.tensor_split([self.num_motions], dim=1)
            if head.trust is not None:
                followed = flows[:, 0] + head.trust * flow.transpose(0, 1).flatten(0, 1)
                flows = torch.cat([followed[:, None], flows[:, 1:]], dim=1)
                motion = (warp(followed[-batch_size:], followed[-batch_size:]),)  # it goes on along itself
            masks = logits.softmax(dim=1)
            outputs = outputs + self.warp_and_blend(fed, flows, masks)
            composition = Composition(flows[-batch_size:], masks[-batch_size:], head.added[-batch_size:])
            if self.carry:
                last_output = carried[0] if carried else None
                carried_masks = self._carried_masks(carried_logits)
                outputs, last_output = self._carry(outputs, carried_flows, carried_masks, last_output, batch_size)
                if carried or frames.shape[1] > 1:  # a first frame is fresh
                    composition = _with_carried(composition, carried_flows, carried_masks)
                return outputs, State(frames[:, -1], hidden, (last_output,), motion), composition
        outputs = clamp(outputs).unflatten(0, (-1, batch_size)).transpose(0, 1)
        return outputs, State(frames[:, -1], hidden, (), motion), composition

    def _recur(
        self, grid: Tensor, hidden: tuple[Tensor | None, ...], batch_size: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The recurrent cells of all scales, from fine to coarse, joined from coarse to fine: (T * B, D, h, w)."""
        grids, after = [], []
        for scale, cell in enumerate(self.cells):
            if scale:
                rows, columns = grid.shape[-2:]
                grid = F.gelu(self.down[scale - 1](F.pad(grid, (0, columns % 2, 0, rows % 2), mode="replicate")))
            grid, last = cell(grid, batch_size, hidden[scale])
            grids.append(grid)
            after.append(last)
        for scale in reversed(range(len(self.join))):
            rows, columns = grids[scale].shape[-2:]
            finer = F.pixel_shuffle(self.up[scale](grid), 2)[..., :rows, :columns]
            grid = F.gelu(self.join[scale](torch.cat([grids[scale], finer], dim=1)))
        return grid, tuple(after)

    def _read_head(self, grid: Tensor, size: tuple[int, int]) -> Head:
        """The parts of the head for each pixel of frames of `size` (H, W)."""
        # what touches pixels is float32: bfloat16 has no grey between -1 and -0.996
        added, blend_logits, flows, trust = self.head(grid).float().split(self.head_channels, dim=1)
        return Head(
            added=to_pixels(added, self.patch_size, size),
            blend_logits=to_pixels(blend_logits, self.patch_size, size) if self.num_motions else None,
            flows=self.flows_of_pixels(flows, size) if self.num_motions else None,
            trust=self._of_pixels(trust.sigmoid(), size) if self.measures_motion else None,
        )

    def flows_of_pixels(self, flows: Tensor, size: tuple[int, int]) -> Tensor:
        """Flows of cells (N, 2 * M, h, w), in patches, as flows of pixels, in pixels: (N, M, 2, H, W)."""
        return self._of_pixels(flows * self.patch_size, size).unflatten(1, (-1, 2))

    def _of_pixels(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        """Values of cells (N, C, h, w) as values of pixels: (N, C, H, W)."""
        cells = [self.patch_size * side for side in values.shape[-2:]]
        # between the cells' centres a value changes evenly, so that no seams show
        values = F.interpolate(values.contiguous(), size=cells, mode="bilinear", align_corners=False)
        return values[..., : size[0], : size[1]]

    def warp_and_blend(self, images: Tensor, flows: Tensor, masks: Tensor) -> Tensor:
        """`images` (N, C, H, W) warped by each of `flows`, blended by `masks` (N, M, H, W): (N, C, H, W).

        `flows` are (N, M, 2, H, W): right and down, from a pixel to where its value is read.
        """
        images = images[:, None].expand(-1, self.num_motions, -1, -1, -1)
        warped = warp(images.flatten(0, 1), flows.flatten(0, 1)).unflatten(0, (-1, self.num_motions))
        return (warped * masks[:, :, None]).sum(dim=1)

    def _carried_masks(self, blend_logits: Tensor) -> Tensor:
        """How much the output without carry counts, then the last output warped by each flow: (T * B, 1 + M, H, W)."""
        fresh_logits = torch.full_like(blend_logits[:, :1], self.fresh_logit)
        return torch.cat([fresh_logits, blend_logits], dim=1).softmax(dim=1)

    def _carry(
        self, fresh: Tensor, flows: Tensor, masks: Tensor, previous: Tensor | None, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, C, H, W) and the last of them, from the one before them and the `fresh` ones (T * B, …).

        `masks` (T * B, 1 + M, H, W) say how much of the fresh output and of the previous one, warped by each of
        `flows`, goes into the next. Only this light part goes step by step; a first frame is fresh.
        """
        outputs = []
        for output, step_flows, step_masks in zip(
            *(part.split(batch_size) for part in (fresh, flows, masks)), strict=True
        ):
            if previous is not None:
                warped = self.warp_and_blend(previous, step_flows, step_masks[:, 1:])
                output = step_masks[:, :1] * output + warped
            previous = clamp(output)
            outputs.append(previous)
        assert previous is not None
        return torch.stack(outputs, dim=1), previous


def _motion(
    previous: Tensor, frames: Tensor, continued: tuple[Tensor, ...], fed_back: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Where each pixel was a frame ago, (B, T, 2, H, W), and what of the frame that does not explain.

    Between true frames, `previous` and `frames` (B, T, C, H, W), it is measured. A frame that is `fed_back` was
    made by the motion that was `continued`: to measure that again on blurred frames would lose it.
    """
    if not continued:  # a sequence begins, with whatever frame
        fed_back = None
    mixed = fed_back is not None and torch.onnx.is_in_onnx_export()  # a graph is for both kinds of frames
    if fed_back is not None and not mixed and bool(fed_back.all()):
        assert frames.shape[1] == 1, "a rollout feeds frames back one at a time"
        return continued[0][:, None], torch.zeros_like(frames)
    first, second = (part.flatten(0, 1) for part in (previous, frames))
    flow = backward_flow(first, second)
    unexplained = second - warp(first, flow)
    batch, time, _, *size = frames.shape
    flow, unexplained = (part.reshape(batch, time, part.shape[1], *size) for part in (flow, unexplained))
    if fed_back is not None and (mixed or bool(fed_back.any())):
        assert frames.shape[1] == 1, "a rollout feeds frames back one at a time"
        mask = fed_back[:, :, None, None, None].to(frames.device)
        flow = torch.where(mask, continued[0][:, None], flow)
        unexplained = unexplained.masked_fill(mask, 0)
    return flow, unexplained


def _with_carried(fresh: Composition, flows: Tensor, masks: Tensor) -> Composition:
    """The composition of an output into which the last one is carried by the last `flows` and `masks` (T * B, …)."""
    assert fresh.flows is not None
    assert fresh.masks is not None
    share, carried_masks = masks[-len(fresh.added) :].tensor_split([1], dim=1)
    return Composition(
        flows=torch.cat([fresh.flows, flows[-len(fresh.added) :]], dim=1),
        masks=torch.cat([share * fresh.masks, carried_masks], dim=1),
        added=share * fresh.added,
    )


def initial_flows(num_flows: int) -> Tensor:
    """Flows before training, (M, 2) pixels: none, and one pixel in evenly spread directions."""
    angles = [2 * math.pi * m / max(1, num_flows - 1) for m in range(num_flows - 1)]
    return torch.tensor([(0.0, 0.0), *((math.sin(a), math.cos(a)) for a in angles)][:num_flows])
