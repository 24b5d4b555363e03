"""What generation costs: `python -m tests.benchmarks.generate`. Run it on a quiet machine.

The textbook's ConvLSTM and ours take turns, so that what else the machine does falls on both.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from pipeline.model_params import NO_SIZES
from pipeline.models import build
from pipeline.nn.rollout import stream
from pipeline.runtime.devices import autocast_dtype
from tests.benchmarks.textbook import TextbookConvLstm, TextbookStLstm
from tests.benchmarks.train import Row, row, shipped

CONTEXT, FRAMES, ROUNDS = 10, 20, 15
CELLS = {"hidden_channels": 64, "num_layers": 4, "kernel_size": 5, "patch_size": 4}


def seconds_per_frame(model: nn.Module, shape: tuple[int, int, int, int], *, bf16: bool) -> float:
    """Seconds per generated frame of `shape` (B, C, H, W); the context before the first is not counted."""
    dtype = autocast_dtype("auto", torch.device("cpu")) if bf16 else None
    generator = torch.Generator().manual_seed(0)
    context = torch.rand(shape[0], CONTEXT, *shape[1:], generator=generator) * 2 - 1
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        frames = stream(model.eval(), context)
        next(frames)
        begin = time.perf_counter()
        for _ in range(FRAMES):
            next(frames)
        return (time.perf_counter() - begin) / FRAMES


def in_turns(*measures: Callable[[], float]) -> list[tuple[float, ...]]:
    """What each of `measures` returned, one tuple per round, in which they take turns; a first round warms up."""
    return [tuple(measure() for measure in measures) for _ in range(ROUNDS + 1)][1:]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.generate", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args(arguments).threads)
    rows: list[Row] = []
    params = shipped()
    sizes = params.model.selected.model_dump(exclude=NO_SIZES)
    default = build(params.model.name, (3, 128, 128), 3, **sizes)
    rounds = in_turns(lambda: seconds_per_frame(default, (1, 3, 128, 128), bf16=True))
    fps = 1 / statistics.median(seconds for (seconds,) in rounds)
    rows.append(row(f"{params.model.name}, 128x128 RGB", f"{fps:.0f} frames/s", ">= 25", fps >= 25))
    for name, textbook, options in (
        ("convlstm", TextbookConvLstm, {}),
        ("stlstm", TextbookStLstm, {"decoupling": 0.0}),
    ):
        ours = build(name, (1, 64, 64), 1, **CELLS, **options)
        theirs = textbook(ours)
        rounds = in_turns(
            lambda ours=ours: seconds_per_frame(ours, (4, 1, 64, 64), bf16=True),
            lambda theirs=theirs: seconds_per_frame(theirs, (4, 1, 64, 64), bf16=False),
        )
        # of each round, because the machine's speed drifts from one to the next
        ratio = statistics.median(textbook_seconds / seconds for seconds, textbook_seconds in rounds)
        seconds, textbook_seconds = (statistics.median(column) for column in zip(*rounds, strict=True))
        figures = f"{ratio:.2f}x ({seconds:.4f} s against {textbook_seconds:.4f} s per step)"
        rows.append(row(f"{name} 64x4, 5x5, batch 4: of the textbook's speed", figures, ">= 2x", ratio >= 2))
    with pd.option_context("display.max_colwidth", None, "display.width", 200):
        print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
