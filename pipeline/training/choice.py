"""Which weights a training that began with trained ones keeps: those of its start, its end, or between.

Little validation misleads: of many weights the luckiest are chosen. So the start is kept unless chance does not explain
that others are better.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.training.progress import Progress, described
from pipeline.training.validation import Validation

logger = logging.getLogger(__name__)
MIXED = (0.25, 0.5, 0.75)  # shares of the trained weights, the rest is the start's
Weights = dict[str, Tensor]


def try_mixtures(model: nn.Module, start: Weights, end: Weights, validation: Validation, progress: Progress) -> None:
    """Validate weights between those that training began with and those it ended with; the best are kept.

    What few clips teach is seldom right in full (Wortsman et al. 2022, "WiSE-FT").
    """
    for share in MIXED:
        model.load_state_dict({name: torch.lerp(start[name], end[name], share) for name in end})
        errors = validation.measure(model)
        kept = progress.keep_if_best(model, errors, epoch=len(progress.history))
        said = "; the best so far" if kept else ""
        logger.info("weights %.0f %% of the way from start to end: %s%s", 100 * share, described(errors), said)


def keep_start_unless_sure(model: nn.Module, start: Weights, validation: Validation, progress: Progress) -> str:
    """Keep the weights that training began with unless, beyond chance, validation says that the best are better.

    Returns why they are kept; empty where they are not.
    """
    errors = []
    for weights in (start, progress.best_weights):
        model.load_state_dict(weights)
        errors.append(validation.measure_each(model).cpu().numpy())
    before, after = errors
    clips = validation.clips
    groups = stretches(clips.places(validation.indices), clips.context + clips.horizon)
    if beyond_chance(before[:, 0] - after[:, 0], groups):
        return ""
    progress.best_weights, progress.best_epoch = start, 0
    progress.best_row = dict(zip(("val_mse", "val_ssim"), before.mean(axis=0).tolist(), strict=True))
    number = groups.max() + 1
    seen = f"{number} stretches" if number > 1 else "one stretch"
    gain = 100 * (1 - after[:, 0].mean() / before[:, 0].mean())
    return (
        f"trained weights have {gain:.3g} % less error in validation, but in {seen} of video "
        "that may be chance; more video, or a larger tensorize.val_fraction, would tell"
    )


def stretches(places: Sequence[tuple[str, int]], length: int) -> NDArray[np.int_]:
    """Of each clip, (video, first frame), the number of the stretch of `length` frames in which it begins.

    Clips that share frames say nearly the same, and are to be counted once.
    """
    blocks = [(video, start // length) for video, start in places]
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    return np.array([numbers[block] for block in blocks])


def beyond_chance(gains: NDArray[np.float64], groups: NDArray[np.int_]) -> bool:
    """Whether the mean of the clips' `gains` is above zero by more than chance explains in one case of ten.

    Student's one-sided test of the means of the `groups`, the stretches that clips belong to; of fewer than two
    nothing can be said. Its quantile is approximated, to some 5 %.
    """
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=gains) / counts
    n = len(means)
    if n < 2:
        return False
    quantile = 1.28 + 0.95 / (n - 1) + 0.85 / (n - 1) ** 2  # 3.08, 1.89, 1.64, … of 1, 2, 3, … degrees of freedom
    return bool(means.mean() > quantile * means.std(ddof=1) / n**0.5)
