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

SIGMA, REACH = 1.5, 5  # pixels: the Gaussian window of SSIM, which is 11 wide
C1, C2 = 0.01**2, 0.03**2  # what keeps SSIM's quotients away from 0 / 0


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
    reach = min(REACH, (min(predicted.shape[-2:]) - 1) // 2)
    vertical, horizontal = (_window(size, reach) for size in predicted.shape[-2:])

    def blur(images: Tensor) -> Tensor:
        return vertical @ images @ horizontal.mT

    # in float32 the variances of an even picture drown in rounding
    x, y = (_unit(frames.clamp(-1, 1)).double().cpu() for frames in (predicted, truth))
    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return (luminance * structure).mean(dim=(2, 3, 4)).float().to(predicted.device)


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
    function: Callable[[Tensor, Tensor], Tensor]  # predicted and true frames (B, T, C, H, W) -> (B, T)
    heading: str
    digits: int  # after the point
    higher_is_better: bool
    unit: str = ""
    note: str = ""  # what the number is, where a figure has room to say it
    partial: bool = False  # NaN where it is not defined, such as at a first frame: such values do not count

    @property
    def column(self) -> str:
        """The heading of a column: `PSNR, dB`."""
        return f"{self.heading}, {self.unit}" if self.unit else self.heading

    @property
    def title(self) -> str:
        """The title of a plot: `MSE, summed over pixels (lower is better)`."""
        note = f", {self.note}" if self.note else ""
        return f"{self.column}{note} ({'higher' if self.higher_is_better else 'lower'} is better)"

    def loss(self, value: float) -> float:
        """A number that is the lower the better `value` is: what orders methods by this metric."""
        return -value if self.higher_is_better else value


# in the order of columns; which of them a task has is in pipeline/data/task.py
METRICS = {
    metric.name: metric
    for metric in (
        Metric("mse", mse, "MSE", digits=2, higher_is_better=False, note="summed over pixels"),
        Metric("mae", mae, "MAE", digits=1, higher_is_better=False, note="summed over pixels"),
        Metric("psnr", psnr, "PSNR", digits=2, higher_is_better=True, unit="dB"),
        Metric("ssim", ssim, "SSIM", digits=3, higher_is_better=True),
        Metric("flicker", flicker, "Flicker", digits=2, higher_is_better=False, note="levels of 255", partial=True),
    )
}


def baselines_ahead(summary: Mapping[str, Any]) -> dict[str, str]:
    """The metrics in which a non-learned baseline is better than the model, and which one is the best there.

    `summary` is the content of metrics.json: the means of each metric by method; "stateless", the same network without
    its state, is no baseline.
    """
    rows = {name: row for name, row in summary.items() if isinstance(row, Mapping) and name != "stateless"}
    model = rows.pop("model")
    ahead = {}
    for name, metric in METRICS.items():
        if name not in model or not rows:
            continue
        best = min(rows, key=lambda method: metric.loss(rows[method][name]))
        if not metric.loss(model[name]) <= metric.loss(rows[best][name]):  # NaN is behind
            ahead[name] = best
    return ahead
