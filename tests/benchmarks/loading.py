"""How fast clips are read, by the form of the frame store: `python -m tests.benchmarks.loading VIDEO…`.

Each video is extracted by the stage, as arrays and compressed, and stands in the store so many times that it has some
40,000 frames; clips of 20 frames, 5 apart, are drawn in batches of 16, from all frames and from a window of 64 MiB
(train.shuffle_mb). Seconds are of this processor core (other programs may have the rest), the median of three runs; the
files are in the page cache, so that what a disk costs is said by the megabytes.

With --s3: compressed frames in the store, beside the same in a bucket of moto's server on this machine, nothing of them
cached and all of them; seconds of wall and of this process, and how much of a core the server takes meanwhile. An epoch
is read as training reads it, batches ahead are fetched, with --work milliseconds per batch that take no processor, as
of a GPU; each row is the median of --runs.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import psutil

from pipeline.data.clips import COLUMNS, ClipDataset, windows, write_clips
from pipeline.data.frames import FrameStore
from pipeline.data.remote_frames import CACHE_MB, cache_folder, object_name
from pipeline.params import DataParams, load_params
from pipeline.stages.extract import extract
from pipeline.stages.tensorize import tensorize
from pipeline.training.batches import BATCHES_AHEAD
from tests import s3

PARAMS = Path(__file__).parents[2] / "params.yaml"
CONTEXT, HORIZON, STRIDE = 10, 10, 5
BATCH = 16
FRAMES = 40_000
SHUFFLE_MB = 64
RUNS, SECONDS = 3, 2.0
URL = f"s3://{s3.BUCKET}/frames"


def stored(video: Path, folder: Path, store: str, size: int, color: str) -> tuple[Path, Path, float]:
    """Frames and clips of `video` under many names, one file for all, and the megabytes of a copy of it each.

    In the store `s3` each name has an object of its own.
    """
    section = load_params(PARAMS).extract.model_dump()
    where = {"store": "compressed", "store_url": URL} if store == "s3" else {"store": store}
    wanted = type(load_params(PARAMS).extract)(**section | {"size": (size, size), "color": color} | where)
    frames = folder / f"{video.stem}-{store}"
    extract(frames, data=DataParams(videos=str(video), roots=()), extract=wanted)
    index = FrameStore(frames).index
    count, whole = int(index["stored_frames"].iloc[0]), frames / index["array"].iloc[0]
    copies = -(-FRAMES // count)
    table = pd.concat([index.assign(path=f"{number:04}.mp4") for number in range(copies)])
    table["array"] = [f"{video.stem}-{number:04}{whole.suffix}" for number in range(copies)]
    files = fsspec.filesystem("s3") if store == "s3" else None
    for name in table["array"]:
        (frames / name).hardlink_to(whole)
        if files:
            files.copy(f"{URL}/{object_name(whole)}", f"{URL}/{object_name(Path(name))}")
    table.to_csv(frames / "index.csv", index=False)
    clips = folder / f"{frames.name}-clips"
    number_of_clips = len(windows(count, CONTEXT + HORIZON, STRIDE))
    rows = pd.DataFrame([(path, "train", 0, count, number_of_clips) for path in table["path"]], columns=COLUMNS)
    write_clips(clips, rows, task="predict", context=CONTEXT, horizon=HORIZON, stride=STRIDE)
    megabytes = files.info(f"{URL}/{object_name(whole)}")["size"] if files else whole.stat().st_size
    return frames, clips, copies * megabytes / 1e6


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


def read_epoch(frames: Path, clips: Path, shuffle_mb: int, work_seconds: float) -> int:
    """Read each clip once, as training does; returns how many."""
    dataset = ClipDataset(frames, clips, "train", shuffle_mb)
    order = dataset.epoch(np.random.default_rng(0))
    for start in range(0, len(order), BATCH):
        dataset.fetch_ahead(order[start : start + BATCH * BATCHES_AHEAD])
        dataset.pairs(dataset.batch(order[start : start + BATCH]))
        time.sleep(work_seconds)
    return len(order)


def server_seconds() -> float:
    """The processor's, of what this process has started: moto's server."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return sum(each.user + each.system for each in times)


def compare_s3(video: Path, folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, str, list[float]]]:
    """What is done, on which store; frames or clips per second of wall and of this process, the server's share of a
    core."""
    params = load_params(PARAMS)
    section = params.tensorize.model_copy(update={"split": "time"})
    stores = {name: stored(video, folder, name, options.size, options.color)[:2] for name in ("compressed", "s3")}

    def cut(frames: Path, clips: Path) -> int:
        tensorize(frames, clips.with_name("cut"), task="predict", tensorize=section, translate=params.translate)
        return int(FrameStore(frames).index["stored_frames"].sum())

    def epoch(frames: Path, clips: Path) -> int:
        return read_epoch(frames, clips, options.shuffle_mb, 0.0)

    def epoch_with_work(frames: Path, clips: Path) -> int:
        return read_epoch(frames, clips, options.shuffle_mb, options.work / 1000)

    actions: dict[str, Callable[[Path, Path], int]] = {
        "tensorize, frames": cut,
        "an epoch, clips": epoch,
        f"an epoch, clips, {options.work:g} ms per batch": epoch_with_work,
    }
    for what, action in actions.items():
        speeds: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(options.runs):  # in turn, so that what else runs here meets all alike
            for name, cache_mb in (("compressed", ""), ("s3", "0"), ("s3, cached", "4096")):
                frames, clips = stores[name.partition(",")[0]]
                if cache_mb == "0":
                    shutil.rmtree(cache_folder(frames), ignore_errors=True)
                os.environ[CACHE_MB] = cache_mb or "0"
                if name == "s3, cached":
                    action(frames, clips)
                begun = time.monotonic(), time.process_time(), server_seconds()
                done = action(frames, clips)
                ended = time.monotonic(), time.process_time(), server_seconds()
                seconds, processor, server = (end - begin for begin, end in zip(begun, ended, strict=True))
                speeds.setdefault(name, []).append((done / seconds, done / processor, server / seconds))
        for name, rows in speeds.items():
            yield what, name, [statistics.median(values) for values in zip(*rows, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.loading", description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=64, help="of the stored frames, pixels")
    parser.add_argument("--color", choices=("gray", "rgb"), default="gray")
    parser.add_argument("--s3", action="store_true", help="compressed frames here and in object storage")
    parser.add_argument("--work", type=float, default=10.0, help="milliseconds per batch, with --s3")
    parser.add_argument("--shuffle-mb", type=int, default=SHUFFLE_MB, help="the window, with --s3")
    parser.add_argument("--runs", type=int, default=RUNS, help="with --s3")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the copies of a video are one to tensorize
    with tempfile.TemporaryDirectory() as folder:
        if options.s3:
            print("| video | what | store | per second | per second of processor | server, cores |")
            print("| --- | --- | --- | --- | --- | --- |")
            with s3.service():
                for video in options.videos:
                    for what, store, (wall, processor, server) in compare_s3(video, Path(folder), options):
                        speeds = f"{wall:,.0f} | {processor:,.0f} | {server:.2f}"
                        print(f"| {video.name} | {what} | {store} | {speeds} |", flush=True)
            return
        print("| video | store | MB | from | clips/s per core |\n| --- | --- | --- | --- | --- |")
        for video in options.videos:
            for store in ("arrays", "compressed"):
                frames, clips, megabytes = stored(video, Path(folder), store, options.size, options.color)
                for shuffle_mb in (None, SHUFFLE_MB):
                    speed = clips_per_second(ClipDataset(frames, clips, "train", shuffle_mb))
                    drawn = "all frames" if shuffle_mb is None else f"{shuffle_mb} MiB"
                    print(f"| {video.name} | {store} | {megabytes:.0f} | {drawn} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
