"""What training costs, against its targets: `python -m tests.benchmarks.train [lstm] [memory] [gradients] …`.

Each benchmark is a function that returns rows of one table; a new one joins BENCHMARKS. Run it on a quiet machine.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from pipeline.data.clips import COLUMNS, ClipDataset, to_float, write_clips
from pipeline.model_params import NO_SIZES
from pipeline.models import build
from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import unroll
from pipeline.params import Params, load_params
from pipeline.runtime.devices import autocast_dtype, huge_pages, keep_freed_memory
from pipeline.training.gradients import gradient_norms
from pipeline.training.loop import Training, fit
from pipeline.training.schedules import num_forced_inputs
from pipeline.training.thread_count import WINDOW_SECONDS
from tests.benchmarks.textbook import TextbookConvLstm, TextbookStLstm
from tests.conftest import write_store

THREADS = 2  # --threads 1 where the machine is shared: two threads wait for each other
# seconds per step of Keras 3 on TensorFlow 2.21 on this kind of machine (its fastest), by features per frame
KERAS = {1024: 0.050, 4096: 0.13}
STEPS, ROUNDS = 12, 9  # the fastest of so many rounds is reported
Row = dict[str, Any]


def bouncing_square(num_frames: int, side: int, seed: int) -> np.ndarray:
    """A square that bounces, uint8 (T, side, side, 1): something to learn without any file."""
    generator = np.random.default_rng(seed)
    edge = side // 4
    room = side - edge
    position, velocity = generator.uniform(0, room, 2), generator.uniform(0.5, 2, 2) * generator.choice([-1, 1], 2)
    frames = np.zeros((num_frames, side, side, 1), np.uint8)
    for frame in frames:
        y, x = (room - np.abs(position % (2 * room) - room)).astype(int)
        frame[y : y + edge, x : x + edge] = 255
        position += velocity
    return frames


def dataset(folder: Path, side: int, length: int, num_videos: int) -> tuple[ClipDataset, ClipDataset]:
    """Training and validation clips of `length` frames, the first half context, one clip per video."""
    names = {f"{i:03d}.mp4": "val" if i < num_videos // 8 else "train" for i in range(num_videos)}
    store = write_store(
        folder / "frames", {name: bouncing_square(length, side, i) for i, name in enumerate(sorted(names))}
    )
    table = pd.DataFrame([(name, split, 0, length, 1) for name, split in names.items()], columns=COLUMNS)
    write_clips(folder / "clips", table, task="predict", context=length // 2, horizon=length - length // 2, stride=1)
    return ClipDataset(store, folder / "clips", "train"), ClipDataset(store, folder / "clips", "val")


def prepared(
    name: str, clips: tuple[ClipDataset, ClipDataset], recipe: dict[str, Any] | None = None, **train: Any
) -> Training:
    """A training of the generator `name` as params.yaml has it, with the given changes."""
    params = shipped()
    section = getattr(params.model, name)
    torch.manual_seed(0)
    model = build(name, clips[0].frame_shape, clips[0].frame_shape[0], **section.model_dump(exclude=NO_SIZES))
    return Training(
        model,
        *clips,
        recipe=section.recipe.model_copy(update=recipe or {}),
        train=params.train.model_copy(update={"num_threads": THREADS} | train),
    )


def shipped() -> Params:
    """The parameters of the repository."""
    return load_params(Path(__file__).parents[2] / "params.yaml")


def lstm() -> list[Row]:
    """The reference LSTM, T = 20, batch 32: seconds per step with loader and loop, against Keras's."""
    rows = []
    for features, keras in KERAS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = prepared("lstm", dataset(Path(folder), round(features**0.5), 21, 200))
            for _ in range(3):
                run.train_step()
            seconds, loading = [], run.meter.loading_seconds
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                for _ in range(STEPS):
                    run.train_step()
                seconds.append((time.perf_counter() - begin) / STEPS)
            step = min(seconds)  # what others do on the machine only adds
            share = (run.meter.loading_seconds - loading) / sum(seconds) / STEPS
        name = f"reference LSTM, {features} features"
        rows += [
            row(f"{name}: step", f"{step:.4f} s (to {max(seconds):.4f}; {torch.get_num_threads()} threads)", "", None),
            row(f"{name}: of Keras's {keras} s", f"{step / keras:.2f}x", "<= 0.55x", step / keras <= 0.55),
            row(f"{name}: loader's share", f"{share:.1%}", "", None),
        ]
    return rows


def memory() -> list[Row]:
    """Peak memory of training on clips of 200 frames, of that on 20, with truncated BPTT."""
    peaks = {
        (length, steps): int(
            subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.train", "--peak", str(length), str(steps)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for length, steps in ((20, 10), (200, 10), (20, 0), (200, 0))
    }
    truncated, whole = peaks[200, 10] / peaks[20, 10], peaks[200, 0] / peaks[20, 0]
    mebibytes = {key: f"{value / 1024:.0f} MiB" for key, value in peaks.items()}
    return [
        row("ConvLSTM, 64x64, batch 4, 20 frames, bptt_steps 10: peak", mebibytes[20, 10], "", None),
        row("the same, 200 frames", mebibytes[200, 10], "", None),
        row("200 frames of 20, bptt_steps 10", f"{truncated:.2f}x", "<= 1.3x", truncated <= 1.3),
        row("200 frames of 20, whole clip", f"{whole:.2f}x ({mebibytes[20, 0]}, {mebibytes[200, 0]})", "", None),
    ]


def peak(length: int, bptt_steps: int) -> int:
    """KiB: the most memory that a process held in two steps on clips of `length` frames; 0 steps is the whole clip."""
    with tempfile.TemporaryDirectory() as folder:
        clips = dataset(Path(folder), 64, length, 9)
        run = prepared("convlstm", clips, {"batch_size": 4}, bptt_steps=bptt_steps or None, num_threads=1)
        run.train_step()
        run.train_step()
    # not getrusage, in which the process that started this one counts as well
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def gradients() -> list[Row]:
    """How far back the gradient reaches: its norm 50 steps back relative to 1 step back, fresh and trained."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clips = dataset(Path(folder), 16, 60, 160)
        inputs, targets = map(to_float, clips[1].pairs(range(8)))
        for label, name, sizes in (
            ("plain RNN, sigmoid", "rnn", {"hidden_size": 128, "num_layers": 1, "nonlinearity": "sigmoid"}),
            ("plain RNN, tanh", "rnn", {"hidden_size": 128, "num_layers": 1, "nonlinearity": "tanh"}),
            ("LSTM", "lstm", {"hidden_size": 128, "num_layers": 1}),
            ("reference LSTM, 2 layers", "lstm", {"hidden_size": 128, "num_layers": 2}),
        ):
            torch.manual_seed(0)
            model = build(name, (1, 16, 16), 1, **sizes)
            params = shipped()
            recipe = getattr(params.model, name).recipe.model_copy(update={"epochs": 40})
            for when in ("fresh", "after 40 epochs"):
                if when != "fresh":
                    fit(model, *clips, recipe=recipe, train=params.train.model_copy(update={"num_threads": 1}))
                norms = gradient_norms(model, inputs, targets)
                text = f"{norms[0]:.1e} at 1, {norms[9]:.1e} at 10, {norms[49]:.1e} at 50: {norms[49] / norms[0]:.1e}x"
                rows.append(row(f"gradient w.r.t. the state, {label}, {when}", text, "", None))
    return rows


def cells() -> list[Row]:
    """A training step of 10 -> 10 at 64x64, batch 4, in turns with the textbook's; and the distance of their values."""
    # the textbook's cells are trained as in the papers, teacher-forced in float32; ours in bfloat16, and the default
    # by its curriculum
    frames = torch.stack([torch.from_numpy(bouncing_square(20, 64, seed)) for seed in range(4)])
    clip = to_float(frames)
    lower = autocast_dtype("auto", torch.device("cpu"))

    def forced(num_inputs: int) -> torch.Tensor:  # and the context in any case
        return torch.arange(19).expand(4, 19) < max(10, num_inputs)

    def step(model: nn.Module, teacher_forcing: torch.Tensor | None, dtype: torch.dtype | None) -> float:
        begin = time.perf_counter()
        with PackedWeights():  # as a step of training does
            with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                outputs, _ = unroll(model.train(), clip[:, :-1], teacher_forcing=teacher_forcing)
            (outputs - clip[:, 1:]).square().mean().backward()
        model.zero_grad()
        return time.perf_counter() - begin

    rows = []
    for name, textbook, more in (("convlstm", TextbookConvLstm, {}), ("stlstm", TextbookStLstm, {"decoupling": 0.0})):
        torch.manual_seed(0)
        ours = build(name, (1, 64, 64), 1, hidden_channels=64, num_layers=4, kernel_size=5, patch_size=4, **more)
        plain = textbook(ours)
        with torch.no_grad(), PackedWeights():
            apart = (ours(clip)[0] - plain(clip)[0]).abs().max().item()
        pairs = [(step(plain, None, None), step(ours, None, lower)) for _ in range(ROUNDS + 1)][1:]
        ratio = statistics.median(other / own for other, own in pairs)
        label = f"{name} 64x4, 5x5, patch 4"
        rows += [
            row(f"{label}: values of float32 apart", f"{apart:.1e}", "<= 1e-4", apart <= 1e-4),
            row(f"{label}: training step", f"{ratio:.2f}x as fast ({pairs[0][1]:.2f} s)", ">= 2x", ratio >= 2),
        ]
        if name == "convlstm":
            convlstm = plain
    params = shipped()
    sizes, recipe = params.model.selected.model_dump(exclude=NO_SIZES), params.model.selected.recipe
    default = build(params.model.name, (1, 64, 64), 1, **sizes)
    for label, moments in (
        ("averaged over its training", [(turn + 0.5) / ROUNDS for turn in range(ROUNDS)]),
        ("free-running", [1.0] * ROUNDS),
    ):
        # the first is for warming up
        masks = [forced(10), *(forced(num_forced_inputs(10, 10, recipe.curriculum, moment)) for moment in moments)]
        pairs = [(step(convlstm, None, None), step(default, mask, lower)) for mask in masks][1:]
        ratio = sum(other for other, _ in pairs) / sum(own for _, own in pairs)
        seconds = statistics.mean(own for _, own in pairs)
        label = f"{params.model.name}, {label}, of the textbook's ConvLSTM"
        rows.append(row(label, f"{ratio:.1f}x as fast ({seconds:.3f} s)", ">= 10x", ratio >= 10))
    return rows


CROWDED_STEPS = 5  # beside four busy processes a step of two threads takes seconds


def crowded() -> list[Row]:
    """A step of the default at 32x32 by number of threads, on the machine as it is and beside four busy processes."""
    seconds: dict[tuple[str, int | str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        clips = dataset(Path(folder), 32, 20, 160)
        for place, others in (("as it is", 0), ("beside four", 4)):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
            try:
                for threads in (1, 2, "auto"):
                    run = prepared("foreframe", clips, {"curriculum": 0.0}, num_threads=threads)
                    run.train_step()
                    # auto needs some windows to find out, and what it costs until then is not a step's time
                    deadline = time.monotonic() + (4 * WINDOW_SECONDS if threads == "auto" and others else 0)
                    while time.monotonic() < deadline:
                        run.train_step()
                    times = []
                    for _ in range(CROWDED_STEPS if others else STEPS):
                        begin = time.perf_counter()
                        run.train_step()
                        times.append(time.perf_counter() - begin)
                    seconds[place, threads] = statistics.median(times)
            finally:
                for process in busy:
                    process.kill()
    rows = [
        row(f"{place}, {threads} thread(s)", f"{value:.3f} s", "", None) for (place, threads), value in seconds.items()
    ]
    for place, best, limit in (("as it is", 2, 1.03), ("beside four", 1, 1.1)):
        ratio = seconds[place, "auto"] / seconds[place, best]
        rows.append(row(f"{place}: auto of {best} thread(s)", f"{ratio:.2f}x", f"<= {limit}x", ratio <= limit))
    return rows


def row(what: str, value: str, target: str, met: bool | None) -> Row:
    """One row of the table; `met` is None where there is no target."""
    return {"what": what, "value": value, "target": target, "met": {None: "", True: "yes", False: "NO"}[met]}


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "lstm": lstm,
    "cells": cells,
    "memory": memory,
    "gradients": gradients,
    "crowded": crowded,
}


def main(arguments: list[str]) -> None:
    """Run the benchmarks that are named, or all, and print their table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.train", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--peak", nargs=2, type=int, metavar=("LENGTH", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    huge_pages()  # as the train stage does, for all contestants
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak(*options.peak))
        return
    rows = [row for name in options.names or BENCHMARKS for row in BENCHMARKS[name]()]
    with pd.option_context("display.max_colwidth", None, "display.width", 200):
        print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
