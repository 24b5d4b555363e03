"""`python -m tests.benchmarks.resolution`: time per frame and peak memory of training and generation, by size of frame.

Each cell is a process of its own. Training is one clip of --frames whole frames, forward and backward, in the
precision that params.yaml's `auto` means here; generation is a frame at a time, in float32. Memory is what the process
takes beyond what it held after the same at 32 pixels; `estimate` is what pipeline.runtime.memory says before. The
exponent is that of a power of the number of pixels, fitted over the sizes from 128 on. `clip` is a training step on a
clip as params.yaml has it, context and horizon, its own output fed back over the horizon, of 512 pixels: without
activation checkpointing, and with it every 5 frames (train.recompute_steps).
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from pipeline.model_params import NO_SIZES
from pipeline.models import MODELS, build
from pipeline.nn.rollout import unroll_with_checkpoints
from pipeline.params import load_params
from pipeline.runtime import memory
from pipeline.runtime.devices import autocast_dtype, huge_pages, keep_freed_memory
from tests.test_docs import ROOT

SIZES = (64, 128, 256, 512, 1024)
TEXTBOOK = "textbook"
CLIP_SIZE, CLIP_MEMORY = 512, 8.0  # pixels, GiB: what the issue asks for
CLIPS = {"clip": None, "clip, recompute 5": 5}  # what: train.recompute_steps
MOST_SECONDS = 120  # per pass of a cell; what would take longer, by the size before it, is left out


class Textbook(nn.Module):
    """ConvLSTM as its paper prints it: per step and layer one convolution over [x, h], float32, no patches."""

    def __init__(self, channels: int, hidden: int, num_layers: int, kernel_size: int) -> None:
        super().__init__()
        widths = [channels] + [hidden] * num_layers
        self.layers = nn.ModuleList(
            nn.Conv2d(width + hidden, 4 * hidden, kernel_size, padding=kernel_size // 2) for width in widths[:-1]
        )
        self.head = nn.Conv2d(hidden, channels, 1)

    def forward(self, frames: Tensor, state: list | None = None) -> tuple[Tensor, list]:
        outputs = []
        for frame in frames.unbind(dim=1):
            new_state = []
            for i, layer in enumerate(self.layers):
                shape = (len(frame), layer.out_channels // 4, *frame.shape[-2:])
                h, c = (frame.new_zeros(shape), frame.new_zeros(shape)) if state is None else state[i]
                i_gate, f, g, o = layer(torch.cat([frame, h], dim=1)).chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i_gate) * torch.tanh(g)
                frame = torch.sigmoid(o) * torch.tanh(c)
                new_state.append((frame, c))
            state = new_state
            outputs.append(torch.tanh(self.head(frame)))
        return torch.stack(outputs, dim=1), state


def generator(name: str) -> tuple[nn.Module, bool]:
    """The generator called `name` with its sizes in params.yaml, and whether it trains in float32 only."""
    torch.manual_seed(0)
    if name == TEXTBOOK:
        sizes = load_params(ROOT / "params.yaml").model.convlstm
        return Textbook(3, sizes.hidden_channels, sizes.num_layers, sizes.kernel_size), True
    section = getattr(load_params(ROOT / "params.yaml").model, name)
    return build(name, (3, 64, 64), 3, **section.model_dump(exclude=NO_SIZES)), False


def cell(name: str, mode: str, size: int, frames: int) -> dict[str, float]:
    """Seconds per frame, GiB of memory and GiB of the estimate, measured in this process."""
    model, float_only = generator(name)
    dtype = None if float_only else autocast_dtype("auto", torch.device("cpu"))

    def train(side: int) -> None:
        clip = torch.zeros(1, frames, 3, side, side)
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            outputs, _ = model(clip)
            loss = (outputs - clip).square().mean()
        torch.autograd.grad(loss, list(model.parameters()))

    times = load_params(ROOT / "params.yaml").tensorize
    length = times.context + times.horizon - 1

    def clip(side: int, teacher_forcing: Tensor | None = None) -> None:
        frames = torch.zeros(1, length, 3, side, side)
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            outputs, _ = unroll_with_checkpoints(model, frames, None, CLIPS[mode], teacher_forcing=teacher_forcing)
            loss = (outputs - frames).square().mean()
        torch.autograd.grad(loss, list(model.parameters()))

    def generate(side: int) -> None:
        state = None
        with torch.no_grad():
            for _ in range(frames):
                _, state = model(torch.zeros(1, 1, 3, side, side), state)

    huge_pages()
    if mode != "generate":  # as the train stage
        keep_freed_memory()
    work = {"train": train, "generate": generate}.get(mode, clip)
    work(32)
    estimate = memory.estimate(lambda: work(size))
    if mode in CLIPS:
        # the estimate is that of training, which cannot know what a free-running model feeds itself
        work, frames = partial(clip, teacher_forcing=torch.arange(length)[None] < times.context), length
    before = psutil.Process().memory_info().rss
    memory.check(f"{name}, {mode}, {size} pixels", estimate, memory.available(torch.device("cpu")), "the size")
    begin = time.perf_counter()
    work(size)
    seconds = [time.perf_counter() - begin]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    while len(seconds) < 4 and sum(seconds) < 10:
        begin = time.perf_counter()
        work(size)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": min(seconds) / frames, "GiB": peak / memory.GIB, "estimate": estimate / memory.GIB}


def exponent(sizes: list[int], values: list[float]) -> float:
    """n of values ~ pixels^n, by least squares of logarithms over the sizes from 128 on."""
    points = [(np.log(size**2), np.log(value)) for size, value in zip(sizes, values, strict=True) if size >= 128]
    return float(np.polyfit(*np.array(points).T, 1)[0]) if len(points) > 1 else float("nan")


def run_cell(name: str, mode: str, size: int, frames: int) -> dict[str, float] | None:
    """Measure a cell in a process of its own and print its row; None where it does not fit."""
    command = [sys.executable, "-m", "tests.benchmarks.resolution", "--frames", str(frames)]
    result = subprocess.run([*command, "--cell", name, mode, str(size)], capture_output=True, text=True)
    if result.returncode:
        print(f"| {name} | {mode} | {size} | {result.stderr.strip().splitlines()[-1]} | | |", flush=True)
        return None
    row: dict[str, float] = json.loads(result.stdout)
    fits = "" if mode not in CLIPS else f", {'less' if row['GiB'] < CLIP_MEMORY else 'MORE'} than {CLIP_MEMORY:g}"
    print(
        f"| {name} | {mode} | {size} | {1000 * row['seconds']:.1f} | {row['GiB']:.2f}{fits} | {row['estimate']:.2f} |",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = load_params(ROOT / "params.yaml").model.name
    parser.add_argument("--models", nargs="+", default=[default, TEXTBOOK], choices=[*MODELS, TEXTBOOK])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        name, mode, size = options.cell
        print(json.dumps(cell(name, mode, int(size), options.frames)))
        return

    print("| generator | what | pixels | ms per frame | memory, GiB | estimate, GiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.models:
        for mode in ("train", "generate"):
            measured: dict[int, dict[str, float]] = {}
            for size in options.sizes:
                if measured:
                    last = max(measured)
                    expected = options.frames * measured[last]["seconds"] * (size / last) ** 2
                    if expected > MOST_SECONDS:
                        print(f"| {name} | {mode} | {size} | left out: about {expected:.0f} s | | |", flush=True)
                        break
                row = run_cell(name, mode, size, options.frames)
                if row is None:
                    break
                measured[size] = row
            if sum(size >= 128 for size in measured) < 2:
                continue
            time_exponent, memory_exponent = (
                exponent(list(measured), [row[key] for row in measured.values()]) for key in ("seconds", "GiB")
            )
            print(f"| {name} | {mode} | exponent | {time_exponent:.2f} | {memory_exponent:.2f} | |", flush=True)
    if default in options.models:
        for mode in CLIPS:
            run_cell(default, mode, CLIP_SIZE, options.frames)


if __name__ == "__main__":
    main()
