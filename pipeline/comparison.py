"""Generators against each other, trained for the same minutes on the same clips, then measured: table and picture."""

import json
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import nn

from pipeline import metrics, model_dir
from pipeline.data.clips import ClipDataset
from pipeline.errors import DataError
from pipeline.measuring import baselines, evaluation
from pipeline.model_dir import ModelCard
from pipeline.model_params import NO_SIZES
from pipeline.nn import rollout
from pipeline.params import Params
from pipeline.runtime.devices import huge_pages, keep_freed_memory, use_threads
from pipeline.runtime.files import replacing, write_json, write_text
from pipeline.runtime.hashing import sampled_content_hash
from pipeline.training.checkpoint import CheckpointFile, loaded_sources
from pipeline.training.loop import fit

UNBOUNDED = 1_000_000  # epochs: the minutes end the training
TIMED_FRAMES = 60
Row = dict[str, str | int | float]
DASHES = ((), (6, 2), (3, 3), (1, 2))  # of baselines in the picture, points
# column of the table -> axis of the picture
COSTS = {
    "parameters": "parameters",
    "seconds_per_step": "seconds per training step",
    "frames_per_second": "generated frames per second, one stream",
}
# column of the table -> how its numbers are written
FORMATS = {name: f".{metric.digits}f" for name, metric in metrics.METRICS.items()} | {
    "mse_last": f".{metrics.METRICS['mse'].digits}f",
    "sharpness": ".2f",
    "parameters": ",.0f",
    "steps": ",.0f",
    "seconds_per_step": ".3f",
    "frames_per_second": ",.0f",
}


def train_one(name: str, objective: str, params: Params, frames: Path, clips: Path, folder: Path) -> Row:
    """Train the generator `name` by its recipe with `objective` for compare.minutes, and measure it on the test clips.

    The model directory is made in `folder`, with row.json beside it; what is done already, with the same code,
    parameters and clips, is not done again, and what was killed goes on. Raises DataError where the clips are not
    there or not for prediction.
    """
    train_clips, val_clips, test_clips = (ClipDataset(frames, clips, split) for split in ("train", "val", "test"))
    if not train_clips.task.feeds_back:
        raise DataError(f"{clips}: made for the task {train_clips.task.name}; comparisons are of predictions")
    settings = params.compare
    section = getattr(params.model, name)
    recipe = section.recipe.model_copy(update={"objective": objective, "epochs": UNBOUNDED})
    train = params.train.model_copy(update={"max_minutes": settings.minutes})
    card = ModelCard(
        name=name,
        sizes=section.model_dump(exclude=NO_SIZES),
        frame_shape=train_clips.frame_shape,
        out_channels=train_clips.frame_shape[0],
        noise_channels=train.noise_channels,
        task=train_clips.task.name,
        context=train_clips.context,
        horizon=train_clips.horizon,
        data=sampled_content_hash([], [frames / "index.csv", *sorted(clips.iterdir())]),
        metrics={},
    )
    huge_pages()
    keep_freed_memory()
    use_threads(train.num_threads)
    torch.manual_seed(train.seed)
    model = card.build()  # before the key, because it imports the generator's code
    values = [part.model_dump_json() for part in (card, recipe, train, settings)]
    key = sampled_content_hash(values, loaded_sources())[:16]
    done = folder / "row.json"
    if done.exists() and (record := json.loads(done.read_text()))["key"] == key:
        return record["row"]

    fitted = fit(model, train_clips, val_clips, recipe=recipe, train=train, state=CheckpointFile(folder, key))
    model.load_state_dict(fitted.weights)
    outcome = {"metrics": fitted.best, "better_than_start": fitted.best_epoch > 0}
    model_dir.save(folder / "model", model, card.model_copy(update=outcome))
    model = model.cpu().eval()
    row: Row = {
        "generator": name,
        "objective": objective,
        **measure(evaluation.predictor(model, card, card.horizon, torch.device("cpu")), test_clips, params),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": fitted.steps,
        "seconds_per_step": fitted.seconds / fitted.steps,
        "frames_per_second": frames_per_second(model, card),
    }
    write_json(done, {"key": key, "row": row})
    return row


def measure_baseline(name: str, params: Params, frames: Path, clips: Path) -> Row:
    """The same errors of the non-learned baseline `name`."""
    train_clips, test_clips = (ClipDataset(frames, clips, split) for split in ("train", "test"))
    background = baselines.background(train_clips)
    predictor = partial(baselines.baseline, name, num_frames=test_clips.task.num_judged, background=background)
    return {"generator": name, "objective": "", **measure(predictor, test_clips, params)}


def measure(predictor: evaluation.Predictor, clips: ClipDataset, params: Params) -> Row:
    """Mean errors over the horizon on the test clips, the last step's, and the median sharpness (1 is the truth's)."""
    chosen = evaluation.pick(len(clips), params.evaluate.max_clips)
    batch_size = params.evaluate.batch_size
    found = evaluation.measure({"one": predictor}, clips, chosen, batch_size)["one"]
    sharp = [
        metrics.sharpness(predictor(context), truth) for context, truth in evaluation.batches(clips, chosen, batch_size)
    ]
    row: Row = {metric: float(evaluation.mean(metric, values.ravel(), axis=0)) for metric, values in found.items()}
    return row | {
        "mse_last": float(found["mse"][:, -1].mean()),
        "sharpness": float(np.median(torch.cat(sharp).numpy())),
    }


def frames_per_second(model: nn.Module, card: ModelCard) -> float:
    """Frames that the model generates per second, one stream, its own output fed back."""
    context = torch.zeros(1, card.context, *card.frame_shape)
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        stream = rollout.stream(model, context, noise)
        next(stream)
        begin = time.perf_counter()
        for _ in islice(stream, TIMED_FRAMES):
            pass
    return TIMED_FRAMES / (time.perf_counter() - begin)


def write(rows: list[Row], folder: Path) -> pd.DataFrame:
    """Write comparison.csv, comparison.md and comparison.png, best first; returns the table."""
    table = pd.DataFrame(rows).sort_values(["mse", "generator"]).reset_index(drop=True)
    write_text(folder / "comparison.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(folder / "comparison.md", markdown(table))
    draw(table, folder / "comparison.png")
    return table


def markdown(table: pd.DataFrame) -> str:
    """The table for people; what a baseline has no value of is blank."""
    shown = table.astype(object).where(table.notna(), None)
    formats = tuple(FORMATS.get(column, "") for column in shown.columns)
    return shown.to_markdown(index=False, floatfmt=formats, intfmt=",", missingval="") + "\n"


def draw(table: pd.DataFrame, path: Path) -> None:
    """The error against each cost: one colour per generator, one point per objective; the gray lines are baselines."""
    with mpl.rc_context({"svg.hashsalt": "foreframe"}):
        figure = Figure(figsize=(13, 5.2), layout="constrained")
        trained, others = table[table["parameters"].notna()], table[table["parameters"].isna()]
        colors = {name: f"C{place}" for place, name in enumerate(trained["generator"].unique())}
        for axes, (column, label) in zip(figure.subplots(1, len(COSTS), sharey=True), COSTS.items(), strict=True):
            for (name, objective), points in trained.groupby(["generator", "objective"], sort=False):
                face = colors[name] if objective == "pixel" else "none"
                axes.scatter(points[column], points["mse"], s=60, edgecolors=colors[name], facecolors=face)
            for row, dashes in zip(others.itertuples(), cycle(DASHES)):
                axes.axhline(row.mse, color="gray", linestyle=(0, dashes), linewidth=1.2, label=row.generator)
            axes.set(xscale="log", xlabel=label)
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel("test MSE (filled: pixel loss, hollow: adversarial)")
        dots = [Line2D([], [], color=color, marker="o", linestyle="", label=name) for name, color in colors.items()]
        lines = figure.axes[0].get_legend_handles_labels()[0]
        figure.legend(handles=[*dots, *lines], loc="outside lower center", ncols=len(dots) + len(lines), fontsize=8)
        with replacing(path) as part:
            figure.savefig(part, format=path.suffix[1:], dpi=110, metadata={"Software": None})
