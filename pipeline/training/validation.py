"""Measures a generator on validation clips, as it will be used: on its own output."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from pipeline.data.clips import ClipDataset, to_float
from pipeline.metrics import mse, ssim
from pipeline.nn.rollout import draw_noise, free_running, unroll
from pipeline.runtime import memory
from pipeline.runtime.devices import autocast, device_of, on_processor, reduce


class Validation:
    """Mean errors of free-running rollouts, or translations, of `num_clips` clips spread evenly over a split.

    The clips are shared out among the processes of `accelerator`. A training step takes `batch_size` crops of `crop`
    pixels a side (None: whole frames); here frames are whole, so fewer are taken at a time. `noise_channels` are drawn
    by `seed`, the same for every clip.
    """

    def __init__(
        self,
        clips: ClipDataset,
        *,
        num_clips: int,
        batch_size: int,
        crop: int | None,
        noise_channels: int,
        seed: int,
        accelerator: Accelerator,
        dtype: torch.dtype | None,
    ) -> None:
        self.clips, self.noise_channels = clips, noise_channels
        self.accelerator, self.device, self.dtype = accelerator, device_of(accelerator), dtype
        _, height, width = clips.frame_shape
        side = crop or max(height, width)
        self.batch_size = max(1, round(batch_size * min(side, height) * min(side, width) / (height * width)))
        self.indices = np.linspace(0, len(clips) - 1, min(len(clips), num_clips)).round().astype(int)
        self.noise = draw_noise(1, noise_channels, torch.Generator().manual_seed(seed))

    def measure(self, model: nn.Module) -> dict[str, float]:
        """val_mse and val_ssim of `model`, which is left in evaluation mode; the same in every process."""
        val_mse, val_ssim = self.measure_each(model).mean(dim=0).tolist()
        return {"val_mse": val_mse, "val_ssim": val_ssim}

    def measure_each(self, model: nn.Module) -> torch.Tensor:
        """MSE and SSIM of each clip, (num_clips, 2), float64, as `measure` does."""
        model.eval()
        task = self.clips.task
        own = np.array_split(np.arange(len(self.indices)), self.accelerator.num_processes)
        positions = own[self.accelerator.process_index]
        errors = torch.zeros(len(self.indices), 2, device=self.device, dtype=torch.float64)
        for start in range(0, len(positions), self.batch_size):
            part = positions[start : start + self.batch_size]
            pairs = self.clips.pairs(self.indices[part])
            inputs, truth = (to_float(torch.from_numpy(frames).to(self.device)) for frames in pairs)
            noise = self.noise.to(self.device).expand(len(inputs), -1) if self.noise is not None else None
            with torch.no_grad(), autocast(self.device, self.dtype):
                given, truth = task.free_running(inputs, truth)
                predicted = free_running(model, given, task.horizon, noise, feeds_back=task.feeds_back)
            each = torch.stack([mse(predicted, truth).mean(1), ssim(predicted, truth).mean(1)], dim=1)
            errors[part[0] : part[-1] + 1] = each.double()
        # each process has filled in its own clips, the others' are zero
        return reduce(self.accelerator, errors, "sum")

    def peak_bytes(self, model: nn.Module) -> int:
        """About how much memory a batch will take, beside the weights; the model is left in evaluation mode."""
        model.eval()  # as it will be measured; in training it would keep an auxiliary loss of these empty frames
        model, device = on_processor(model), torch.device("cpu")  # see Objective.on_processor
        channels, *size = self.clips.frame_shape

        def rollout() -> None:
            shape = (self.batch_size, self.clips.task.num_inputs, channels + self.noise_channels, *size)
            with torch.no_grad(), autocast(device, self.dtype):
                unroll(model, torch.zeros(shape, device=device), None)

        return memory.estimate(rollout)
