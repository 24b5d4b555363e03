"""Every generator × objective × task through the real stages, on tiny data: `python -m tests.faults.combinations`."""

import argparse
import json
import os
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Literal

from pipeline.models import MODELS
from pipeline.params import Params, load_params
from pipeline.stages.evaluate import evaluate
from pipeline.stages.render import render
from pipeline.stages.tensorize import tensorize
from pipeline.stages.train import train
from tests.conftest import CONTEXT, HORIZON, moving_bar, write_store
from tests.small_params import SMALL_MODEL

PARAMS = Path(__file__).parents[2] / "params.yaml"
Task = Literal["predict", "translate"]
OBJECTIVES = ("pixel", "adversarial")
TASKS: tuple[Task, ...] = ("predict", "translate")
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
    adversary = params.train.adversary.model_copy(update={"start": 0.0, "channels": 4})
    changed = {
        "tensorize": params.tensorize.model_copy(update={"context": CONTEXT, "horizon": HORIZON, "stride": 3}),
        "translate": params.translate.model_copy(update={"degradation": "noise"}),
        "model": params.model.model_copy(update={"name": name, name: section}),
        "train": params.train.model_copy(update={"num_threads": 1, "adversary": adversary}),
        "render": params.render.model_copy(update={"num_clips": 1, "long_horizon": 6, "scale": 2}),
    }
    return params.model_copy(update=changed)


def reproduce(frames: Path, data: Path, name: str, objective: str, task: Task) -> None:
    """All stages after `extract`, one after the other, into `data`."""
    params = small(name, objective)
    clips, model, metrics = data / "clips", data / "model", data / "metrics"
    tensorize(frames, clips, task=task, tensorize=params.tensorize, translate=params.translate)
    sections = {key: getattr(params, key) for key in ("extract", "translate", "model", "train")}
    train(frames, clips, model, data / "training", task=task, **sections)
    evaluate(frames, clips, model, metrics, evaluate=params.evaluate)
    sources = {"data": params.data, "extract": params.extract}
    render(frames, clips, model, data / "training", metrics, data / "renders", render=params.render, **sources)


def main() -> None:
    """Print a line for each combination, as it comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.combinations", description=__doc__)
    parser.add_argument("--only", nargs=3, metavar=("GENERATOR", "OBJECTIVE", "TASK"), help="one combination")
    only = parser.parse_args().only
    print("| generator | objective | task | MSE | SSIM | seconds |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        frames = bars(Path(folder) / "frames")
        for name, objective, task in [only] if only else COMBINATIONS:
            begin = time.monotonic()
            place = Path(folder) / f"{name}-{objective}-{task}"
            place.mkdir()
            os.chdir(place)
            reproduce(frames, place / "data", name, objective, task)
            row = json.loads((place / "data/metrics/metrics.json").read_text())["model"]
            figures = f"{row['mse']:.4g} | {row['ssim']:.3g} | {time.monotonic() - begin:.1f}"
            print(f"| {name} | {objective} | {task} | {figures} |", flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
