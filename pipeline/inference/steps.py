"""A generator running free, one frame at a time, with what each frame says of motion."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import call, with_noise

Flow = NDArray[np.float32]  # (h, w, 2), pixels to the right and down: from each pixel to where it was


class Step(NamedTuple):
    """A predicted frame, and where its pixels were in the frame before."""

    frame: Tensor  # (1, 1, C, h, w) in [-1, 1]
    flow: Flow | None  # None where the generator says nothing of motion


def steps(model: nn.Module, context: Tensor, noise: Tensor | None = None) -> Iterator[Step]:
    """What follows `context` (1, T, C, h, w), one step after another without end, as rollout.stream.

    A generator with a method `compose` (models.foreframe) says what its frames are composed of. The flow is the mean of
    its flows, as its blend masks count them: where they disagree it blends images into blur, but half of two motions
    is one motion, and what it moves stays sharp.
    """
    packed = PackedWeights()
    frames, state, fed_back = context, None, None
    while True:
        with packed:
            output, state, flow = _step(model, with_noise(frames, noise), state, fed_back)
        frames, fed_back = output[:, -1:].to(context.dtype), torch.ones(1, 1, dtype=torch.bool)
        yield Step(output[:, -1:].float().cpu(), flow)


def _step(model: nn.Module, frames: Tensor, state: Any, fed_back: Tensor | None) -> tuple[Tensor, Any, Flow | None]:
    """One call of `model`: outputs, state, and the flow of the last output."""
    compose: Callable[..., tuple[Tensor, Any, Any]] | None = getattr(model, "compose", None)
    if compose is None:
        return *call(model, frames, state, fed_back), None
    told = {"fed_back": fed_back} if fed_back is not None and getattr(model, "takes_fed_back", False) else {}
    output, state, composition = compose(frames, state, **told)
    if composition.flows is None:
        return output, state, None
    flow = (composition.flows * composition.masks[:, :, None]).sum(dim=1)[0]  # (2, h, w)
    return output, state, np.ascontiguousarray(flow.float().cpu().movedim(0, -1).numpy())
