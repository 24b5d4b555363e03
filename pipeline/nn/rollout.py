"""Runs a generator over time: teacher forcing, scheduled sampling, free-running prediction, translation.

The seed equation is i_t = G(h_{t-1}, y_{t-1}): a generator gets one frame and its state. What that frame is, the true
one or the generator's own output, is decided here and nowhere else. A generator that wants to know it declares
`takes_fed_back = True`, and is told by a keyword `fed_back` (`call`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.nn.packed_convolutions import PackedWeights

State = Any  # a nested tuple of tensors, batch first; None begins a sequence


def unroll(
    model: nn.Module,
    frames: Tensor,
    state: State = None,
    *,
    teacher_forcing: Tensor | None = None,
    previous: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, State]:
    """The outputs of `model` for each of `frames` (B, T, C, H, W), (B, T, out, H, W), and its state after the last.

    Where `teacher_forcing` (B, T), bool, is False, the model is fed its output of the step before instead of the frame;
    before the first step that is `previous` (B, 1, C, H, W). None is teacher forcing throughout, in one call.
    Consecutive steps that are teacher-forced in all clips are one call. `noise` (B, Z) is joined to every frame as Z
    channels.
    """
    if teacher_forcing is None:
        return model(with_noise(frames, noise), state)
    outputs: list[Tensor] = []
    for start, stop in _runs(teacher_forcing):
        inputs, fed_back = frames[:, start:stop], None
        mask = teacher_forcing[:, start:stop]
        if not mask.all():
            last = outputs[-1][:, -1:] if outputs else previous
            assert last is not None, "the first frame is to be the model's own, and there is none yet"
            inputs = torch.where(mask[:, :, None, None, None].to(frames.device), inputs, last.to(frames.dtype))
            fed_back = ~mask
        output, state = call(model, with_noise(inputs, noise), state, fed_back)
        outputs.append(output)
    return torch.cat(outputs, dim=1), state


def call(model: nn.Module, frames: Tensor, state: State, fed_back: Tensor | None) -> tuple[Tensor, State]:
    """One call of `model`, which is told which frames are its own last output, if it has declared that it takes that.

    `fed_back` is (B, T) bool, None where no frame is.
    """
    if fed_back is not None and getattr(model, "takes_fed_back", False):
        return model(frames, state, fed_back=fed_back)
    return model(frames, state)


def unroll_with_checkpoints(
    model: nn.Module,
    frames: Tensor,
    state: State,
    steps: int | None,
    *,
    teacher_forcing: Tensor | None = None,
    previous: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, State]:
    """What unroll returns, with activation checkpointing every `steps` frames; None: without.

    Only the state between stretches of `steps` frames is kept; the activations within a stretch are computed again in
    the backward pass (Chen et al. 2016): less memory, a third more time.
    """
    if steps is None:
        return unroll(model, frames, state, teacher_forcing=teacher_forcing, previous=previous, noise=noise)
    outputs = []
    for start in range(0, frames.shape[1], steps):
        mask = teacher_forcing[:, start : start + steps] if teacher_forcing is not None else None
        stretch = partial(unroll, teacher_forcing=mask, previous=previous, noise=noise)
        output, state = checkpoint(
            stretch,
            model,
            frames[:, start : start + steps],
            state,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _forget_auxiliary_loss(model)),
        )
        outputs.append(output)
        previous = output[:, -1:]
    return torch.cat(outputs, dim=1), state


@contextmanager
def _forget_auxiliary_loss(model: nn.Module) -> Iterator[None]:
    """Around the recomputation of a stretch: its auxiliary loss has been counted in the forward pass.

    It is dropped at once: its graph would hold the activations whose memory was to be saved.
    """
    try:
        yield
    finally:
        auxiliary_loss(model)


def auxiliary_loss(model: nn.Module) -> Tensor | None:
    """What a generator adds to any objective, over its calls since this was last asked; None for most of them.

    One that has such a loss has a method `auxiliary_loss`, which forgets the calls as it answers.
    """
    ask = getattr(model, "auxiliary_loss", None)
    return ask() if ask is not None else None


def _runs(teacher_forcing: Tensor) -> list[tuple[int, int]]:
    """The half-open ranges of steps that can be one call each: all teacher-forced, or a single step that is not."""
    runs: list[tuple[int, int]] = []
    forced = [bool(step) for step in teacher_forcing.all(dim=0)]
    for step in range(len(forced)):
        if step and forced[step - 1] and forced[step]:
            runs[-1] = (runs[-1][0], step + 1)
        else:
            runs.append((step, step + 1))
    return runs


def teacher_forcing_mask(
    batch: int,
    context: int,
    horizon: int,
    truth_probability: float,
    context_probability: float,
    generator: torch.Generator,
    num_forced: int = 1,
) -> Tensor:
    """Which inputs of a clip are true frames, (B, context + horizon - 1) bool, drawn for each clip and step.

    The first `num_forced` are in any case.

    Scheduled sampling (Bengio et al. 2015): a horizon step is teacher-forced with `truth_probability`, which falls from
    1 to 0 as training goes. Reverse scheduled sampling (Wang et al. 2022, section 3.4): a context step after those
    is so with `context_probability`, which rises to 1, so that the model must look far back early on.
    """
    probability = torch.tensor([context_probability] * context + [truth_probability] * (horizon - 1))
    probability[:num_forced] = 1
    # rand is in [0, 1): a probability of 1 is always teacher forcing, of 0 never
    return torch.rand(batch, len(probability), generator=generator) < probability


def stream(model: nn.Module, context: Tensor, noise: Tensor | None = None) -> Iterator[Tensor]:
    """Frames (B, 1, C, H, W) that continue `context` (B, T, C, H, W), one after another without end.

    Only the state is kept, so memory does not grow with the length. The weights must not change meanwhile.
    """
    packed = PackedWeights()
    frames, state, fed_back = context, None, None
    while True:
        with packed:
            output, state = call(model, with_noise(frames, noise), state, fed_back)
        frame = output[:, -1:]
        yield frame
        frames, fed_back = frame.to(context.dtype), torch.ones(len(frame), 1, dtype=torch.bool)


def predict(model: nn.Module, context: Tensor, horizon: int, noise: Tensor | None = None) -> Tensor:
    """The `horizon` frames (B, horizon, C, H, W) that follow `context` (B, T, C, H, W), outputs fed back."""
    return torch.cat(list(islice(stream(model, context, noise), horizon)), dim=1)


def translate(model: nn.Module, source: Tensor, noise: Tensor | None = None) -> Tensor:
    """The target frames (B, T, out, H, W) of the frames of `source` (B, T, C, H, W), each from those up to it."""
    with PackedWeights():
        frames, _ = model(with_noise(source, noise))
    return frames


def free_running(
    model: nn.Module, frames: Tensor, horizon: int, noise: Tensor | None = None, *, feeds_back: bool
) -> Tensor:
    """What `model` makes of `frames` as its task runs it: `predict` where outputs are fed back, else `translate`."""
    return predict(model, frames, horizon, noise) if feeds_back else translate(model, frames, noise)


def draw_noise(batch: int, channels: int, generator: torch.Generator) -> Tensor | None:
    """Noise (B, Z) for `batch` futures, standard normal; None where the model takes none (`channels` is 0).

    It is drawn once per clip and held over time: it picks a future, it does not shake one.
    """
    return torch.randn(batch, channels, generator=generator) if channels else None


def with_noise(frames: Tensor, noise: Tensor | None) -> Tensor:
    """`frames` (B, T, C, H, W) with `noise` (B, Z) as further channels, (B, T, C + Z, H, W), after the frame's own."""
    if noise is None:
        return frames
    batch, time, _, height, width = frames.shape
    planes = noise.to(frames)[:, None, :, None, None].expand(batch, time, noise.shape[1], height, width)
    return torch.cat([frames, planes], dim=2)


def detach(state: State) -> State:
    """The same state, cut from the graph that made it: back-propagation ends here."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(detach(part) for part in state) if state is not None else None


def tensors(state: State) -> list[Tensor]:
    """The tensors of a nested state, in order."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state or () for tensor in tensors(part)]
