"""How sure a mean is: bootstrap intervals in which whole videos are drawn, because the clips of one overlap."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES, CONFIDENCE, SEED = 1_000, 0.95, 0
CHUNK = 100  # resamples at a time, which bounds the memory


def bootstrap(values: NDArray[np.floating], videos: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 95 % percentile intervals (M,) of the means of `values` (N, M) over clips (Efron 1979).

    `videos` (N,) says which video each clip is cut from: videos are drawn with replacement, each with all its clips,
    1,000 times from one seed. A NaN is no value. Where there is one video only nothing is known of others: NaN.
    """
    labels, index = np.unique(videos, return_inverse=True)
    ends = np.full((2, values.shape[1]), np.nan)
    if len(labels) == 1:
        return ends[0], ends[1]
    known = ~np.isnan(values)
    sums, counts = np.zeros((2, len(labels), values.shape[1]))
    np.add.at(sums, index, np.where(known, values, 0))
    np.add.at(counts, index, known)
    rng = np.random.default_rng(SEED)
    means = []
    for start in range(0, RESAMPLES, CHUNK):
        # how often each video is drawn: (resamples, V)
        draws = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), min(CHUNK, RESAMPLES - start))
        with np.errstate(invalid="ignore"):  # a draw of videos without a value
            means.append((draws @ sums) / (draws @ counts))
    tail = 50 * (1 - CONFIDENCE)
    resampled = np.concatenate(means)
    some = known.any(axis=0)
    ends[:, some] = np.nanpercentile(resampled[:, some], [tail, 100 - tail], axis=0)
    return ends[0], ends[1]
