"""How a model fades: `python -m tests.benchmarks.far_horizon`, the digits of the sample, 100 steps and further.

The model (data/model, or --model) continues clips of moving digits that it was not trained on, far beyond the horizon
of its training, its own output fed back. Printed at steps 1, 10, 30 and 100: MSE summed over pixels, beside that of the
mean frame of the context, which knows nothing of motion and never fades; motion energy, 0 for a picture that stands
still and 1 for one as lively as the truth; sharpness, gradient energy over the truth's, 0 for an empty picture. Wanted:
an error at no step above the mean frame's, and motion of at least 0.5.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline import model_dir
from pipeline.data.clips import to_float
from pipeline.data.digits import load_digits
from pipeline.measuring.baselines import baseline
from pipeline.metrics import mse, sharpness
from pipeline.nn.rollout import predict
from pipeline.stages.sample import share_out
from tests.benchmarks.moving_mnist import CONTEXT, DIGITS, clips

STEPS = (1, 10, 30, 100)


def energies(frames: Tensor) -> Tensor:
    """The mean squared change that leads to each of STEPS but the first, (B, 3), of `frames` (B, T, C, H, W)."""
    change = (frames.clamp(-1, 1).diff(dim=1) / 2).square().mean(dim=(2, 3, 4))  # (B, T - 1)
    return torch.stack([change[:, step - 2] for step in STEPS[1:]], dim=1)


def row(continued: Callable[[Tensor], Tensor], test: Tensor) -> dict[str, float]:
    """Errors, motion energy and sharpness at STEPS of what continues (B, 10, 1, H, W) by 100 frames."""
    with torch.inference_mode():
        predicted = torch.cat([continued(part[:, :CONTEXT]).float() for part in test.split(20)])
    truth = test[:, CONTEXT:]
    shown = [step - 1 for step in STEPS]
    errors = mse(predicted[:, shown], truth[:, shown]).mean(dim=0)
    sharp = sharpness(predicted[:, shown], truth[:, shown]).median(dim=0).values
    # over all clips: of one clip the truth's change at a step may be small, at a wall
    lively = energies(predicted).sum(dim=0) / energies(truth).sum(dim=0)
    return {
        **{f"mse {step}": value.item() for step, value in zip(STEPS, errors, strict=True)},
        **{f"motion {step}": value.item() for step, value in zip(STEPS[1:], lively, strict=True)},
        **{f"sharpness {step}": value.item() for step, value in zip(STEPS, sharp, strict=True)},
    }


def main(arguments: list[str]) -> None:
    """Print a row for the model, the mean frame and the last one."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.far_horizon",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, nargs="+", default=[Path("data/model")], help="model directories")
    parser.add_argument("--like", choices=DIGITS, default="sample", help="which digits (default: sample)")
    parser.add_argument("--clips", type=int, default=100, help="test clips (default: 100)")
    options = parser.parse_args(arguments)
    like = DIGITS[options.like]
    images = load_digits(like.digit_size)
    held_out = images[share_out(len(images), np.random.default_rng(0))["test"]]
    test = to_float(clips(np.random.default_rng(2), held_out, options.clips, CONTEXT + STEPS[-1], like))
    black = torch.full(test.shape[2:], -1.0)
    methods: dict[str, Callable[[Tensor], Tensor]] = {}
    for path in options.model:
        model, _ = model_dir.load(path)
        methods[str(path)] = lambda context, model=model: predict(model.eval(), context, STEPS[-1])
    for name in ("mean_frame", "last_frame", "background"):
        methods[name] = lambda context, name=name: baseline(name, context, STEPS[-1], black)
    table = pd.DataFrame({name: row(continued, test) for name, continued in methods.items()}).T
    print(table.round(2).to_string())
    error = table[[f"mse {step}" for step in STEPS]]
    for path in map(str, options.model):
        worse = [step for step in STEPS if error.loc[path, f"mse {step}"] > error.loc["mean_frame", f"mse {step}"]]
        still = [step for step in STEPS[1:] if table.loc[path, f"motion {step}"] < 0.5]
        print(f"{path}: error above the mean frame's at steps {worse or 'none'}, motion below 0.5 at {still or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
