"""A generator run one frame at a time, with what each frame says of motion."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import State, call, with_noise

Flow = NDArray[np.float32]  # (h, w, 2), pixels to the right and down: from each pixel to where it was


class Step(NamedTuple):
    """A predicted frame, and where its pixels were in the frame before."""

    frame: Tensor  # (1, 1, C, h, w) in [-1, 1], float32, on the processor
    flow: Flow | None  # None where the generator says nothing of motion


class Stepper:
    """A generator that is run step after step; its weights must not change meanwhile.

    A generator with a method `compose` (models.foreframe) says what its frames are composed of. The flow is the mean of
    its flows, as its blend masks count them: where they disagree it blends images into blur, but half of two motions
    is one motion, and what it moves stays sharp.
    """

    def __init__(self, model: nn.Module, noise: Tensor | None = None) -> None:
        self.model, self.noise = model, noise
        self.packed = PackedWeights()

    def feed(self, frames: Tensor, state: State = None) -> tuple[Step, State]:
        """What follows true `frames` (1, T, C, h, w), and the state after them."""
        return self._step(frames, state, None)

    def feed_back(self, step: Step, state: State, like: Tensor) -> tuple[Step, State]:
        """What follows the model's own last step, in the type and on the device of `like`."""
        return self._step(step.frame.to(like), state, torch.ones(1, 1, dtype=torch.bool))

    def _step(self, frames: Tensor, state: State, fed_back: Tensor | None) -> tuple[Step, State]:
        with self.packed:
            output, state, flow = _run(self.model, with_noise(frames, self.noise), state, fed_back)
        return Step(output[:, -1:].float().cpu(), flow), state


def steps(model: nn.Module, context: Tensor, noise: Tensor | None = None) -> Iterator[Step]:
    """What follows `context` (1, T, C, h, w), one step after another without end, as rollout.stream."""
    stepper = Stepper(model, noise)
    step, state = stepper.feed(context)
    while True:
        yield step
        step, state = stepper.feed_back(step, state, context)


def _run(model: nn.Module, frames: Tensor, state: Any, fed_back: Tensor | None) -> tuple[Tensor, Any, Flow | None]:
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
