"""`python -m tests.small_params FOLDER` makes FOLDER/params.yaml small: `dvc repro` there then takes seconds."""

import argparse
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SMALL: dict[str, dict[str, Any]] = {
    "sample": {
        "train_videos": 8,
        "val_videos": 2,
        "test_videos": 3,
        "num_frames": 12,
        "frame_size": 16,
        "digit_size": 8,
    },
    "extract": {"size": [16, 16]},
    "tensorize": {"context": 4, "horizon": 4, "stride": 2},
    "train": {"num_threads": 1},  # two threads wait for each other when tests share the machine
    "evaluate": {"batch_size": 4, "lpips": "off"},
    "render": {"num_clips": 2, "long_horizon": 10},
}
# whatever the generator, so that a new one needs no line here
SMALL_MODEL = {"hidden_size": 8, "hidden_channels": 8}
SMALL_RECIPE = {"epochs": 2, "batch_size": 4}


def make_small(path: Path) -> None:
    """Rewrite the params file at `path` in place, comments and order kept."""
    yaml = YAML()
    yaml.width = 1000
    params = yaml.load(path)
    for section, values in SMALL.items():
        params[section].update(values)
    for name, section in params["model"].items():
        if name != "name":
            section.update({key: value for key, value in SMALL_MODEL.items() if key in section})
            section["recipe"].update(SMALL_RECIPE)
    yaml.dump(params, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.small_params", description=__doc__)
    parser.add_argument("folder", type=Path, help="a copy of the repository: its params.yaml is rewritten")
    folder = parser.parse_args().folder
    if not (folder / "params.yaml").is_file():
        parser.error(f"{folder}: holds no params.yaml")
    make_small(folder / "params.yaml")
