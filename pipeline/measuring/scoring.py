"""How good a model directory is on each clip: what promotion and monitoring compare."""

from pathlib import Path

import pandas as pd

from pipeline import model_dir
from pipeline.data.clips import ClipDataset, read_settings, write_clips
from pipeline.data.frames import FrameStore
from pipeline.errors import TooShort
from pipeline.measuring import tables
from pipeline.measuring.evaluation import check_fit, mean, measure, pick, predictor
from pipeline.params import EvaluateParams
from pipeline.runtime.devices import best_device
from pipeline.splitting.source_target_pairs import videos_of


def score(directory: Path, frames: Path, clips: Path, evaluate: EvaluateParams) -> pd.DataFrame:
    """The errors of the model in `directory` on the test clips: one row per clip.

    The columns are `clip`, `video` and one per metric, which holds its mean over the horizon. Raises ModelError where
    the model cannot be read or is not made for these clips, DataError where there are none.
    """
    device = best_device()
    model, card = model_dir.load(directory, device)
    dataset = ClipDataset(frames, clips, "test")
    check_fit(card, dataset)
    indices = pick(len(dataset), evaluate.max_clips)
    measured = measure(
        {"model": predictor(model, card, dataset.horizon, device)}, dataset, indices, evaluate.batch_size
    )["model"]
    table = {"clip": dataset.names(indices), "video": [video for video, _ in dataset.places(indices)]}
    return pd.DataFrame(table | {metric: mean(metric, values, axis=1) for metric, values in measured.items()})


def means(scores: pd.DataFrame) -> dict[str, float]:
    """The mean over the clips of every metric in a table of `score`."""
    return scores.drop(columns=["clip", "video"]).mean().to_dict()


def mean_intervals(scores: pd.DataFrame) -> dict[str, list[float]]:
    """The 95 % interval [low, high] of each of `means` that is known: whole videos are drawn anew."""
    return tables.ends(tables.intervals(scores.assign(start=0, method="model"))).get("model", {})


def all_for_test(frames: Path, clips: Path, like: Path) -> None:
    """Write to `clips` a folder of clips in which every video of the store is for testing, cut as those of `like` are.

    Raises TooShort where no video is long enough for one.
    """
    settings = read_settings(like)
    length = settings.context + settings.horizon
    task, store = settings.made_for, FrameStore(frames)
    counts = {video: len(store.load(video)) for video in videos_of(task.folders, store)}
    rows = [
        {"video": video, "split": "test", "start": 0, "stop": count, "num_clips": 1}
        for video, count in counts.items()
        if count >= length
    ]
    if not rows:
        raise TooShort(f"{frames}: no video has the {length} frames of a clip")
    kept = settings.model_dump(exclude={"normalization", "translation"})
    write_clips(clips, pd.DataFrame(rows), **kept, translation=task.translation)
