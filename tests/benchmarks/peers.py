"""How OpenSTL measures (openstl/core/metrics.py), so that its tables can be read beside ours.

Its MSE and MAE are ours: squared and absolute errors of values in [0, 1], summed over the pixels of a frame, before
clipping. Its PSNR is ours too. Its SSIM is not: skimage's without `data_range`, which took 2 for the range of floats
where that of the values is 1, and a uniform window; both make it higher.
"""

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

WINDOW, RANGE = 7, 2.0


def ssim_openstl(predicted: Tensor, truth: Tensor) -> Tensor:
    """SSIM as OpenSTL has it: (B, T, C, H, W) in [-1, 1] each, taken to [0, 1], to (B, T)."""
    pairs = [(frames.clamp(-1, 1).float() / 2 + 0.5).flatten(0, 1).numpy() for frames in (predicted, truth)]
    values = [
        structural_similarity(ours, theirs, win_size=WINDOW, data_range=RANGE, channel_axis=0)
        for ours, theirs in zip(*pairs, strict=True)
    ]
    return torch.from_numpy(np.array(values, np.float32)).unflatten(0, predicted.shape[:2])
