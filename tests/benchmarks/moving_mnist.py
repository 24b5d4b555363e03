"""Equal budgets on canonical Moving MNIST: `python -m tests.benchmarks.moving_mnist --minutes 10 --seeds 0 1 2`.

64x64, two digits of 28 pixels that move by whole pixels, 10 -> 10, test digits of their own. Every generator trains
from scratch for the same time, by its recipe in params.yaml but for what SIZES and RECIPES say suits these frames;
`textbook` is the ConvLSTM of textbook.py, float32 and teacher-forced, as printed, and `cnn` learns as SimVP does, one
block of 10 frames from 10. `--like sample` is the embedded sample instead: 32x32, one digit of 16 pixels that comes to
lie between pixels, too; sizes and batches as shipped.

Then, on test clips: MSE and MAE (per frame, summed over pixels), PSNR and SSIM, beside it the SSIM of OpenSTL's tables
(peers.py; its other metrics are ours), motion energy, and the MSE of some steps; those of the mean frame, of the last
one and of a black picture as well.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.data.clips import to_float
from pipeline.data.digits import load_digits
from pipeline.measuring.baselines import baseline
from pipeline.measuring.evaluation import MAX_PSNR
from pipeline.metrics import mae, motion, mse, psnr, ssim
from pipeline.model_params import NO_SIZES, Recipe
from pipeline.models import build
from pipeline.models.cnn import Cnn
from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import auxiliary_loss, predict, teacher_forcing_mask, unroll
from pipeline.runtime.devices import autocast_dtype, huge_pages, keep_freed_memory
from pipeline.stages.sample import bounce, draw, share_out
from pipeline.training.optimizers import Optimizer
from pipeline.training.schedules import lr_factor, num_forced_inputs, teacher_forcing_probabilities
from tests.benchmarks.peers import ssim_openstl
from tests.benchmarks.textbook import TextbookConvLstm
from tests.benchmarks.train import shipped

CONTEXT, HORIZON, LONG = 10, 10, 25


@dataclass(frozen=True)
class Digits:
    """What moves: `num_digits` of `digit_size` pixels at `speed` pixels per frame in frames of `side`."""

    side: int
    digit_size: int
    num_digits: int
    speed: float
    subpixel: bool


DIGITS = {
    "moving_mnist": Digits(side=64, digit_size=28, num_digits=2, speed=3.6, subpixel=False),
    "sample": Digits(side=32, digit_size=16, num_digits=1, speed=2.0, subpixel=True),
}
CELLS = {"hidden_channels": 64, "num_layers": 4, "kernel_size": 5, "patch_size": 4}
# what differs from params.yaml: 64x64 asks for more than the embedded sample does
SIZES: dict[str, dict[str, Any]] = {
    "textbook": CELLS,
    "convlstm": {**CELLS, "kernel_size": 3, "num_layers": 3},
    "stlstm": {**CELLS, "kernel_size": 3, "num_layers": 3, "decoupling": 0.05},
    "minconvgru": {**CELLS, "kernel_size": 3, "cell": "gru"},
    "minconvlstm": {**CELLS, "kernel_size": 3, "cell": "lstm"},
    "cnn": {"hidden_channels": 32, "num_blocks": 4, "num_frames": 10, "patch_size": 4},
    "foreframe": {"hidden_channels": 32, "num_scales": 3, "num_motions": 3, "patch_size": 4},
}
MUON = {"optimizer": "muon", "learning_rate": 4e-3}
RECIPES: dict[str, dict[str, Any]] = {
    "textbook": {"batch_size": 4},
    "convlstm": {"batch_size": 8, **MUON, "curriculum": 0.9},
    "stlstm": {"batch_size": 4, **MUON, "curriculum": 0.9},
    "minconvgru": {"batch_size": 8, **MUON, "curriculum": 0.9},
    "minconvlstm": {"batch_size": 8, **MUON, "curriculum": 0.9},
    "cnn": {"batch_size": 8, "learning_rate": 3e-3},
    "foreframe": {"batch_size": 16, "curriculum": 0.9},
}


# of names that are not a generator's own
GENERATORS = {"textbook": "convlstm", "minconvgru": "minconv", "minconvlstm": "minconv"}


def clips(
    rng: np.random.Generator, images: NDArray[np.uint8], count: int, length: int, like: Digits
) -> NDArray[np.uint8]:
    """Moving digits, uint8 (count, length, side, side, 1); the brighter wins where two overlap."""
    result = np.empty((count, length, like.side, like.side, 1), np.uint8)
    for frames in result:
        chosen = images[rng.choice(len(images), size=like.num_digits)]
        paths = np.stack([bounce(length, like.side - like.digit_size, like.speed, rng) for _ in chosen])
        frames[:] = draw(chosen, paths if like.subpixel else np.rint(paths), like.side)[..., :1]
    return result


def made(name: str, like: str, seed: int) -> tuple[nn.Module, Recipe]:
    """The generator called `name` before training, and its recipe."""
    torch.manual_seed(seed)
    generator = GENERATORS.get(name, name)
    section, side = getattr(shipped().model, generator), DIGITS[like].side
    sizes, recipe = SIZES[name], section.recipe.model_copy(update=RECIPES[name])
    if like == "sample" and name != "textbook":
        shipped_sizes = section.model_dump(exclude=NO_SIZES)
        sizes = {key: sizes[key] if key == "cell" else value for key, value in shipped_sizes.items()}
        recipe = recipe.model_copy(update={"batch_size": section.recipe.batch_size})
    return build(generator, (1, side, side), 1, **sizes), recipe


def train(
    name: str, images: NDArray[np.uint8], like: str, *, seconds: float, clock: Callable[[], float], seed: int
) -> tuple[nn.Module, int]:
    """The generator called `name` after `seconds` of `clock`, and how many steps that were."""
    model, recipe = made(name, like, seed)
    warmup = shipped().train.warmup
    sampling, dtype = recipe.sampling, autocast_dtype("auto", torch.device("cpu"))
    if name == "textbook":
        model, sampling, dtype = TextbookConvLstm(model), "teacher", None
    rng, generator = np.random.default_rng([seed, 0]), torch.Generator().manual_seed(seed)
    optimizer = Optimizer(recipe.optimizer, list(model.parameters()), recipe.learning_rate, recipe.weight_decay)
    ema = [parameter.detach().clone() for parameter in model.parameters()]
    losses: list[float] = []
    begin, step = clock(), 0
    while (fraction_done := (clock() - begin) / seconds) < 1:
        optimizer.scale_lr(lr_factor(recipe.schedule, fraction_done, warmup))
        num_forced = num_forced_inputs(CONTEXT, HORIZON, recipe.curriculum, fraction_done)
        # made anew each step: of two thousand sequences the default had learnt all there was in a quarter of the time
        batch = to_float(clips(rng, images, recipe.batch_size, CONTEXT + HORIZON, DIGITS[like]))
        mask = teacher_forcing_mask(
            len(batch), CONTEXT, HORIZON, *teacher_forcing_probabilities(sampling, fraction_done), generator, num_forced
        )
        packed = PackedWeights()  # until the optimizer's step
        with packed, torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            if isinstance(model, Cnn):  # from a block of frames, not from each frame of the context once more
                _, *rest = model.begin(batch[:, 0])
                first = CONTEXT - 1
                outputs, _ = unroll(
                    model, batch[:, first:-1], (batch[:, :first], *rest), teacher_forcing=mask[:, first:]
                )
                loss = (outputs - batch[:, CONTEXT:]).square().mean()
            else:
                outputs, _ = unroll(model, batch[:, :-1], teacher_forcing=mask)
                loss = (outputs - batch[:, 1:]).square().mean()
            auxiliary = auxiliary_loss(model)
        with packed:
            (loss if auxiliary is None else loss + auxiliary).backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm or 1.0)
        optimizer.step()
        step += 1
        losses.append(DIGITS[like].side ** 2 / 4 * loss.item())  # of the metric: values in [0, 1], summed over pixels
        if len(losses) == 250:
            print(
                f"{name}: step {step}, {fraction_done:.0%}, training {np.mean(losses):.1f}", file=sys.stderr, flush=True
            )
            losses.clear()
        decay = min(recipe.ema_decay, step / (step + 10))
        with torch.no_grad():
            for kept, parameter in zip(ema, model.parameters(), strict=True):
                kept.lerp_(parameter, 1 - decay)
    with torch.no_grad():
        for kept, parameter in zip(ema, model.parameters(), strict=True):
            parameter.copy_(kept)
    return model, step


def score(predict_long: Callable[[Tensor], Tensor], test: Tensor) -> dict[str, float]:
    """Errors over the horizon, and far beyond it, of what continues (B, 10, 1, H, W) by LONG frames."""
    with torch.inference_mode():
        predicted = torch.cat([predict_long(part[:, :CONTEXT]).float() for part in test.split(20)])
    truth = test[:, CONTEXT:]
    error = mse(predicted, truth).mean(dim=0)
    near = predicted[:, :HORIZON], truth[:, :HORIZON]
    means = {metric.__name__: metric(*near).nanmean().item() for metric in (mae, ssim, ssim_openstl, motion)}
    means["psnr"] = psnr(*near).clamp(max=MAX_PSNR).mean().item()
    steps = {f"mse step {step}": error[step - 1].item() for step in (1, 10, 25)}
    return {"mse": error[:HORIZON].mean().item(), **means, **steps}


def continued(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """`model`, running free for LONG steps in float32."""
    model.eval()
    return lambda context: predict(model, context, LONG)


def unlearned(context: Tensor, name: str) -> Tensor:
    """What the non-learned baseline `name` makes of a context; "black" is an empty picture."""
    black = torch.full(context.shape[2:], -1.0)
    return baseline("background" if name == "black" else name, context, LONG, black)


def show(row: dict[str, Any], header: bool) -> None:
    """Print a row of the table, and its header above the first."""
    columns = {name: f"{value:.3f}" if isinstance(value, float) else str(value) for name, value in row.items()}
    widths = [max(len(name), 11) for name in columns]
    for cells in ([columns.keys()] if header else []) + [columns.values()]:
        print(" ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


def main(arguments: list[str]) -> None:
    """Train all, one row each, and print the table as it grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.moving_mnist", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of training, per generator (default: 10)")
    parser.add_argument("--like", choices=DIGITS, default="moving_mnist", help="which digits (default: moving_mnist)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=200, help="test clips")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: minutes of this process's time on a core, times the threads, for a machine that is shared",
    )
    options = parser.parse_args(arguments)
    huge_pages()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    seconds = 60 * options.minutes * (options.threads if options.clock == "cpu" else 1)
    like = DIGITS[options.like]
    images = load_digits(like.digit_size)
    shares = share_out(len(images), np.random.default_rng(0))
    test = to_float(clips(np.random.default_rng(1), images[shares["test"]], options.clips, CONTEXT + LONG, like))
    print("SSIM as skimage has it in ssim, as OpenSTL's tables have it in ssim_openstl", flush=True)
    for name in ("black", "mean_frame", "last_frame"):
        show({"model": name, "seed": "", "steps": 0, **score(partial(unlearned, name=name), test)}, name == "black")
    rows = []
    for seed in options.seeds:
        for name in options.models:
            model, steps = train(name, images[shares["train"]], options.like, seconds=seconds, clock=clock, seed=seed)
            rows.append({"model": name, "seed": seed, "steps": steps, **score(continued(model), test)})
            show(rows[-1], False)
    table = pd.DataFrame(rows).groupby("model")["mse"].agg(["mean", "min", "max"])
    print(table.round(2).to_string())
    if "foreframe" in table.index and len(table) > 1:
        best = table.drop("foreframe")["mean"].min()
        print(f"foreframe of the best of the others: {table.loc['foreframe', 'mean'] / best:.2f}x (target <= 0.8x)")


if __name__ == "__main__":
    main(sys.argv[1:])
