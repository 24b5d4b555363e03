"""Stage: fit the generator that `model.name` picks, and write it with the history of its training."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from dvclive.live import Live

from pipeline import model_dir, stage
from pipeline.data.clips import ClipDataset, to_float
from pipeline.model_dir import ModelCard
from pipeline.models import BEGIN_FROM_INPUT, CAN_CARRY
from pipeline.nn.rollout import draw_noise, with_noise
from pipeline.params import ExtractParams, ModelParams, TrainParams, TranslateParams
from pipeline.runtime.devices import accelerator, huge_pages, keep_freed_memory
from pipeline.training.checkpoint import CheckpointFile, fingerprint, loaded_sources
from pipeline.training.gradients import gradient_norms
from pipeline.training.loop import Row, fit

logger = logging.getLogger(__name__)
STATES = Path(".train")  # beside the outputs, which DVC removes before a stage runs
GRADIENT_CLIPS = 8
# only the numbers: what else DVCLive would write beside them is DVC's part here, or differs from run to run
LIVE: dict[str, Any] = {"dvcyaml": None, "save_dvc_exp": False, "report": None, "monitor_system": False}


def train(
    frames: Path,
    clips: Path,
    folder: Path,
    history: Path,
    *,
    extract: ExtractParams,
    task: Literal["predict", "translate"],
    translate: TranslateParams,
    model: ModelParams,
    train: TrainParams,
) -> None:
    """Fit the generator that model.name picks; write the model in FOLDER and how its training went in HISTORY."""
    huge_pages()
    keep_freed_memory()
    torch.set_num_threads(train.num_threads)
    torch.manual_seed(train.seed)
    train_clips, val_clips = (ClipDataset(frames, clips, split) for split in ("train", "val"))
    section = model.selected
    data = fingerprint([], [frames / "index.csv", *sorted(clips.iterdir()), *sorted(frames.rglob("*.npy"))])
    card = ModelCard(
        name=model.name,
        sizes=section.model_dump(exclude={"recipe"}),
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
    if train.crop is not None:
        card.check_size((train.crop, train.crop))
    generator = card.build()
    logger.info(
        "%s, %s parameters, %s training and %s validation clips",
        model.name,
        f"{sum(parameter.numel() for parameter in generator.parameters()):,}",
        f"{len(train_clips):,}",
        f"{len(val_clips):,}",
    )
    key = fingerprint([card.model_dump_json(), section.model_dump_json(), train.model_dump_json()], loaded_sources())
    probes = val_clips.pairs(range(min(GRADIENT_CLIPS, len(val_clips))), train.crop, np.random.default_rng(0))
    inputs, targets = map(to_float, probes)
    inputs = with_noise(inputs, draw_noise(len(inputs), train.noise_channels, torch.Generator().manual_seed(0)))
    before = gradient_norms(generator, inputs, targets)

    # under `torchrun` all processes train and one writes
    with ExitStack() as stack:
        log: Callable[[Row], None] = lambda row: None  # noqa: E731
        if accelerator().is_main_process:
            log = _log_to(stack.enter_context(Live(str(history), **LIVE)))
        fitted = fit(
            generator,
            train_clips,
            val_clips,
            recipe=section.recipe,
            train=train,
            state=CheckpointFile(STATES, key[:16]),
            on_epoch=log,
        )
    if not accelerator().is_main_process:
        return
    generator = generator.cpu()
    generator.load_state_dict(fitted.weights)
    model_dir.save(folder, generator, card.model_copy(update={"metrics": fitted.best}))
    norms = pd.DataFrame({"before": before, "after": gradient_norms(generator, inputs, targets)})
    norms.index = pd.RangeIndex(1, len(norms) + 1, name="steps_back")
    norms.to_csv(history / "gradients.csv", lineterminator="\n")
    logger.info("best validation: %s", ", ".join(f"{name} {value:.4g}" for name, value in fitted.best.items()))


def _log_to(live: Live) -> Callable[[Row], None]:
    def log(row: Row) -> None:
        for name, value in row.items():
            live.log_metric(name, value)
        live.next_step()

    return log


if __name__ == "__main__":
    stage.run(train)
