"""Errors of a predictor on test clips, a value a clip and horizon step; what tables and comparisons are made of."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import metrics, rollout
from pipeline.checkpoint import ModelCard
from pipeline.clips import ClipDataset, to_float
from pipeline.errors import ModelError

Predictor = Callable[[Tensor], Tensor]  # context (B, T, C, H, W) -> (B, horizon, C, H, W)

METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": metrics.mse,
    "mae": metrics.mae,
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
}
MAX_PSNR = 100.0  # dB that equal frames count for, whose PSNR is infinite


def measure(
    predictors: dict[str, Predictor], dataset: ClipDataset, indices: Sequence[int], batch_size: int
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """For each predictor and each of METRICS its values (N, horizon) on the clips at `indices`, free-running."""
    found: dict[str, dict[str, list[Tensor]]] = {name: {metric: [] for metric in METRICS} for name in predictors}
    for context, truth in batches(dataset, indices, batch_size):
        for name, predictor in predictors.items():
            predicted = predictor(context).to(truth)
            for metric, function in METRICS.items():
                found[name][metric].append(function(predicted, truth))
    measured = {
        name: {metric: torch.cat(values).numpy() for metric, values in of_metric.items()}
        for name, of_metric in found.items()
    }
    for of_metric in measured.values():
        of_metric["psnr"] = np.minimum(of_metric["psnr"], MAX_PSNR)
    return measured


def batches(dataset: ClipDataset, indices: Sequence[int], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Context and truth of the clips at `indices`, (B, context, C, H, W) and (B, horizon, C, H, W) in [-1, 1]."""
    for start in range(0, len(indices), batch_size):
        clips = to_float(dataset.gather(indices[start : start + batch_size]))
        yield clips[:, : dataset.context], clips[:, dataset.context :]


def predictor(model: nn.Module, card: ModelCard, horizon: int, device: torch.device) -> Predictor:
    """`model` running free for `horizon` steps; noise, if it takes any, is drawn from one seed, so results repeat."""
    generator = torch.Generator().manual_seed(0)

    def predict(context: Tensor) -> Tensor:
        noise = rollout.draw_noise(len(context), card.noise_channels, generator)
        with torch.inference_mode():
            frames = rollout.predict(model, context.to(device), horizon, noise)
        return frames.float().cpu()

    return predict


def check_fit(card: ModelCard, dataset: ClipDataset) -> None:
    """Raises ModelError where the frames are not those that the model was made for."""
    if card.frame_shape != dataset.frame_shape:
        raise ModelError(
            f"the model is for frames of {card.frame_shape} (channels, height, width), the frame store holds "
            f"{dataset.frame_shape}; set extract.size and extract.color as they were, or train again"
        )


def pick(num_clips: int, most: int | None) -> list[int]:
    """The indices of at most `most` of `num_clips` clips, evenly spread over them; all for None."""
    if most is None or most >= num_clips:
        return list(range(num_clips))
    return [index * num_clips // most for index in range(most)]


def best_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
