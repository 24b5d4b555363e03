"""How fast clips are read, by the form of the frame store: `python -m tests.benchmarks.loading VIDEO…`.

Each video is extracted by the stage, as arrays and compressed, and stands in the store so many times that it has some
40,000 frames; clips of 20 frames, 5 apart, are drawn in batches of 16, from all frames and from a window of 64 MiB
(train.shuffle_mb). Seconds are of this processor core (other programs may have the rest), the median of three runs; the
files are in the page cache, so that what a disk costs is said by the megabytes.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.clips import COLUMNS, ClipDataset, windows, write_clips
from pipeline.data.frames import FrameStore
from pipeline.params import DataParams, load_params
from pipeline.stages.extract import extract

PARAMS = Path(__file__).parents[2] / "params.yaml"
CONTEXT, HORIZON, STRIDE = 10, 10, 5
BATCH = 16
FRAMES = 40_000
SHUFFLE_MB = 64
RUNS, SECONDS = 3, 2.0


def stored(video: Path, folder: Path, store: str, size: int, color: str) -> tuple[Path, Path, float]:
    """Frames and clips of `video` under many names, one file for all, and the megabytes of a copy of it each."""
    section = load_params(PARAMS).extract.model_dump()
    wanted = type(load_params(PARAMS).extract)(**section | {"size": (size, size), "color": color, "store": store})
    frames = folder / f"{video.stem}-{store}"
    extract(frames, data=DataParams(videos=str(video), roots=()), extract=wanted)
    index = FrameStore(frames).index
    count = int(index["stored_frames"].iloc[0])
    copies = -(-FRAMES // count)
    table = pd.concat([index.assign(path=f"{number:04}.mp4") for number in range(copies)])
    for number in range(copies):
        (frames / f"{number:04}{Path(index['array'].iloc[0]).suffix}").hardlink_to(frames / index["array"].iloc[0])
    table["array"] = [f"{number:04}{Path(index['array'].iloc[0]).suffix}" for number in range(copies)]
    table.to_csv(frames / "index.csv", index=False)
    clips = folder / f"{frames.name}-clips"
    number_of_clips = len(windows(count, CONTEXT + HORIZON, STRIDE))
    rows = pd.DataFrame([(path, "train", 0, count, number_of_clips) for path in table["path"]], columns=COLUMNS)
    write_clips(clips, rows, task="predict", context=CONTEXT, horizon=HORIZON, stride=STRIDE)
    return frames, clips, copies * (frames / index["array"].iloc[0]).stat().st_size / 1e6


def clips_per_second(dataset: ClipDataset) -> float:
    """The median over the runs, each of SECONDS after a beginning that fills the window."""
    speeds = []
    order = dataset.epoch(np.random.default_rng(0))
    position = 0
    for run in range(RUNS + 1):
        begun, done = time.process_time(), 0
        while time.process_time() - begun < SECONDS:
            batch = order[np.arange(position, position + BATCH) % len(order)]
            dataset.pairs(dataset.batch(batch))
            position, done = position + BATCH, done + BATCH
        if run > 0:
            speeds.append(done / (time.process_time() - begun))
    return statistics.median(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loading", description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=64, help="of the stored frames, pixels")
    parser.add_argument("--color", choices=("gray", "rgb"), default="gray")
    options = parser.parse_args()
    print("| video | store | MB | from | clips/s per core |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for video in options.videos:
            for store in ("arrays", "compressed"):
                frames, clips, megabytes = stored(video, Path(folder), store, options.size, options.color)
                for shuffle_mb in (None, SHUFFLE_MB):
                    speed = clips_per_second(ClipDataset(frames, clips, "train", shuffle_mb))
                    drawn = "all frames" if shuffle_mb is None else f"{shuffle_mb} MiB"
                    print(f"| {video.name} | {store} | {megabytes:.0f} | {drawn} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
