"""A generator applied to large frames piece by piece, so that memory is that of one piece."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import ModelError

State = Any  # a nested tuple of tensors, batch first; None begins a sequence

ALIGNMENT = 32  # pixels; a tile begins at a multiple of it, so that it lies on the grid of every scale of a generator


class Tiled(nn.Module):
    """`model` with the same contract, computed in overlapping tiles whose seams are blended.

    The state is that of the whole frame: each tile reads its part of it, and the parts are put together again after
    every step. So a tile knows what the others saw, and errors at its border do not creep inwards with time. Where
    the overlap is wider than what one step of the model reaches, the result is that of the whole frame.
    """

    def __init__(self, model: nn.Module, *, tile: int, overlap: int) -> None:
        """Tiles are at most `tile` pixels high and wide, `overlap` of which they share with each neighbour.

        Raises ModelError where these are no multiples of ALIGNMENT or a tile is less than twice the overlap.
        """
        super().__init__()
        if tile % ALIGNMENT or overlap % ALIGNMENT or not 0 < 2 * overlap <= tile:
            raise ModelError(
                f"tiles of {tile} pixels with an overlap of {overlap}: both must be multiples of {ALIGNMENT}, "
                "the tile at least twice the overlap"
            )
        self.model, self.tile, self.overlap = model, tile, overlap
        self.scales: list[int] | None = None  # pixels of a frame that are one cell of each tensor of the state

    def forward(self, frames: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Frames (B, T, C, H, W) to frames and state, as pipeline.models says."""
        outputs = []
        for t in range(frames.shape[1]):
            output, state = self._step(frames[:, t : t + 1], state)
            outputs.append(output)
        return torch.cat(outputs, dim=1), state

    def _step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        height, width = frame.shape[-2:]
        if height <= self.tile and width <= self.tile:
            return self.model(frame, state)
        scales = self._scales(frame)
        rows, columns = (spans(size, self.tile, self.overlap) for size in (height, width))
        canvas: Tensor | None = None
        after: State = None
        parts: list[Tensor] = []  # the tensors of the state, whole
        for i in range(len(rows)):
            for j in range(len(columns)):
                cut = (rows[i], columns[j])
                before = (
                    None if state is None else _map(lambda part, scale, at=cut: _cut(part, at, scale), state, scales)
                )
                output, after = self.model(_cut(frame, cut, 1), before)
                if canvas is None:
                    canvas = output.new_zeros(*output.shape[:-2], height, width)
                    parts = [
                        part.new_zeros(*part.shape[:-2], -(-height // scale), -(-width // scale))
                        for part, scale in zip(_tensors(after), scales, strict=True)
                    ]
                for whole, part, scale in zip([canvas, *parts], [output, *_tensors(after)], [1, *scales], strict=True):
                    down = weights(rows, i, self.overlap, scale).to(part)[:, None]
                    across = weights(columns, j, self.overlap, scale).to(part)
                    _cut(whole, cut, scale).add_(part * (down * across))
        assert canvas is not None
        whole_parts = iter(parts)
        return canvas, _map(lambda part, scale: next(whole_parts), after, scales)

    def _scales(self, frame: Tensor) -> list[int]:
        """How many pixels make a cell of each tensor of the state, found by looking at the state of a small frame."""
        if self.scales is None:
            small = frame.new_zeros(1, 1, frame.shape[2], ALIGNMENT, ALIGNMENT)
            try:
                _, state = self.model(small)
            except RuntimeError as error:  # layers made for one size of frame
                raise ModelError(f"this generator cannot be tiled, it takes one size of frame: {error}") from error
            shapes = [tuple(part.shape) for part in _tensors(state)]
            if any(len(shape) < 4 or shape[-2] != shape[-1] or ALIGNMENT % shape[-1] for shape in shapes):
                raise ModelError(f"this generator cannot be tiled: its state {shapes} is not laid out as the frame is")
            self.scales = [ALIGNMENT // shape[-1] for shape in shapes]
        return self.scales


def spans(size: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """The half-open ranges of `tile` pixels that cover `size`, `overlap` shared with the next; the last is cut."""
    starts = range(0, max(1, size - overlap), tile - overlap)
    return [(start, min(start + tile, size)) for start in starts]


def weights(ranges: list[tuple[int, int]], index: int, overlap: int, scale: int) -> Tensor:
    """How much the tile `index` of `ranges` counts along its side, a value a cell of `scale` pixels; they add up to 1.

    What a tile says within a quarter of the overlap of its own border, where it lacks its surroundings, counts
    nothing; from there it rises in a straight line.
    """
    start, stop = ranges[index]
    position = (torch.arange(-(-(stop - start) // scale)) + 0.5) * scale  # pixels from the tile's start
    result = torch.ones(len(position))
    if index > 0:
        result *= _ramp(position, overlap)
    if index < len(ranges) - 1:
        result *= 1 - _ramp(position - (ranges[index + 1][0] - start), overlap)
    return result


def _ramp(position: Tensor, overlap: int) -> Tensor:
    return ((position - overlap / 4) / (overlap / 2)).clamp(0, 1)


def _cut(whole: Tensor, at: tuple[tuple[int, int], tuple[int, int]], scale: int) -> Tensor:
    """The part of `whole` (…, h, w) whose cells of `scale` pixels make up the ranges of rows and columns `at`."""
    (top, bottom), (left, right) = at
    return whole[..., top // scale : -(-bottom // scale), left // scale : -(-right // scale)]


def _tensors(state: State) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [tensor for part in state or () for tensor in _tensors(part)]


def _map(function: Any, state: State, scales: list[int]) -> State:
    """The nested `state` with function(tensor, scale) for each tensor."""
    remaining = iter(scales)

    def walk(part: State) -> State:
        return function(part, next(remaining)) if isinstance(part, Tensor) else tuple(walk(inner) for inner in part)

    return walk(state)
