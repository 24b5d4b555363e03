"""What a generator is trained towards, and how its gradient is taken: the losses together, segment by segment."""

from collections.abc import Callable, Iterable
from copy import copy, deepcopy
from typing import Self

import torch
from torch import Tensor, nn

from pipeline.data.clips import to_float
from pipeline.model_params import Recipe
from pipeline.nn.rollout import State, auxiliary_loss, detach, unroll_with_checkpoints
from pipeline.params import TrainParams
from pipeline.runtime.devices import autocast, on_processor
from pipeline.training.batches import Piece
from pipeline.training.discriminator import Discriminator
from pipeline.training.losses import Adversary, PixelLoss


class Objective:
    """The recipe's pixel loss, what the generator adds to it, and an adversary's if the recipe wants one.

    Every output counts in the pixel loss, those over the context too: they cost nothing more and say what motion is.
    The adversary judges the outputs from `first_judged` on, once `train.adversary.start` of training is done.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        train: TrainParams,
        *,
        out_channels: int,
        first_judged: int,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.model, self.train, self.first_judged = model, train, first_judged
        self.device, self.dtype = device, dtype
        self.pixel = PixelLoss(**recipe.loss.model_dump())
        self.adversary = None
        if recipe.objective == "adversarial":
            settings = train.adversary
            discriminator = Discriminator(out_channels, settings.channels).to(device)
            self.adversary = Adversary(discriminator, context=settings.context, lr=settings.learning_rate)

    def on_processor(self) -> Self:
        """This objective if it is on the processor, else a copy of it there, for an estimate of its memory.

        That runs on tensors without content, which kernels of a GPU do not take for weights that have some.
        """
        if self.device.type == "cpu":
            return self
        other = copy(self)
        other.model, other.device = on_processor(self.model), torch.device("cpu")
        if self.adversary is not None:
            other.adversary = deepcopy(self.adversary)
            other.adversary.discriminator.cpu()
        return other

    def backward(
        self, pieces: Iterable[Piece], fraction_done: float, check: Callable[[Tensor], None] = lambda loss: None
    ) -> Tensor:
        """Add the gradients of a batch to those of the generator and of the discriminator; the loss, a scalar.

        `check` gets the loss of every segment before its backward pass, which is not safe on what is no number.
        """
        adversary = self.adversary if fraction_done >= self.train.adversary.start else None
        total = torch.zeros((), device=self.device)
        for piece in pieces:
            self._add_gradients(piece, adversary, total, check)
        return total

    def loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        state: State,
        *,
        first_judged: int | None,
        teacher_forcing: Tensor | None = None,
        previous: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """The loss of a segment, the outputs, and the state after it; inputs, targets and outputs: (B, T, C, H, W).

        The adversary judges the outputs from `first_judged` on; None: none. The rest is rollout.unroll's.
        """
        with autocast(self.device, self.dtype):
            outputs, state = unroll_with_checkpoints(
                self.model,
                inputs,
                state,
                self.train.recompute_steps,
                teacher_forcing=teacher_forcing,
                previous=previous,
                noise=noise,
            )
            loss = self.pixel(outputs, targets)
            auxiliary = auxiliary_loss(self.model)
            if auxiliary is not None:
                loss = loss + auxiliary
            if self.adversary is not None and first_judged is not None:
                loss = loss + self.train.adversary.weight * self.adversary.loss(outputs, targets, first_judged)
        return loss, outputs, state

    def _add_gradients(
        self, piece: Piece, adversary: Adversary | None, total: Tensor, check: Callable[[Tensor], None]
    ) -> None:
        """Add the gradients of the clips in `piece`, and their share of the batch's loss to `total`.

        With `bptt_steps` the clips are cut into segments; the state goes on from one to the next, the gradient does
        not, so memory is that of one segment, however long the clip (truncated BPTT, Williams & Peng 1990).
        """
        num_inputs = piece.inputs.shape[1]
        length = self.train.bptt_steps or num_inputs
        state: State = None
        previous = None
        for start in range(0, num_inputs, length):
            stop = min(start + length, num_inputs)
            targets = to_float(piece.targets[:, start:stop])
            first_judged = max(0, self.first_judged - start)
            judge = adversary if first_judged < stop - start else None
            loss, outputs, state = self.loss(
                to_float(piece.inputs[:, start:stop]),
                targets,
                state,
                first_judged=first_judged if judge is not None else None,
                teacher_forcing=piece.teacher_forcing[:, start:stop] if piece.teacher_forcing is not None else None,
                previous=previous,
                noise=piece.noise,
            )
            check(loss)
            weight = piece.weight * (stop - start) / num_inputs
            (loss * weight).backward()
            total += loss.detach() * weight
            if judge is not None:
                with autocast(self.device, self.dtype):
                    judge.learn(outputs, targets, first_judged, weight)
            state, previous = detach(state), outputs[:, -1:].detach()
