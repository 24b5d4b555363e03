"""A generator applied to large frames in overlapping tiles, so that memory is that of one tile."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.nn.rollout import State, tensors

ALIGNMENT = 32  # pixels; a tile begins at a multiple of it, so that it lies on the grid of every scale of a generator

Span = tuple[int, int]  # a half-open range of pixels


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
        """The output of one frame (B, 1, C, H, W) and the state after it: weighted sums over all tiles."""
        height, width = frame.shape[-2:]
        if height <= self.tile and width <= self.tile:
            return self.model(frame, state)
        scales = [1, *self._scales(frame)]  # of the output, then of each tensor of the state
        rows, columns = (spans(size, self.tile, self.overlap) for size in (height, width))
        sums: list[Tensor] = []  # the output, then each tensor of the state, of the whole frame
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                output, tile_state = self.model(_cut(frame, row, column, 1), _cut_state(state, row, column, scales[1:]))
                results = [output, *tensors(tile_state)]
                if not sums:
                    sums = [
                        result.new_zeros(*result.shape[:-2], -(-height // scale), -(-width // scale))
                        for result, scale in zip(results, scales, strict=True)
                    ]
                for total, result, scale in zip(sums, results, scales, strict=True):
                    row_weights = weights(rows, i, self.overlap, scale).to(result)[:, None]
                    column_weights = weights(columns, j, self.overlap, scale).to(result)
                    _cut(total, row, column, scale).add_(result * (row_weights * column_weights))
        return sums[0], _nested(tile_state, iter(sums[1:]))

    def _scales(self, frame: Tensor) -> list[int]:
        """How many pixels make a cell of each tensor of the state, found by looking at the state of a small frame."""
        if self.scales is None:
            small = frame.new_zeros(1, 1, frame.shape[2], ALIGNMENT, ALIGNMENT)
            try:
                _, state = self.model(small)
            except RuntimeError as error:  # layers made for one size of frame
                raise ModelError(f"this generator cannot be tiled, it takes one size of frame: {error}") from error
            shapes = [tuple(part.shape) for part in tensors(state)]
            if any(len(shape) < 4 or shape[-2] != shape[-1] or ALIGNMENT % shape[-1] for shape in shapes):
                raise ModelError(f"this generator cannot be tiled: its state {shapes} is not laid out as the frame is")
            self.scales = [ALIGNMENT // shape[-1] for shape in shapes]
        return self.scales


def spans(size: int, tile: int, overlap: int) -> list[Span]:
    """The ranges of `tile` pixels that cover `size`, `overlap` shared with the next; the last is cut."""
    starts = range(0, max(1, size - overlap), tile - overlap)
    return [(start, min(start + tile, size)) for start in starts]


def weights(ranges: list[Span], index: int, overlap: int, scale: int) -> Tensor:
    """How much the tile `index` of `ranges` counts along its side, one value per cell of `scale` pixels.

    The weights of all tiles add up to 1. Within a quarter of the overlap of its own border, where it lacks its
    surroundings, a tile counts nothing; from there its weight rises in a straight line.
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


def _cut(whole: Tensor, rows: Span, columns: Span, scale: int) -> Tensor:
    """The part of `whole` (…, h, w), whose cells are `scale` pixels, that covers those rows and columns of pixels."""
    (top, bottom), (left, right) = rows, columns
    return whole[..., top // scale : -(-bottom // scale), left // scale : -(-right // scale)]


def _cut_state(state: State, rows: Span, columns: Span, scales: list[int]) -> State:
    """The state of a tile: of each tensor of the frame's state the part that covers those rows and columns."""
    if state is None:
        return None
    parts = zip(tensors(state), scales, strict=True)
    return _nested(state, (_cut(part, rows, columns, scale) for part, scale in parts))


def _nested(state: State, parts: Iterator[Tensor]) -> State:
    """`parts`, in the order of tensors(state), nested as `state` is."""
    return next(parts) if isinstance(state, Tensor) else tuple(_nested(part, parts) for part in state)
