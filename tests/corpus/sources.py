"""What is no video file: arrays, stacks, a LeRobot data set, written as the programs that people use write them."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.corpus.build import Encoding, encode

AV1 = (("preset", "10"), ("g", "2"), ("crf", "1"))


def squares(count: int, num_frames: int, side: int = 16, step: int = 1) -> NDArray[np.uint8]:
    """Sequences of a bright square that goes right, each from a place of its own: uint8 (N, T, H, W)."""
    frames = np.zeros((count, num_frames, side, side), np.uint8)
    for n in range(count):
        top, left = (5 * n) % (side - 4), (3 * n) % side
        for t in range(num_frames):
            frames[n, t, top : top + 4, [(left + step * t + column) % side for column in range(4)]] = 40 + n % 200
    return frames


def write_lerobot(folder: Path, episodes: list[int], cameras: tuple[str, ...] = ("observation.images.top",)) -> None:
    """A data set in the layout of lerobot 0.6 (format v3): the frames of all `episodes`, counted, in one AV1 a camera.

    Frame t of the data set is tests.corpus.build.picture(t), 10 of them a second; of the second camera, t + 3.
    """
    fps, total = 10, sum(episodes)
    for number, camera in enumerate(cameras):
        path = folder / "videos" / camera / "chunk-000/file-000.mp4"
        path.parent.mkdir(parents=True)
        encode(path, Encoding("libsvtav1", "mp4", num_frames=total, size=(64, 64), options=AV1, first=3 * number))
    stops = np.cumsum(episodes).tolist()
    columns: dict[str, list] = {
        "episode_index": list(range(len(episodes))),
        "tasks": [["push"]] * len(episodes),
        "length": episodes,
        "data/chunk_index": [0] * len(episodes),
        "data/file_index": [0] * len(episodes),
        "dataset_from_index": [0, *stops[:-1]],
        "dataset_to_index": stops,
        "meta/episodes/chunk_index": [0] * len(episodes),
        "meta/episodes/file_index": [0] * len(episodes),
    }
    for camera in cameras:
        columns |= {
            f"videos/{camera}/chunk_index": [0] * len(episodes),
            f"videos/{camera}/file_index": [0] * len(episodes),
            f"videos/{camera}/from_timestamp": [start / fps for start in [0, *stops[:-1]]],
            f"videos/{camera}/to_timestamp": [stop / fps for stop in stops],
            f"stats/{camera}/mean": [[[[0.5]], [[0.5]], [[0.5]]]] * len(episodes),
        }
    table = folder / "meta/episodes/chunk-000/file-000.parquet"
    table.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pydict(columns), table, compression="snappy")
    pq.write_table(pa.Table.from_pydict({"task_index": [0], "task": ["push"]}), folder / "meta/tasks.parquet")
    video = {"dtype": "video", "shape": [64, 64, 3], "names": ["height", "width", "channels"]}
    info = {
        "codebase_version": "v3.0",
        "robot_type": "so101",
        "total_episodes": len(episodes),
        "total_frames": total,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            "action": {"dtype": "float32", "shape": [6], "names": None},
            **{camera: video | {"info": {"video.codec": "av1", "video.is_depth_map": False}} for camera in cameras},
        },
    }
    (folder / "meta/info.json").write_text(json.dumps(info, indent=4))
    data = folder / "data/chunk-000/file-000.parquet"
    data.parent.mkdir(parents=True)
    rows = {"index": list(range(total)), "timestamp": [t / fps for length in episodes for t in range(length)]}
    pq.write_table(pa.Table.from_pydict(rows), data)
