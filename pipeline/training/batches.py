"""The batches of a training: which clips, which crops, which inputs are the truth, and which noise.

All is drawn from seed and step, so that a resumed training needs nothing of it saved, and for the whole batch, so that
it is the same whatever the number of processes and pieces.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.clips import ClipDataset
from pipeline.model_params import Recipe
from pipeline.nn.rollout import draw_noise, teacher_forcing_mask
from pipeline.params import TrainParams
from pipeline.runtime.devices import device_of
from pipeline.training.schedules import num_forced_inputs, teacher_forcing_probabilities

BATCHES_AHEAD = 64  # whose frames are fetched while others are computed


@dataclass(frozen=True)
class Piece:
    """The clips of a batch that a process takes through the generator at once, on its device."""

    inputs: Tensor  # uint8 (B, T, H, W, C), what the generator is fed under teacher forcing
    targets: Tensor  # uint8 (B, T, H, W, C), what is to come out
    teacher_forcing: Tensor | None  # bool (B, T), on the processor; None: True throughout
    noise: Tensor | None  # float (B, Z); None: the generator takes none
    weight: float  # of the mean over these clips in the mean over the batch, times the number of processes


class Batches:
    """The training clips in an order that is drawn anew for each epoch, cut into batches, those into pieces.

    A batch is shared out among the processes of `accelerator`; of its part, each takes `train.accumulate` pieces.
    """

    def __init__(self, train_clips: ClipDataset, recipe: Recipe, train: TrainParams, accelerator: Accelerator) -> None:
        self.train_clips, self.recipe, self.train = train_clips, recipe, train
        self.accelerator, self.device = accelerator, device_of(accelerator)
        self.steps_per_epoch = -(-len(train_clips) // recipe.batch_size)
        self._order = lru_cache(2)(self._drawn)  # of the clips in an epoch; batches ahead may be of the next one

    def pieces(self, step: int, fraction_done: float) -> Iterator[Piece]:
        """The pieces of this process in the batch of `step`, counted from 0; frames are read one piece at a time."""
        indices = self._indices(step)
        generator = torch.Generator().manual_seed(self.train.seed * 1_000_003 + step)
        teacher_forcing = self._teacher_forcing(len(indices), fraction_done, generator)
        noise = draw_noise(len(indices), self.train.noise_channels, generator)
        num_processes = self.accelerator.num_processes
        own = self._own(np.arange(len(indices)))
        self._fetch_ahead(step)
        for positions in np.array_split(own, self.train.accumulate):
            if len(positions) == 0:
                continue
            crops = np.random.default_rng([self.train.seed, step, int(positions[0])])
            pairs = self.train_clips.pairs(indices[positions], self.train.crop, crops)
            inputs, targets = (torch.from_numpy(frames).to(self.device) for frames in pairs)
            yield Piece(
                inputs,
                targets,
                teacher_forcing[positions] if teacher_forcing is not None else None,
                noise[positions].to(self.device) if noise is not None else None,
                # gradients are averaged over processes, so each counts for its share of the batch times their number
                len(positions) / len(indices) * num_processes,
            )

    def largest_piece(self) -> tuple[int, int, int, int, int]:
        """The shape (B, T, C, H, W) of the frames in the largest piece, as a generator is fed them."""
        channels, *size = self.train_clips.frame_shape
        height, width = (min(self.train.crop or side, side) for side in size)
        batch = -(-self.recipe.batch_size // (self.accelerator.num_processes * self.train.accumulate))
        return batch, self.train_clips.task.num_inputs, channels, height, width

    def _indices(self, step: int) -> NDArray:
        """Of the clips in the batch of `step`: (B,), fewer at the end of an epoch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.recipe.batch_size
        return self.train_clips.batch(self._order(epoch)[start : start + self.recipe.batch_size])

    def _drawn(self, epoch: int) -> NDArray:
        return self.train_clips.epoch(np.random.default_rng([self.train.seed, epoch]))

    def _own(self, clips: NDArray) -> NDArray:
        """What this process takes of the clips of a batch."""
        return np.array_split(clips, self.accelerator.num_processes)[self.accelerator.process_index]

    def _fetch_ahead(self, step: int) -> None:
        """Have the frames of this batch and the next ones fetched, where they come from elsewhere."""
        if self.train_clips.is_remote:
            ahead = range(step, step + BATCHES_AHEAD)
            self.train_clips.fetch_ahead(np.concatenate([self._own(self._indices(each)) for each in ahead]))

    def _teacher_forcing(self, batch: int, fraction_done: float, generator: torch.Generator) -> Tensor | None:
        """Which inputs are the truth, (B, T); None: all."""
        recipe = self.recipe
        if recipe.sampling != "teacher" and self.train_clips.task.feeds_back:
            context, horizon = self.train_clips.context, self.train_clips.horizon
            num_forced = num_forced_inputs(context, horizon, recipe.curriculum, fraction_done)
            probabilities = teacher_forcing_probabilities(recipe.sampling, fraction_done)
            return teacher_forcing_mask(batch, context, horizon, *probabilities, generator, num_forced)
        return None
