"""Every generator × objective × task goes through the real stages on small parameters, in one process.

`python -m tests.pipeline.stages.test_train_combinations` prints the table of them.
"""

import argparse
import json
import math
import os
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import model_dir
from pipeline.models import MODELS
from pipeline.params import Params, load_params
from pipeline.stages.evaluate import evaluate
from pipeline.stages.render import render
from pipeline.stages.tensorize import tensorize
from pipeline.stages.train import train
from tests.conftest import CONTEXT, HORIZON, moving_bar, write_store
from tests.small_params import SMALL_MODEL

PARAMS = Path(__file__).parents[3] / "params.yaml"
OBJECTIVES = ("pixel", "adversarial")
TASKS = ("predict", "translate")
COMBINATIONS = list(product(MODELS, OBJECTIVES, TASKS))
VIDEOS = [*(f"train/{i}.mp4" for i in range(8)), "val/0.mp4", "val/1.mp4", "test/0.mp4", "test/1.mp4", "test/2.mp4"]


def bars(folder: Path) -> Path:
    """A frame store of moving bars, no two alike: what is in two splits is left out as a copy."""
    return write_store(folder, {video: moving_bar(10, i) // 20 * (8 + i % 5) for i, video in enumerate(VIDEOS)})


def small(name: str, objective: str) -> Params:
    """params.yaml as shipped but for sizes and epochs; translations undo noise."""
    params = load_params(PARAMS)
    section = getattr(params.model, name)
    recipe = section.recipe.model_copy(update={"objective": objective, "epochs": 2, "batch_size": 16})
    sizes = {key: value for key, value in SMALL_MODEL.items() if key in type(section).model_fields}
    section = section.model_copy(update={**sizes, "recipe": recipe})
    adversary = params.train.adversary.model_copy(update={"start": 0.5, "channels": 4})
    changed = {
        "tensorize": params.tensorize.model_copy(update={"context": CONTEXT, "horizon": HORIZON, "stride": 3}),
        "translate": params.translate.model_copy(update={"degradation": "noise"}),
        "model": params.model.model_copy(update={"name": name, name: section}),
        "train": params.train.model_copy(update={"num_threads": 1, "adversary": adversary}),
        "render": params.render.model_copy(update={"num_clips": 1, "long_horizon": 6, "scale": 2}),
    }
    return params.model_copy(update=changed)


def reproduce(frames: Path, data: Path, name: str, objective: str, task: str) -> None:
    """All stages after `extract`, one after the other, into `data`."""
    params = small(name, objective)
    clips, model, metrics = data / "clips", data / "model", data / "metrics"
    tensorize(frames, clips, task=task, tensorize=params.tensorize, translate=params.translate)
    sections = {key: getattr(params, key) for key in ("extract", "translate", "model", "train")}
    train(frames, clips, model, data / "training", task=task, **sections)
    evaluate(frames, clips, model, metrics, evaluate=params.evaluate)
    render(frames, clips, model, metrics, data / "renders", render=params.render)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """The bars, for all combinations."""
    return bars(tmp_path_factory.mktemp("bars") / "frames")


@pytest.mark.parametrize(("name", "objective", "task"), COMBINATIONS)
def test_every_generator_passes_the_stages_with_every_objective_for_every_task(
    frames, tmp_path, monkeypatch, name, objective, task
):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    reproduce(frames, data, name, objective, task)

    model, card = model_dir.load(data / "model")
    assert (card.name, card.task) == (name, task)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    losses = pd.read_csv(data / "training/plots/metrics/train_loss.tsv", sep="\t")["train_loss"]
    assert np.isfinite(losses).all()
    assert len(losses) == 2
    summary = json.loads((data / "metrics/metrics.json").read_text())
    assert all(math.isfinite(value) for value in summary["model"].values())
    table = pd.read_csv(data / "metrics/horizon.csv")
    assert np.isfinite(table.loc[table["method"] == "model", ["mse", "mae", "psnr", "ssim"]]).all(axis=None)
    videos = ["clip_00.mp4", *(["rollout.mp4"] if task == "predict" else [])]
    written = {path.name: path.stat().st_size for path in (data / "renders").iterdir()}
    assert sorted(written) == sorted([*videos, "horizon.png", "index.html", "preview.webp", "sheet.png"])
    assert all(written.values())


def main() -> None:
    """Print a line for each combination, as it comes."""
    argparse.ArgumentParser(prog="python -m tests.pipeline.stages.test_train_combinations").parse_args()
    print("| generator | objective | task | MSE | SSIM | seconds |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        frames = bars(Path(folder) / "frames")
        for name, objective, task in COMBINATIONS:
            begin = time.monotonic()
            place = Path(folder) / f"{name}-{objective}-{task}"
            place.mkdir()
            os.chdir(place)
            reproduce(frames, place / "data", name, objective, task)
            row = json.loads((place / "data/metrics/metrics.json").read_text())["model"]
            seconds = time.monotonic() - begin
            print(
                f"| {name} | {objective} | {task} | {row['mse']:.4g} | {row['ssim']:.3g} | {seconds:.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
