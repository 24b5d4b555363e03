"""Fits a generator: steps, validation on free-running rollouts, best weights, a budget, and going on after a kill."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data.clips import ClipDataset
from pipeline.errors import PipelineError
from pipeline.model_params import Recipe
from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.params import TrainParams
from pipeline.runtime.devices import accelerator, are_alike, autocast_dtype, average_gradients, device_of, reduce
from pipeline.training.batches import Batches
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.choice import keep_start_unless_sure, try_mixtures
from pipeline.training.ema import Ema
from pipeline.training.finite import FiniteCheck
from pipeline.training.memory_check import check_memory
from pipeline.training.meter import STEPS_OF_FIRST_LINE, Meter
from pipeline.training.objective import Objective
from pipeline.training.optimizers import Optimizer
from pipeline.training.progress import Progress, Row, described
from pipeline.training.schedules import lr_factor
from pipeline.training.thread_count import ThreadCount
from pipeline.training.validation import Validation

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_SAVES = 30.0
FEW_STEPS = 100  # from which hardly any recipe learns


@dataclass(frozen=True)
class Fitted:
    """The outcome of fit: the weights that were best in validation, that row, and the rows of all epochs."""

    weights: dict[str, Tensor]
    best_epoch: int  # that ended with these weights, from 1; 0: no epoch bettered those it began with
    best: Row
    history: list[Row]
    steps: int
    seconds: float  # spent on steps and validation
    start_kept_because: str  # where best_epoch is 0: why, and what to change


def fit(
    model: nn.Module,
    train_clips: ClipDataset,
    val_clips: ClipDataset,
    *,
    recipe: Recipe,
    train: TrainParams,
    state: CheckpointFile | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    mix_with_start: bool = False,
) -> Fitted:
    """Train `model` in place by `recipe` until its epochs or `train.max_minutes` are over.

    `on_epoch` gets every epoch's row, those of epochs before a kill too. With `state` the training is saved as it goes
    and resumed where it was. With `mix_with_start` weights between those of the start and of the end are tried as well,
    and the start is kept unless validation is sure (pipeline/training/choice.py). Raises ModelError where the loss or
    its gradient stops being a number, and PipelineError where one of several processes is lost, or differs.
    """
    training = Training(model, train_clips, val_clips, recipe=recipe, train=train, mix_with_start=mix_with_start)
    check_memory(training.objective, training.batches, training.validation)
    saved = state.load(training.device) if state is not None else None
    if state is not None:
        training.check_all_begin_alike(state, saved)
    if saved is not None:
        training.load_state_dict(saved)
        logger.info("going on at step %d of %d", training.progress.step, training.num_steps)
    else:
        training.validate_start()
        bound = f"at most {train.max_minutes:g} minutes" if train.max_minutes else "no limit in minutes"
        logger.info(
            "%d steps of %d clips, %s (train.max_minutes); how long that takes is said after %d steps",
            training.num_steps,
            recipe.batch_size,
            bound,
            STEPS_OF_FIRST_LINE,
        )
    progress = training.progress
    for row in progress.history:
        on_epoch(row)
    saved_at = time.monotonic()
    while not training.finished:
        training.train_step()
        ended = training.at_epoch_end
        if ended:
            on_epoch(training.end_epoch())
        if state is not None and (ended or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES):
            training.save(state)
            saved_at = time.monotonic()
    if training.start:
        with training.ema.in_place():
            end = {name: value.clone() for name, value in model.state_dict().items()}
        try_mixtures(model, training.start, end, training.validation, progress)
    start_kept_because = ""
    if progress.best_epoch == 0:
        start_kept_because = f"training never got better than its start; {training.remedy_without_gain}"
    elif training.start:
        start_kept_because = keep_start_unless_sure(model, training.start, training.validation, progress)
        if start_kept_because and training.is_short:
            start_kept_because += f"; {training.remedy_without_gain}"
    if start_kept_because:
        logger.warning("the weights it began with are kept: %s", start_kept_because)
    assert progress.best_row is not None
    return Fitted(
        progress.best_weights,
        progress.best_epoch,
        progress.best_row,
        progress.history,
        progress.step,
        progress.seconds,
        start_kept_because,
    )


class Training:
    """A generator in training: what steps on it, what measures it, and how far it is."""

    def __init__(
        self,
        model: nn.Module,
        train_clips: ClipDataset,
        val_clips: ClipDataset,
        *,
        recipe: Recipe,
        train: TrainParams,
        mix_with_start: bool = False,
    ) -> None:
        self.threads = ThreadCount(train.num_threads)
        self.accelerator = accelerator()
        self.device = device_of(self.accelerator)
        dtype = autocast_dtype(train.precision, self.device)
        self.model = model.to(self.device)
        self.start = {name: value.clone() for name, value in model.state_dict().items()} if mix_with_start else {}
        self.train_clips, self.recipe, self.train = train_clips, recipe, train
        self.batches = Batches(train_clips, recipe, train, self.accelerator)
        self.validation = Validation(
            val_clips,
            num_clips=train.val_clips,
            batch_size=recipe.batch_size,
            crop=train.crop,
            noise_channels=train.noise_channels,
            seed=train.seed,
            accelerator=self.accelerator,
            dtype=dtype,
        )
        self.objective = Objective(
            self.model,
            recipe,
            train,
            out_channels=train_clips.frame_shape[0],
            first_judged=train_clips.task.first_judged,
            device=self.device,
            dtype=dtype,
        )
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = Optimizer(recipe.optimizer, self.parameters, recipe.learning_rate, recipe.weight_decay)
        self.ema = Ema(self.parameters, recipe.ema_decay)
        self.num_steps = recipe.epochs * self.batches.steps_per_epoch
        self.progress = Progress(epoch_loss=torch.zeros((), device=self.device))
        self.meter = Meter(step=0)
        self.check = FiniteCheck(self.device, self.remedy)

    @property
    def remedy(self) -> str:
        """What to change where training goes wrong."""
        recipe = self.recipe
        clip_norm = "set its clip_norm" if recipe.clip_norm is None else f"its clip_norm ({recipe.clip_norm:g})"
        keys = f"the recipe's learning_rate ({recipe.learning_rate:g}) or {clip_norm}"
        if self.objective.adversary is not None:
            keys += f", or train.adversary.learning_rate ({self.train.adversary.learning_rate:g})"
        return f"lower {keys}"

    @property
    def is_short(self) -> bool:
        """Whether training ended long before its recipe has it end, or has hardly any steps."""
        return self.progress.step < max(FEW_STEPS, self.num_steps / 2)

    @property
    def remedy_without_gain(self) -> str:
        """What to change where training got no better than its start: the cause is named where it is known."""
        steps, planned = self.progress.step, self.num_steps
        if not self.is_short:
            return self.remedy
        if steps < planned:
            minutes = f"train.max_minutes ({self.train.max_minutes:g})"
            return f"{minutes} ended it after {steps:,} of {planned:,} steps: raise it"
        return f"{steps:,} steps are few: add video, raise the recipe's epochs ({self.recipe.epochs}), or {self.remedy}"

    @property
    def fraction_done(self) -> float:
        """How far training is, in [0, 1]: steps done of those planned, or time spent of the budget."""
        fraction = self.progress.step / self.num_steps
        if self.train.max_minutes is not None:
            fraction = max(fraction, self.progress.seconds / (60 * self.train.max_minutes))
        return min(1.0, fraction)

    @property
    def finished(self) -> bool:
        return self.fraction_done >= 1 and self.progress.epoch_steps == 0

    @property
    def at_epoch_end(self) -> bool:
        return self.progress.step % self.batches.steps_per_epoch == 0 or self.fraction_done >= 1

    def train_step(self) -> None:
        """One step of the optimizer on the next batch."""
        begin = time.monotonic()
        self.threads.begin_step()
        step, fraction_done, adversary = self.progress.step, self.fraction_done, self.objective.adversary
        self.optimizer.scale_lr(lr_factor(self.recipe.schedule, fraction_done, self.train.warmup))
        pieces = self.meter.loading(self.batches.pieces(step, fraction_done))
        self.model.train()
        try:
            with PackedWeights():  # until the optimizer's step
                loss = self.objective.backward(pieces, fraction_done, partial(self.check.see, step + 1, "loss"))
        except FloatingPointError as error:
            raise self.check.error(step + 1, str(error)) from error
        learning = self.parameters + (list(adversary.discriminator.parameters()) if adversary is not None else [])
        average_gradients(self.accelerator, learning, loss)
        if self.recipe.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        self.check.see(step + 1, "norm of the gradient", norm)
        self.optimizer.step()
        if adversary is not None:
            adversary.step()
        self.ema.update(step)
        self.progress.end_step(loss)
        self.threads.end_step()
        self._count_seconds(begin)
        if self.accelerator.is_main_process:
            self.meter.log(self.progress, self.num_steps, self.fraction_done)

    def end_epoch(self) -> Row:
        """Validate the EMA of the weights, keep it if it is the best so far, and return the epoch's row."""
        begin = time.monotonic()
        self.check.finish()
        loss = self.progress.mean_loss
        with self.ema.in_place():
            errors = self.validation.measure(self.model)
            self.progress.keep_if_best(self.model, errors, epoch=len(self.progress.history) + 1)
        row = {"train_loss": loss, **errors, "learning_rate": self.optimizer.lr}
        self.progress.end_epoch(row)
        self._count_seconds(begin)
        logger.info("epoch %d: %s", len(self.progress.history), described(row))
        return row

    def check_all_begin_alike(self, checkpoint: CheckpointFile, saved: dict[str, Any] | None) -> None:
        """Raises PipelineError where processes differ in what they train, or in the step from which they go on."""
        step = saved["progress"]["step"] if saved is not None else 0
        if not are_alike(self.accelerator, [step, *checkpoint.key.encode()]):
            raise PipelineError(
                f"the {self.accelerator.num_processes} processes do not train the same: give all of them the same "
                f"data, params.yaml, code and folder {checkpoint.path.parents[1]}/ (process "
                f"{self.accelerator.process_index} has step {step} of {checkpoint.path})"
            )

    def validate_start(self) -> None:
        """Validate the weights that training begins with: where it only spoils them, they are what is kept.

        This is no part of train.max_minutes, which are of training.
        """
        errors = self.validation.measure(self.model)
        self.progress.keep_if_best(self.model, errors, epoch=0)
        logger.info("before training: %s", described(errors))

    def save(self, checkpoint: CheckpointFile) -> None:
        """Write all that changes; one process does it, for they are all alike, and the others need not wait."""
        if self.accelerator.is_main_process:
            self.check.finish()
            checkpoint.save(self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that a training needs to go on as if it had not been stopped."""
        adversary = self.objective.adversary
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": adversary.state_dict() if adversary is not None else {},
            "ema": self.ema.values,
            "random": torch.get_rng_state(),
            "progress": vars(self.progress),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where state_dict left off."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.objective.adversary is not None:
            self.objective.adversary.load_state_dict(state["adversary"])
        self.ema.load(state["ema"])
        torch.set_rng_state(state["random"].cpu())
        self.progress = Progress(**state["progress"])
        self.meter = Meter(self.progress.step)

    def _count_seconds(self, begin: float) -> None:
        """Count the time since `begin`; all processes must agree on it, because it decides when to stop."""
        seconds = time.monotonic() - begin
        if self.train.max_minutes is not None and self.accelerator.num_processes > 1:
            seconds = reduce(self.accelerator, torch.tensor(seconds, device=self.device), "mean").item()
        self.progress.seconds += seconds
