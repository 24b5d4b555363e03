"""The embedded data set: handwritten digits that move and bounce, as in Moving MNIST (Srivastava et al. 2015)."""

import logging
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import stage
from pipeline.data.digits import load_digits
from pipeline.params import DataParams, SampleParams
from pipeline.runtime.progress import watched
from pipeline.video import write_video

logger = logging.getLogger(__name__)

SPLIT_SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}  # of the 5,000 digit images, none in two splits


def sample(videos: Path, *, data: DataParams, sample: SampleParams) -> None:
    """Write the folders train, val and test of moving digits to VIDEOS as .mp4 files.

    Nothing is in VIDEOS where data.videos is another folder: who has videos need not wait for digits.
    """
    if Path(data.videos) != videos:
        if videos.exists():
            shutil.rmtree(videos)
        videos.mkdir(parents=True)
        logger.info("data.videos is %s: the embedded sample is not needed, %s stays empty", data.videos, videos)
        return
    counts = {"train": sample.train_videos, "val": sample.val_videos, "test": sample.test_videos}
    digits = load_digits(sample.digit_size)
    shares = share_out(len(digits), np.random.default_rng(sample.seed))
    for number, (split, count) in enumerate(counts.items()):
        folder = videos / split
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        for index in watched(range(count), count, split, "videos"):
            # one random generator per video, so that more or longer videos leave the others as they are
            rng = np.random.default_rng([sample.seed, number, index])
            chosen = digits[rng.choice(shares[split], size=sample.num_digits)]
            corners = [
                bounce(sample.num_frames, sample.frame_size - sample.digit_size, sample.speed, rng) for _ in chosen
            ]
            paths = np.stack(corners) if sample.subpixel else np.rint(corners)
            frames = draw(chosen, paths, sample.frame_size)
            write_video(folder / f"{index:03d}.mp4", iter(frames), sample.fps)
    logger.info("wrote %s videos of %d frames", " + ".join(f"{n} {s}" for s, n in counts.items()), sample.num_frames)


def share_out(num_digits: int, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """The indices of each split's digit images, drawn without replacement."""
    order = rng.permutation(num_digits)
    ends = np.cumsum([round(num_digits * share) for share in SPLIT_SHARES.values()])
    return dict(zip(SPLIT_SHARES, np.split(order, ends[:-1]), strict=True))


def bounce(num_frames: int, room: int, speed: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The top left corner of a digit in each frame, (T, 2): y and x in [0, room] pixels.

    It starts anywhere, goes straight on at `speed` pixels per frame in any direction, and is mirrored at the walls.
    """
    start = rng.uniform(0, room, size=2)
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.sin(angle), np.cos(angle)])
    path = start + speed * direction * np.arange(num_frames)[:, None]  # (T, 2) as if there were no walls
    return room - np.abs(path % (2 * room) - room)  # a mirror at 0 and at room, as often as need be


def draw(digits: NDArray[np.uint8], corners: NDArray[np.float64], frame_size: int) -> NDArray[np.uint8]:
    """uint8 RGB frames (T, H, W, 3) of digits (N, h, w) at corners (N, T, 2); the brighter wins where they overlap."""
    size = digits.shape[1] + 1
    frames = np.zeros((corners.shape[1], frame_size + 1, frame_size + 1), np.uint8)
    for digit, path in zip(digits, corners, strict=True):
        for frame, (y, x) in zip(frames, path, strict=True):
            top, left = int(y), int(x)
            window = frame[top : top + size, left : left + size]
            np.maximum(window, between_pixels(digit, y - top, x - left), out=window)
    return np.repeat(frames[:, :-1, :-1, None], 3, axis=-1)


def between_pixels(digit: NDArray[np.uint8], down: float, right: float) -> NDArray[np.uint8]:
    """`digit` (h, w) moved by less than a pixel, (h + 1, w + 1): each pixel a blend of the four it comes to lie on."""
    padded = np.pad(digit, 1).astype(np.float64)
    rows = (1 - down) * padded[1:] + down * padded[:-1]
    return np.rint((1 - right) * rows[:, 1:] + right * rows[:, :-1]).astype(np.uint8)


if __name__ == "__main__":
    stage.run(sample)
