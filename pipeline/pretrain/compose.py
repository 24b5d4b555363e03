"""Stage of pretraining: compose the scenes, as one array per split."""

import logging
from pathlib import Path

import cv2
import numpy as np

from pipeline import stage
from pipeline.data.arrays import write_array
from pipeline.pretrain.params import ComposeParams, load_params
from pipeline.pretrain.photographs import photographs
from pipeline.pretrain.scenes import scene

logger = logging.getLogger(__name__)


def compose(scenes: Path, *, compose: ComposeParams) -> None:
    """Write SCENES/train.npy and val.npy, uint8 (N, T, H, W, 3) each."""
    cv2.setNumThreads(1)
    pictures = photographs()
    scenes.mkdir(parents=True, exist_ok=True)
    for number, (split, count) in enumerate((("train", compose.train_scenes), ("val", compose.val_scenes))):
        generators = (np.random.default_rng([compose.seed, number, index]) for index in range(count))
        made = (scene(generator, pictures, compose.num_frames, compose.size) for generator in generators)
        write_array(scenes / f"{split}.npy", made)
        logger.info("%s: %d scenes of %d frames", split, count, compose.num_frames)


if __name__ == "__main__":
    stage.run(compose, load_params)
