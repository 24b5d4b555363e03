"""Drift: are a model's errors on new videos still those of its own test set? Two plain tests on one error per video."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.params import MonitorParams

Errors = NDArray[np.floating]


@dataclass(frozen=True)
class Drift:
    """Whether new videos are harder than those that the model was tested on, and by which numbers."""

    drifted: bool
    reason: str
    p_value: float | None = None
    psi: float | None = None


def drift(reference: Errors, arrived: Errors, monitor: MonitorParams) -> Drift:
    """Compare the errors of videos that arrived, (M,), with those at the time of promotion, (N,): one error per video.

    Drift is what both tests see and what makes the model worse: errors that fell are no reason to train again.
    """
    if len(arrived) < monitor.min_videos:
        return Drift(False, f"{len(arrived)} new videos, fewer than monitor.min_videos ({monitor.min_videos})")
    if not np.isfinite(arrived).all():
        return Drift(True, "the champion's error is not a finite number")
    from scipy.stats import ks_2samp  # takes a second to import, and most runs have nothing to compare

    # how often two samples of one distribution differ as much (Kolmogorov-Smirnov)
    p_value = float(ks_2samp(reference, arrived).pvalue)
    index = stability_index(reference, arrived, monitor.bins)
    worse = bool(np.median(arrived) > np.median(reference))
    drifted = worse and p_value < monitor.p_value and index > monitor.psi
    reason = (
        f"the median error of {len(arrived)} new videos is {np.median(arrived):.4g}, at promotion it was "
        f"{np.median(reference):.4g} (p {p_value:.2g}, stability index {index:.2f}): "
        f"{'drift' if drifted else 'no drift'}"
    )
    return Drift(drifted, reason, p_value, index)


def stability_index(reference: Errors, arrived: Errors, bins: int) -> float:
    """The population stability index over `bins` quantiles of the reference; half a count is added to every bin."""
    edges = np.quantile(reference, np.arange(1, bins) / bins)
    shares = []
    for sample in (reference, arrived):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=bins) + 0.5
        shares.append(counts / counts.sum())
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def surprise(reference: Errors, arrived: Errors) -> Errors:
    """How surprising each video is, (M,): its error in units of the median error at promotion."""
    return arrived / np.median(reference)
