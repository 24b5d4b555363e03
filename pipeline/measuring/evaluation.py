"""Measures predictors on test clips: one value per metric, clip and step; tables and comparisons are made of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.data.clips import ClipDataset
from pipeline.data.color import to_float
from pipeline.errors import UnfitModel
from pipeline.metrics import METRICS, MetricFunction
from pipeline.model_dir import ModelCard
from pipeline.nn import rollout

# context (B, T, C, H, W) -> (B, horizon, C, H, W), or source -> target (B, T, C, H, W)
Predictor = Callable[[Tensor], Tensor]

# measured beside the model and no baselines: it without its state, and as it was before training
MAX_PSNR = 100.0  # dB that equal frames count for, whose PSNR is infinite


def measure(
    predictors: Mapping[str, Predictor],
    dataset: ClipDataset,
    indices: Sequence[int],
    batch_size: int,
    more: Mapping[str, MetricFunction] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """For each predictor and each metric of the dataset's task the values (N, T) on the clips at `indices`.

    T is the horizon, predicted free-running, or all frames of a clip, translated. `more` are further metrics, by name,
    such as those with weights. `progress` is told how many clips are done.
    """
    functions = {name: function for name in dataset.task.metrics if (function := METRICS[name].function)}
    functions |= more or {}
    found: dict[str, dict[str, list[Tensor]]] = {name: {metric: [] for metric in functions} for name in predictors}
    done = 0
    for inputs, truth in batches(dataset, indices, batch_size):
        for name, predictor in predictors.items():
            predicted = predictor(inputs).to(truth)
            for metric, values in found[name].items():
                values.append(functions[metric](predicted, truth))
        done += len(truth)
        if progress is not None:
            progress(done)
    measured = {
        name: {metric: torch.cat(values).numpy() for metric, values in values_of.items()}
        for name, values_of in found.items()
    }
    for values_of in measured.values():
        values_of["psnr"] = np.minimum(values_of["psnr"], MAX_PSNR)
    return measured


def mean(metric: str, values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The mean over `axis` of the values of `metric`; of one that is not defined everywhere, of those that it has.

    NaN where there are none, and where a metric that every frame has is NaN: a model that fails must not look well.
    """
    exact = values.astype(np.float64)
    if not METRICS[metric].partial:
        return exact.mean(axis=axis)
    known = ~np.isnan(exact)
    with np.errstate(invalid="ignore"):
        return np.where(known, exact, 0).sum(axis=axis) / known.sum(axis=axis)


def batches(dataset: ClipDataset, indices: Sequence[int], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """What a predictor gets of the clips at `indices`, and the truth: (B, T, C, H, W) in [-1, 1] each.

    They are context and horizon, or source and target.
    """
    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        inputs, targets = dataset.task.free_running(*dataset.pairs(chosen))
        yield to_float(inputs), to_float(targets)


def predictor(model: nn.Module, card: ModelCard, horizon: int, device: torch.device) -> Predictor:
    """`model`, running free for `horizon` steps or translating; noise, if it takes any, is drawn from one seed."""
    generator = torch.Generator().manual_seed(0)

    def predict(inputs: Tensor) -> Tensor:
        noise = rollout.draw_noise(len(inputs), card.noise_channels, generator)
        noise = noise.to(device) if noise is not None else None
        with torch.inference_mode():
            frames = rollout.free_running(model, inputs.to(device), horizon, noise, feeds_back=card.made_for.feeds_back)
        return frames.float().cpu()

    return predict


def stateless(predictor: Predictor) -> Predictor:
    """The same translation of each frame as if it were the first: what the recurrent state is worth."""

    def translate(source: Tensor) -> Tensor:
        frames = [predictor(source[:, t : t + 1]) for t in range(source.shape[1])]
        return torch.cat(frames, dim=1)

    return translate


def check_fit(card: ModelCard, dataset: ClipDataset) -> None:
    """Raises UnfitModel where the clips are not those that the model was made for."""
    if card.made_for != dataset.task:
        raise UnfitModel(
            f"the model is for the task {card.made_for.label}, the clips are for {dataset.task.label}; train again"
        )
    if card.frame_shape != dataset.frame_shape:
        raise UnfitModel(
            f"the model is for frames of {card.frame_shape} (channels, height, width), the frame store holds "
            f"{dataset.frame_shape}; set extract.size and extract.color as they were, or train again"
        )


def pick(num_clips: int, most: int | None) -> list[int]:
    """The indices of at most `most` of `num_clips` clips, evenly spread over them; all for None."""
    if most is None or most >= num_clips:
        return list(range(num_clips))
    return [index * num_clips // most for index in range(most)]
