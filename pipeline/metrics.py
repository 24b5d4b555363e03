"""How near predicted frames come to the truth: every metric, and in METRICS how each is shown.

Each takes two times (B, T, C, H, W) in [-1, 1] to (B, T), one value per frame. Values are taken to [0, 1] first, as the
field does. Whatever lies outside is an error that counts in mse and mae, and is cut off for psnr and ssim, which look
at pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes two seconds to import, and those who show the table need none of it
    from torch import Tensor

MetricFunction = Callable[["Tensor", "Tensor"], "Tensor"]  # predicted and true frames (B, T, C, H, W) -> (B, T)

SIGMA, REACH = 1.5, 5  # pixels: the Gaussian window of SSIM, which is 11 wide
C1, C2 = 0.01**2, 0.03**2  # what keeps SSIM's quotients away from 0 / 0
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, from fine to coarse
STILL = 1 / 255**2  # mean squared change, of values in [0, 1], below which a clip has no motion


def mse(predicted: Tensor, truth: Tensor) -> Tensor:
    """Squared error of each frame, summed over its pixels and channels: what the field calls MSE on Moving MNIST."""
    return _difference(predicted, truth).square().sum(dim=(2, 3, 4))


def mae(predicted: Tensor, truth: Tensor) -> Tensor:
    """Absolute error of each frame, summed over its pixels and channels, as mse is."""
    return _difference(predicted, truth).abs().sum(dim=(2, 3, 4))


def psnr(predicted: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame, in dB; inf where the frames are equal."""
    return -10 * _difference(predicted.clamp(-1, 1), truth).square().mean(dim=(2, 3, 4)).log10()


def ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each frame, 1 where the frames are equal; mean over channels (Wang et al. 2004, eq. 13).

    As there, only places where the whole window lies in the picture count. A frame less than 11 pixels high or wide
    gets the largest window that fits. The range is that of the format, never guessed from the frames: a dark clip
    would be judged by another scale.
    """
    luminance, structure = _similarity(*_for_similarity(predicted, truth))
    return (luminance * structure).mean(dim=(2, 3, 4)).float().to(predicted.device)


def ms_ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Multi-scale SSIM of each frame, 1 where the frames are equal; mean over channels (Wang et al. 2003, eq. 7).

    Five scales, each half the size of the one before, want 176 pixels, so that the window fits on the coarsest. Smaller
    frames have the scales whose shorter side is at least 11 pixels (32 pixels: two, 64: three, 128: four), with the
    first weights of the five, divided by their sum; less than 22 pixels leave one, which is SSIM.
    """
    x, y = _for_similarity(predicted, truth)
    scales = max(1, min(len(SCALE_WEIGHTS), int(math.log2(max(1, min(x.shape[-2:]) / (2 * REACH + 1)))) + 1))
    weights = [weight / sum(SCALE_WEIGHTS[:scales]) for weight in SCALE_WEIGHTS[:scales]]
    product = x.new_ones(x.shape[:3])  # (B, T, C)
    for scale, weight in enumerate(weights):
        luminance, structure = _similarity(x, y)
        last = scale == scales - 1
        term = (luminance * structure if last else structure).mean(dim=(3, 4))
        # a structure that is turned round has no root: 0, unless it is all there is
        product = product * (term if scales == 1 else term.clamp(min=0) ** weight)
        if not last:
            x, y = _halved(x), _halved(y)
    return product.mean(dim=2).float().to(predicted.device)


def _for_similarity(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    # in float32 the variances of an even picture drown in rounding
    return _unit(predicted.clamp(-1, 1)).double().cpu(), _unit(truth.clamp(-1, 1)).double().cpu()


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The terms of luminance, and of contrast and structure, of frames in [0, 1], where the whole window fits."""
    reach = min(REACH, (min(x.shape[-2:]) - 1) // 2)
    vertical, horizontal = (_window(size, reach) for size in x.shape[-2:])

    def blur(images: Tensor) -> Tensor:
        return vertical @ images @ horizontal.mT

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * covariance + C2) / (variance_x + variance_y + C2)


def _halved(frames: Tensor) -> Tensor:
    """`frames` (B, T, C, H, W) at half the size, each pixel the mean of four; an odd side loses its last pixel."""
    even = frames[..., : frames.shape[-2] // 2 * 2, : frames.shape[-1] // 2 * 2]
    return even.unflatten(-1, (-1, 2)).mean(dim=-1).unflatten(-2, (-1, 2)).mean(dim=-2)


def motion(predicted: Tensor, truth: Tensor) -> Tensor:
    """Motion energy: how lively a prediction is, 0 for one that stands still, 1 for one as lively as the truth.

    The squared change from the previous frame to each, over the mean of the truth's in the clip (the temporal
    information of ITU-T P.910 as a ratio). The first frame has no previous one, and a clip whose truth changes by less
    than a level of 255 (root mean square) has no motion to compare with: NaN.
    """
    energy, reference = (
        (frames.float().clamp(-1, 1).diff(dim=1) / 2).square().mean(dim=(2, 3, 4)) for frames in (predicted, truth)
    )  # (B, T - 1)
    values = energy.new_full(predicted.shape[:2], math.nan)
    if energy.shape[1]:
        mean = reference.mean(dim=1, keepdim=True)  # (B, 1)
        values[:, 1:] = energy / mean.masked_fill(mean < STILL, math.nan)
    return values


def sharpness(predicted: Tensor, truth: Tensor) -> Tensor:
    """Gradient energy of each predicted frame over that of the true one: below 1 is blur, above 1 noise or ghosts.

    1 where neither has a gradient, inf where only the truth has none.
    """
    energy, reference = _gradient_energy(predicted), _gradient_energy(truth)
    return (energy / reference).masked_fill((energy == 0) & (reference == 0), 1)


def flicker(predicted: Tensor, truth: Tensor) -> Tensor:
    """How much the error changes from the previous frame to each: temporal inconsistency, in levels of 255.

    The root of the mean square over pixels of (predicted_t - predicted_t-1) - (truth_t - truth_t-1): 0 for an error
    that stands still, which an eye forgives, and for motion that is the truth's. The first frame has no previous one:
    NaN.
    """
    change = _difference(predicted, truth).diff(dim=1).square().mean(dim=(2, 3, 4)).sqrt() * 255  # (B, T - 1)
    values = change.new_full(predicted.shape[:2], math.nan)
    values[:, 1:] = change
    return values


def _unit(frames: Tensor) -> Tensor:
    return (frames.float() + 1) / 2


def _difference(predicted: Tensor, truth: Tensor) -> Tensor:
    return (predicted.float() - truth.float()) / 2


def _gradient_energy(frames: Tensor) -> Tensor:
    frames = frames.float()
    vertical, horizontal = frames.diff(dim=-2), frames.diff(dim=-1)
    return vertical.square().sum(dim=(2, 3, 4)) + horizontal.square().sum(dim=(2, 3, 4))


def _window(size: int, reach: int) -> Tensor:
    """The matrix (size - 2 reach, size) that blurs a row of `size` pixels, where the whole window fits."""
    import torch

    taps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    sigma = max(reach, 1) * SIGMA / REACH
    taps = torch.exp(-((taps / sigma) ** 2) / 2)
    matrix = torch.zeros(size - 2 * reach, size, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + 2 * reach + 1] = taps / taps.sum()
    return matrix


@dataclass(frozen=True)
class Metric:
    """A metric and how it is shown; its name is the column of csv files and the field of json files."""

    name: str
    function: MetricFunction | None  # None: it has weights, which pipeline/measuring reads
    heading: str
    digits: int  # after the point
    higher_is_better: bool
    unit: str = ""
    note: str = ""  # what the number is, where a figure has room to say it
    ideal: float | None = None  # the best value, where more is better below it and worse above
    partial: bool = False  # NaN where it is not defined, such as at a first frame: such values do not count

    @property
    def column(self) -> str:
        """The heading of a column: `PSNR, dB`."""
        return f"{self.heading}, {self.unit}" if self.unit else self.heading

    @property
    def title(self) -> str:
        """The title of a plot: `MSE, summed over pixels (lower is better)`."""
        note = f", {self.note}" if self.note else ""
        better = (
            f"{self.ideal:g} is best" if self.ideal else f"{'higher' if self.higher_is_better else 'lower'} is better"
        )
        return f"{self.column}{note} ({better})"

    def loss(self, value: float) -> float:
        """A number that is the lower the better `value` is: what orders methods by this metric.

        Half an ideal is as far from it as twice.
        """
        if self.ideal is not None:
            return abs(math.log(value / self.ideal)) if value > 0 else math.inf
        return -value if self.higher_is_better else value


# in the order of columns; which of them a task has is in pipeline/data/task.py
METRICS = {
    metric.name: metric
    for metric in (
        Metric("mse", mse, "MSE", digits=2, higher_is_better=False, note="summed over pixels"),
        Metric("mae", mae, "MAE", digits=1, higher_is_better=False, note="summed over pixels"),
        Metric("psnr", psnr, "PSNR", digits=2, higher_is_better=True, unit="dB"),
        Metric("ssim", ssim, "SSIM", digits=3, higher_is_better=True),
        Metric("lpips", None, "LPIPS", digits=4, higher_is_better=False),
        Metric("ms_ssim", ms_ssim, "MS-SSIM", digits=3, higher_is_better=True),
        Metric(
            "motion",
            motion,
            "Motion",
            digits=2,
            higher_is_better=True,
            note="energy of changes over the truth's",
            ideal=1.0,
            partial=True,
        ),
        Metric("flicker", flicker, "Flicker", digits=2, higher_is_better=False, note="levels of 255", partial=True),
    )
}


NO_BASELINES = {"stateless", "start"}  # methods beside the baselines: the network without its state, before training


def start_ahead(summary: Mapping[str, Any]) -> bool:
    """Whether the weights that training began with, where they had been trained before, have the lower MSE."""
    return "start" in summary and not summary["model"]["mse"] <= summary["start"]["mse"]


def baselines_ahead(summary: Mapping[str, Any]) -> dict[str, str]:
    """The metrics in which a non-learned baseline is better than the model, and which one is the best there.

    `summary` is the content of metrics.json: the means of each metric by method.
    """
    rows = {name: row for name, row in summary.items() if isinstance(row, Mapping) and name not in NO_BASELINES}
    model = rows.pop("model")
    ahead = {}
    for name, metric in METRICS.items():
        if name not in model or not rows:
            continue
        best = min(rows, key=lambda method: metric.loss(rows[method][name]))
        if not metric.loss(model[name]) <= metric.loss(rows[best][name]):  # NaN is behind
            ahead[name] = best
    return ahead
