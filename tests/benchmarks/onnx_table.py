"""`python -m tests.benchmarks.onnx_table`: every convolutional generator in onnxruntime against torch.

Each has the sizes of params.yaml and random weights, beyond those before training; `pretrained` has its own. Prints
the largest difference over 30 steps that `foreframe export` finds, at sizes and batches that were not recorded, and how
many frames of --side pixels per second each makes on the processor, its own output fed back.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import pandas as pd
import torch
from ruamel.yaml import YAML
from torch import nn

from pipeline.inference.onnx_export import export_onnx
from pipeline.inference.steps import steps
from pipeline.model_dir import PRETRAINED, ModelCard, load, save
from pipeline.model_params import NO_SIZES

ROOT = Path(__file__).parents[2]
FLATTENED = ("rnn", "lstm")  # which take one size of frame
CHANNELS, REPEATS = 3, 5


def write_model(folder: Path, name: str, sizes: dict) -> Path:
    """A model directory of the generator, with weights that change something."""
    card = ModelCard(
        name=name, sizes=sizes, frame_shape=(CHANNELS, 64, 64), out_channels=CHANNELS, noise_channels=0, task="predict",
        context=10, horizon=10, data="", metrics={},
    )  # fmt: skip
    torch.manual_seed(0)
    model = card.build()
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    save(folder, model, card)
    return folder


def seconds_per_step(run: Callable[[int], None], num_steps: int) -> float:
    """The median over some repetitions, the first step left out."""
    found = []
    for _ in range(REPEATS):
        run(2)
        begin = time.perf_counter()
        run(num_steps)
        found.append((time.perf_counter() - begin) / num_steps)
    return median(found)


def in_torch(model: nn.Module, side: int) -> Callable[[int], None]:
    def run(num_steps: int) -> None:
        with torch.inference_mode():
            list(islice(steps(model, torch.zeros(1, 1, CHANNELS, side, side)), num_steps))

    return run


def in_onnxruntime(files: list[Path], side: int, threads: int) -> Callable[[int], None]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    begin, step = (onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in files)
    names = [value.name for value in step.get_inputs()]

    def run(num_steps: int) -> None:
        found = begin.run(None, {"frame": np.zeros((1, CHANNELS, side, side), np.float32)})
        for _ in range(num_steps - 1):
            found = step.run(None, dict(zip(names, [*found, np.array([True])], strict=False)))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="height and width of the frames, pixels (default: 64)")
    parser.add_argument("--steps", type=int, default=30, help="frames that are timed (default: 30)")
    parser.add_argument("--threads", type=int, default=2, help="of torch and of onnxruntime (default: 2)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shipped = YAML(typ="safe").load(ROOT / "params.yaml")["model"]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        models = {"foreframe, pretrained": PRETRAINED}
        for name, section in shipped.items():
            if name not in ("name", *FLATTENED):
                sizes = {key: value for key, value in section.items() if key not in NO_SIZES}
                models[name] = write_model(Path(temporary) / name, name, sizes)
        for name, folder in models.items():
            files, difference = export_onnx(folder, Path(temporary) / f"{folder.name}.onnx")
            torch_fps = 1 / seconds_per_step(in_torch(load(folder)[0], args.side), args.steps)
            onnx_fps = 1 / seconds_per_step(in_onnxruntime(files, args.side, args.threads), args.steps)
            rows.append(
                {
                    "model": name,
                    "largest difference": f"{difference:.1e}",
                    "torch, frames/s": f"{torch_fps:.0f}",
                    "onnxruntime, frames/s": f"{onnx_fps:.0f}",
                    "ratio": f"{onnx_fps / torch_fps:.2f}",
                }
            )
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
