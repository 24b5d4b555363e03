"""Fits a generator: steps, validation on free-running rollouts, best weights, a budget, and going on after a kill."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.data.clips import ClipDataset, to_float
from pipeline.errors import ModelError
from pipeline.nn.packed import PackedWeights
from pipeline.nn.rollout import State, auxiliary_loss, detach, draw_noise, teacher_forcing_mask, unroll_with_checkpoints
from pipeline.params import Recipe, TrainParams
from pipeline.runtime import memory
from pipeline.runtime.devices import accelerator, autocast, autocast_dtype, average_gradients, device_of
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.discriminator import Discriminator
from pipeline.training.ema import ExponentialMovingAverage
from pipeline.training.objectives import Adversary, PixelLoss
from pipeline.training.optimizers import Optimizer
from pipeline.training.schedules import frames_shown, learning_rate_factor, truth_probabilities
from pipeline.training.validation import Validation

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_SAVES = 30.0
SECONDS_BETWEEN_LINES = 10.0
Row = dict[str, float]  # what an epoch's end knows: train_loss, val_mse, val_ssim, learning_rate


@dataclass(frozen=True)
class Fitted:
    """The outcome of fit: the weights that were best in validation, that row, and the rows of all epochs."""

    weights: dict[str, Tensor]
    best: Row
    history: list[Row]
    steps: int
    seconds: float  # spent on steps and validation


def fit(
    model: nn.Module,
    train_clips: ClipDataset,
    val_clips: ClipDataset,
    *,
    recipe: Recipe,
    train: TrainParams,
    state: CheckpointFile | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> Fitted:
    """Train `model` in place by `recipe` until its epochs or `train.max_minutes` are over.

    `on_epoch` gets every epoch's row, those of epochs before a kill too. With `state` the training is saved as it goes
    and taken up where it was. Raises ModelError where the loss stops being a number.
    """
    run = _Run(model, train_clips, val_clips, recipe, train)
    run.check_memory()
    saved = state.load(run.device) if state is not None else None
    if saved is not None:
        run.load_state_dict(saved)
        logger.info("going on at step %d of %d", run.step, run.num_steps)
    else:
        run.validate_start()
    for row in run.history:
        on_epoch(row)
    saved_at = time.monotonic()
    while not run.finished:
        run.train_step()
        ended = run.at_epoch_end
        if ended:
            on_epoch(run.end_epoch())
        if state is not None and (ended or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES):
            run.save(state)
            saved_at = time.monotonic()
    assert run.best_row is not None
    return Fitted(run.best_weights, run.best_row, run.history, run.step, run.seconds)


class _Run:
    """All that changes while a generator is trained, so all that a resumed run needs."""

    def __init__(
        self,
        model: nn.Module,
        train_clips: ClipDataset,
        val_clips: ClipDataset,
        recipe: Recipe,
        train: TrainParams,
    ) -> None:
        self.accelerator = accelerator()
        self.device = device_of(self.accelerator)
        self.dtype = autocast_dtype(train.precision, self.device)
        self.model = model.to(self.device)
        self.train_clips, self.recipe, self.train = train_clips, recipe, train
        self.validation = Validation(
            val_clips,
            num_clips=train.val_clips,
            batch_size=recipe.batch_size,
            crop=train.crop,
            noise_channels=train.noise_channels,
            seed=train.seed,
            accelerator=self.accelerator,
            dtype=self.dtype,
        )
        self.pixel = PixelLoss(**recipe.loss.model_dump())
        self.adversary = None
        if recipe.objective == "adversarial":
            opponent = train.adversary
            discriminator = Discriminator(train_clips.frame_shape[0], opponent.channels).to(self.device)
            self.adversary = Adversary(discriminator, context=opponent.context, learning_rate=opponent.learning_rate)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = Optimizer(recipe.optimizer, self.parameters, recipe.learning_rate)
        self.average = ExponentialMovingAverage(self.parameters, recipe.ema_decay)
        self.steps_per_epoch = -(-len(train_clips) // recipe.batch_size)
        self.num_steps = recipe.epochs * self.steps_per_epoch
        self.order: tuple[int, NDArray] = (-1, np.empty(0))  # epoch, its order of clips

        self.step = 0
        self.seconds = 0.0  # spent on steps and validation, before a kill too
        self.step_loss = torch.zeros((), device=self.device)
        self.epoch_loss = torch.zeros((), device=self.device)  # summed over the epoch's steps so far
        self.epoch_steps = 0
        self.history: list[Row] = []
        self.best_row: Row | None = None
        self.best_weights: dict[str, Tensor] = {}

        self.loading_seconds = 0.0
        self.meter = (time.monotonic(), 0)  # when the last line was logged, and the step then

    def check_memory(self) -> None:
        """Say how much memory a step will take; raises ModelError, with what to lower, where so much is not free."""
        weights = 6 * sum(parameter.nbytes for parameter in self.parameters)  # gradients, Adam's two, best, average
        remedy = "the recipe's batch_size, train.crop, train.bptt_steps or train.recompute_steps"
        if self.adversary is not None:
            weights += 3 * sum(parameter.nbytes for parameter in self.adversary.discriminator.parameters())
            remedy = f"train.adversary.channels, {remedy}"
        free = memory.available(self.device)
        needed = memory.estimate(self._largest_step) + weights
        logger.info("about %.2f GiB of memory a step, %.1f GiB are free", needed / memory.GIB, free / memory.GIB)
        memory.check("a training step", needed, free, remedy)
        remedy = "the recipe's batch_size, or the clips' frames (extract.size, tensorize.horizon)"
        memory.check("validation", self.validation.peak_bytes(self.model) + weights, free, remedy)

    def _largest_step(self) -> None:
        """What takes the most memory of all that train_step does, on grey frames and without changing anything."""
        channels, *size = self.train_clips.frame_shape
        crop = [min(self.train.crop or side, side) for side in size]
        batch = -(-self.recipe.batch_size // (self.accelerator.num_processes * self.train.accumulate))
        length = min(self.train.bptt_steps or self.train_clips.task.num_inputs, self.train_clips.task.num_inputs)
        inputs = torch.zeros((batch, length, channels, *crop), device=self.device)
        noise = inputs.new_zeros(batch, self.train.noise_channels) if self.train.noise_channels else None
        # all of a segment is judged, but where the clip is one segment: then all after the context
        start = None if self.adversary is None else self.shown if length == self.train_clips.task.num_inputs else 0
        loss, outputs, _ = self._loss(inputs, inputs, None, noise=noise, judged_from=start)
        torch.autograd.grad(loss, self.parameters, allow_unused=True)
        if self.adversary is not None and start is not None:
            with autocast(self.device, self.dtype):
                loss = self.adversary.own_loss(outputs, inputs, start)
            torch.autograd.grad(loss, list(self.adversary.discriminator.parameters()))

    @property
    def shown(self) -> int:
        """Outputs that the adversary does not judge: a continuation's first ones, over the context."""
        return self.train_clips.task.first_judged

    @property
    def progress(self) -> float:
        """How far training is, in [0, 1]: steps done of those planned, or time spent of the budget."""
        share = self.step / self.num_steps
        if self.train.max_minutes is not None:
            share = max(share, self.seconds / (60 * self.train.max_minutes))
        return min(1.0, share)

    @property
    def finished(self) -> bool:
        return self.progress >= 1 and self.epoch_steps == 0

    @property
    def at_epoch_end(self) -> bool:
        return self.step % self.steps_per_epoch == 0 or self.progress >= 1

    def train_step(self) -> None:
        """One step of the optimizer on the next batch."""
        begin = time.monotonic()
        progress, recipe, train = self.progress, self.recipe, self.train
        self.optimizer.set_rate(learning_rate_factor(recipe.schedule, progress, train.warmup))
        indices = self._batch_indices()
        # drawn for the whole batch whatever the number of processes, anew from seed and step: nothing to save
        generator = torch.Generator().manual_seed(train.seed * 1_000_003 + self.step)
        truth = None
        if recipe.sampling != "teacher" and self.train_clips.task.feeds_back:
            context, horizon = self.train_clips.context, self.train_clips.horizon
            shown = frames_shown(context, horizon, recipe.curriculum, progress)
            probabilities = truth_probabilities(recipe.sampling, progress)
            truth = teacher_forcing_mask(len(indices), context, horizon, *probabilities, generator, shown)
        noise = draw_noise(len(indices), train.noise_channels, generator)

        self.model.train()
        mine = np.array_split(np.arange(len(indices)), self.accelerator.num_processes)[self.accelerator.process_index]
        with PackedWeights():  # until the optimizer's step
            for piece in np.array_split(mine, train.accumulate):
                if len(piece) == 0:
                    continue
                loading = time.monotonic()
                crops = np.random.default_rng([train.seed, self.step, int(piece[0])])
                pairs = self.train_clips.pairs(indices[piece], train.crop, crops)
                inputs, targets = (torch.from_numpy(frames).to(self.device) for frames in pairs)
                self.loading_seconds += time.monotonic() - loading
                self._backward(
                    inputs,
                    targets,
                    truth[piece] if truth is not None else None,
                    noise[piece].to(self.device) if noise is not None else None,
                    # processes are averaged, so each counts for its share of the batch times their number
                    len(piece) / len(indices) * self.accelerator.num_processes,
                    progress,
                )
        learnt = self.parameters + (list(self.adversary.discriminator.parameters()) if self.adversary else [])
        average_gradients(self.accelerator, learnt, self.step_loss)
        self.epoch_loss += self.step_loss
        self.step_loss.zero_()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        self.optimizer.step()
        if self.adversary is not None:
            self.adversary.step()
        self.average.update(self.step)
        self.step += 1
        self.epoch_steps += 1
        self._spend(begin)
        self._log()

    def _batch_indices(self) -> NDArray:
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self.order[0] != epoch:
            self.order = epoch, np.random.default_rng([self.train.seed, epoch]).permutation(len(self.train_clips))
        start = position * self.recipe.batch_size
        return self.order[1][start : start + self.recipe.batch_size]

    def _backward(
        self,
        inputs: Tensor,
        targets: Tensor,
        truth: Tensor | None,
        noise: Tensor | None,
        share: float,
        progress: float,
    ) -> None:
        """Add the gradients of clips that are `share` of the batch: uint8 `inputs` and `targets`, (B, T, H, W, C) each.

        Every output counts, those over the context too: they cost nothing more and say what motion is. With
        `bptt_steps` the clip is cut into segments; the state goes on from one to the next, the gradient does not, so
        memory is that of one segment, however long the clip (truncated back-propagation, Williams & Peng 1990).
        """
        num_inputs = inputs.shape[1]
        length = self.train.bptt_steps or num_inputs
        state: State = None
        previous = None
        for start in range(0, num_inputs, length):
            stop = min(start + length, num_inputs)
            target = to_float(targets[:, start:stop])
            judged_from = max(0, self.shown - start)
            judged = self.adversary is not None and progress >= self.train.adversary.start
            judged = judged and judged_from < stop - start
            loss, outputs, state = self._loss(
                to_float(inputs[:, start:stop]),
                target,
                state,
                teacher_forcing=truth[:, start:stop] if truth is not None else None,
                previous=previous,
                noise=noise,
                judged_from=judged_from if judged else None,
            )
            weight = share * (stop - start) / num_inputs
            (loss * weight).backward()
            self.step_loss += loss.detach() * weight
            if self.adversary is not None and judged:
                with autocast(self.device, self.dtype):
                    self.adversary.learn(outputs, target, judged_from, weight)
            state, previous = detach(state), outputs[:, -1:].detach()

    def _loss(
        self, inputs: Tensor, target: Tensor, state: State, *, judged_from: int | None, **rollout: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        """The loss of a segment, its outputs (B, T, C, H, W) and the state after it; `rollout` is for unroll.

        The adversary judges the outputs from `judged_from` on; None: none.
        """
        with autocast(self.device, self.dtype):
            outputs, state = unroll_with_checkpoints(self.model, inputs, state, self.train.recompute_steps, **rollout)
            loss = self.pixel(outputs, target)
            own = auxiliary_loss(self.model)
            if own is not None:
                loss = loss + own
            if self.adversary is not None and judged_from is not None:
                loss = loss + self.train.adversary.weight * self.adversary.loss(outputs, target, judged_from)
        return loss, outputs, state

    def end_epoch(self) -> Row:
        """Validate, keep the weights if they are the best so far, and give the epoch's row."""
        begin = time.monotonic()
        loss = self.epoch_loss.item() / self.epoch_steps
        if not np.isfinite(loss):
            raise ModelError(
                f"the loss is not a number after step {self.step}; lower the recipe's learning_rate or its clip_norm"
            )
        with self.average.in_place():
            errors = self.validation.measure(self.model)
            self._keep_if_best(errors)
        row = {"train_loss": loss, **errors, "learning_rate": self.optimizer.rate}
        self.history.append(row)
        self.epoch_loss.zero_()
        self.epoch_steps = 0
        self._spend(begin)
        logger.info("epoch %d: %s", len(self.history), ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
        return row

    def validate_start(self) -> None:
        """Validate the weights that training begins with: where it only spoils them, they are what is kept."""
        begin = time.monotonic()
        errors = self.validation.measure(self.model)
        self._keep_if_best(errors)
        self._spend(begin)
        logger.info("before training: %s", ", ".join(f"{k} {v:.4g}" for k, v in errors.items()))

    def _keep_if_best(self, errors: Row) -> None:
        if self.best_row is None or errors["val_mse"] < self.best_row["val_mse"]:
            self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best_row = errors

    def _spend(self, begin: float) -> None:
        """Count the time since `begin`; all processes must agree on it, because it decides when to stop."""
        seconds = time.monotonic() - begin
        if self.train.max_minutes is not None and self.accelerator.num_processes > 1:
            seconds = self.accelerator.reduce(torch.tensor(seconds, device=self.device), reduction="mean").item()
        self.seconds += seconds

    def _log(self) -> None:
        then, step = self.meter
        now = time.monotonic()
        if now - then < SECONDS_BETWEEN_LINES or not self.accelerator.is_main_process:
            return
        left = self.seconds * (1 / self.progress - 1)
        logger.info(
            "step %d/%d: loss %.4g, %.3f s/step, loading %.1f %%, %d:%02d left",
            self.step,
            self.num_steps,
            self.epoch_loss.item() / self.epoch_steps,
            (now - then) / (self.step - step),
            100 * self.loading_seconds / (now - then),
            *divmod(int(left), 60),
        )
        self.meter, self.loading_seconds = (now, self.step), 0.0

    def save(self, state: CheckpointFile) -> None:
        """Write all that changes; one process does it, for they are all alike, and the others need not wait."""
        if self.accelerator.is_main_process:
            state.save(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on as if it had not been stopped."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state_dict() if self.adversary is not None else {},
            "average": self.average.values,
            "random": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
            "epoch_loss": self.epoch_loss,
            "epoch_steps": self.epoch_steps,
            "history": self.history,
            "best_row": self.best_row,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where state_dict left off."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])
        self.average.load(state["average"])
        torch.set_rng_state(state["random"].cpu())
        self.epoch_loss.copy_(state["epoch_loss"])
        for name in ("step", "seconds", "epoch_steps", "history", "best_row", "best_weights"):
            setattr(self, name, state[name])
