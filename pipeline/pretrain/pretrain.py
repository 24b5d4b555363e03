"""Stage of pretraining: train foreframe on the scenes, and write the model directory that the package comes with."""

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import stage
from pipeline.data.color import to_float
from pipeline.metrics import mse, ssim
from pipeline.model_dir import ModelCard, save
from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import predict, teacher_forcing_mask, unroll
from pipeline.pretrain.params import PretrainParams, load_params
from pipeline.runtime.devices import autocast, autocast_dtype, huge_pages, keep_freed_memory
from pipeline.runtime.hashing import sampled_content_hash
from pipeline.training.ema import Ema
from pipeline.training.losses import PixelLoss
from pipeline.training.optimizers import Optimizer
from pipeline.training.schedules import lr_factor, num_forced_inputs

logger = logging.getLogger(__name__)
CPU = torch.device("cpu")
STEPS_PER_LOG = 100
VALIDATED_AT_ONCE = 16
# a clip that hardly changes counts as much as one that changes all over: what is learnt is to be better in proportion
LOSS = PixelLoss(l1=0.0, l2=1.0, gradient=0.0, ssim=0.0, temporal=0.0, log=True)


def pretrain(scenes: Path, model: Path, *, pretrain: PretrainParams) -> None:
    """Train foreframe on SCENES and write it, and how it does on scenes of its own, to MODEL."""
    huge_pages()
    keep_freed_memory()
    torch.set_num_threads(pretrain.num_threads)
    torch.manual_seed(pretrain.seed)
    clips, val_clips = (np.load(scenes / f"{split}.npy", mmap_mode="r") for split in ("train", "val"))
    height, width, channels = clips.shape[2:]
    card = ModelCard(
        name="foreframe",
        sizes=pretrain.sizes.model_dump(),
        frame_shape=(channels, height, width),
        out_channels=channels,
        noise_channels=0,
        task="predict",
        fit="crop",
        context=pretrain.context,
        horizon=clips.shape[1] - pretrain.context,
        data=sampled_content_hash([], [scenes / "train.npy"]),
        metrics={},
    )
    generator = card.build()
    ema = Ema(list(generator.parameters()), pretrain.ema_decay)
    fit(generator, ema, clips, pretrain)
    with ema.in_place():
        metrics = validate(generator, val_clips, pretrain.context)
        save(model, generator, card.model_copy(update={"metrics": metrics}))
    logger.info("%s", ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def fit(model: nn.Module, ema: Ema, clips: NDArray[np.uint8], params: PretrainParams) -> None:
    """Train `model` in place on `clips`, uint8 (N, T, H, W, C), by Muon."""
    optimizer = Optimizer("muon", ema.parameters, params.learning_rate, params.weight_decay)
    order, forcing = np.random.default_rng(params.seed + 1), torch.Generator().manual_seed(params.seed)
    dtype = autocast_dtype("auto", CPU)
    for step in range(params.steps):
        done = step / params.steps
        optimizer.scale_lr(lr_factor("cosine", done, params.warmup))
        batch = draw(order, clips, params)
        horizon = batch.shape[1] - params.context
        num_forced = num_forced_inputs(params.context, horizon, params.curriculum, done)
        mask = teacher_forcing_mask(len(batch), params.context, horizon, 0.0, 1.0, forcing, num_forced)
        model.train()
        with PackedWeights(), autocast(CPU, dtype):
            outputs, _ = unroll(model, batch[:, :-1], teacher_forcing=mask)
            loss = LOSS(outputs, batch[:, 1:])
            loss.backward()
        nn.utils.clip_grad_norm_(ema.parameters, params.clip_norm)
        optimizer.step()
        ema.update(step)
        if (step + 1) % STEPS_PER_LOG == 0:
            logger.info("step %d of %d: loss %.4g", step + 1, params.steps, loss.item())


def draw(rng: np.random.Generator, clips: NDArray[np.uint8], params: PretrainParams) -> Tensor:
    """A batch (B, T, C, crop, crop) in [-1, 1]: squares cut from any clips, mirrored and turned."""
    squares = []
    for index in rng.integers(len(clips), size=params.batch_size):
        top, left = (int(rng.integers(side - params.crop + 1)) for side in clips.shape[2:4])
        square = clips[index][:, top : top + params.crop, left : left + params.crop]
        for axis in (1, 2):
            square = np.flip(square, axis) if rng.random() < 0.5 else square
        squares.append(np.swapaxes(square, 1, 2) if rng.random() < 0.5 else square)
    return to_float(np.stack(squares))


@torch.no_grad()
def validate(model: nn.Module, clips: NDArray[np.uint8], context: int) -> dict[str, float]:
    """Mean errors on `clips`, running free, and of their last frames."""
    model.eval()
    found: dict[str, list[Tensor]] = {"val_mse": [], "val_ssim": [], "last_frame_mse": []}
    for start in range(0, len(clips), VALIDATED_AT_ONCE):
        batch = to_float(np.array(clips[start : start + VALIDATED_AT_ONCE]))
        truth = batch[:, context:]
        with autocast(CPU, autocast_dtype("auto", CPU)):
            predicted = predict(model, batch[:, :context], truth.shape[1])
        found["val_mse"].append(mse(predicted, truth))
        found["val_ssim"].append(ssim(predicted, truth))
        found["last_frame_mse"].append(mse(batch[:, context - 1 : context].expand_as(truth), truth))
    return {name: float(f"{torch.cat(values).mean().item():.6g}") for name, values in found.items()}


if __name__ == "__main__":
    stage.run(pretrain, load_params)
