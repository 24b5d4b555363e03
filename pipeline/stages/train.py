"""Stage: fit the generator that `model.name` picks, and write it with the history of its training."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline import stage
from pipeline.data.clips import ClipDataset, to_float
from pipeline.data.frames import INDEX, SUFFIXES
from pipeline.model_dir import ModelCard, save
from pipeline.model_params import NO_SIZES, ModelParams
from pipeline.models import BEGIN_FROM_INPUT, CAN_CARRY
from pipeline.nn.rollout import draw_noise, with_noise
from pipeline.params import ExtractParams, TrainParams, TranslateParams
from pipeline.runtime.devices import accelerator, described, huge_pages, keep_freed_memory, use_threads
from pipeline.runtime.files import write_text
from pipeline.runtime.hashing import sampled_content_hash
from pipeline.training.checkpoint import CheckpointFile, loaded_sources
from pipeline.training.gradients import gradient_norms
from pipeline.training.history import History
from pipeline.training.loop import fit
from pipeline.training.progress import Row
from pipeline.training.start import begin, fingerprint, recipe_from

logger = logging.getLogger(__name__)
CHECKPOINTS = Path(".train")  # beside the outputs, which DVC removes before a stage runs
GRADIENT_CLIPS = 8


def train(
    frames: Path,
    clips: Path,
    model_dir: Path,
    history: Path,
    *,
    extract: ExtractParams,
    task: Literal["predict", "translate"],
    translate: TranslateParams,
    model: ModelParams,
    train: TrainParams,
) -> None:
    """Fit the generator that model.name picks; write it to MODEL_DIR and how its training went to HISTORY."""
    huge_pages()
    keep_freed_memory()
    use_threads(train.num_threads)
    torch.manual_seed(train.seed)
    logger.info("training on %s", described(accelerator()))
    train_clips, val_clips = ClipDataset(frames, clips, "train", train.shuffle_mb), ClipDataset(frames, clips, "val")
    arrays = sorted(path for path in frames.rglob("*") if path.suffix in SUFFIXES.values())
    data = sampled_content_hash([], [frames / INDEX, *sorted(clips.iterdir()), *arrays])
    card = _card(train_clips, data, extract, task, translate, model, train)
    if train.crop is not None:
        card.check_size((train.crop, train.crop))
    generator = card.build()
    start = begin(generator, card, model.start)
    card = card.model_copy(update={"start": start})
    num_parameters = sum(parameter.numel() for parameter in generator.parameters())
    logger.info("%s, %s parameters, from %s", model.name, f"{num_parameters:,}", start)
    logger.info("%s training and %s validation clips", f"{len(train_clips):,}", f"{len(val_clips):,}")

    inputs, targets = _probe(val_clips, train)
    norms = pd.DataFrame({"before": gradient_norms(generator, inputs, targets)})
    # after the generator is built, because that imports its code
    settings = [part.model_dump_json() for part in (card, model.selected, train)] + [fingerprint(generator)]
    key = sampled_content_hash(settings, loaded_sources())
    # under `torchrun` all processes train and one writes
    log: Callable[[Row], None] = History(history).add if accelerator().is_main_process else lambda row: None
    checkpoint = CheckpointFile(CHECKPOINTS, key[:16])
    recipe = recipe_from(start, model.selected.recipe)
    fitted = fit(
        generator,
        train_clips,
        val_clips,
        recipe=recipe,
        train=train,
        state=checkpoint,
        on_epoch=log,
        mix_with_start=start != "scratch",
    )
    if not accelerator().is_main_process:
        return
    generator = generator.cpu()
    generator.load_state_dict(fitted.weights)
    outcome: dict[str, Any] = {"metrics": fitted.best, "better_than_start": fitted.best_epoch > 0}
    outcome["start_kept_because"] = fitted.start_kept_because
    save(model_dir, generator, card.model_copy(update=outcome))
    norms["after"] = gradient_norms(generator, inputs, targets)
    norms.index = pd.RangeIndex(1, len(norms) + 1, name="steps_back")
    write_text(history / "gradients.csv", norms.to_csv(lineterminator="\n"))
    logger.info("best validation: %s", ", ".join(f"{name} {value:.4g}" for name, value in fitted.best.items()))


def _card(
    train_clips: ClipDataset,
    data: str,
    extract: ExtractParams,
    task: Literal["predict", "translate"],
    translate: TranslateParams,
    model: ModelParams,
    train: TrainParams,
) -> ModelCard:
    """What the model to be trained is; `data` is the content hash of what it is trained on."""
    return ModelCard(
        name=model.name,
        sizes=model.selected.model_dump(exclude=NO_SIZES),
        frame_shape=train_clips.frame_shape,
        out_channels=train_clips.frame_shape[0],
        noise_channels=train.noise_channels,
        task=task,
        translation=train_clips.task.translation,
        residual=train_clips.task.aligned and translate.residual and model.name not in BEGIN_FROM_INPUT,
        carry=translate.carry if train_clips.task.aligned and model.name in CAN_CARRY else 0.0,
        fit=extract.fit,
        fps=extract.fps,
        context=train_clips.context,
        horizon=train_clips.horizon,
        data=data,
        metrics={},
    )


def _probe(val_clips: ClipDataset, train: TrainParams) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, T, C, H, W) for the norms of gradients; the noise is always the same."""
    indices = range(min(GRADIENT_CLIPS, len(val_clips)))
    inputs, targets = map(to_float, val_clips.pairs(indices, train.crop, np.random.default_rng(0)))
    noise = draw_noise(len(inputs), train.noise_channels, torch.Generator().manual_seed(0))
    return with_noise(inputs, noise), targets


if __name__ == "__main__":
    stage.run(train)
