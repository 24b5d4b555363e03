"""Small real things that tests share: a frame store, a folder of clips."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.uint8]]


@pytest.fixture
def make_store(tmp_path) -> Callable[[Arrays], Path]:
    """Writes a frame store of the given videos (path -> uint8 (T, H, W, C)), as `extract` leaves one."""

    def make(videos: Arrays, sha256: Mapping[str, str] | None = None) -> Path:
        folder = tmp_path / "frames"
        rows = []
        for video, frames in videos.items():
            array = f"{video}.npy"
            (folder / array).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / array, frames)
            num_frames, height, width, _ = frames.shape
            rows.append(
                {
                    "path": video,
                    "status": "ok",
                    "reason": "",
                    "sha256": (sha256 or {}).get(video, hashlib.sha256(video.encode()).hexdigest()),
                    "num_frames": num_frames,
                    "fps": 10.0,
                    "height": height,
                    "width": width,
                    "duration_seconds": num_frames / 10,
                    "stored_frames": num_frames,
                    "array": array,
                }
            )
        pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
        return folder

    return make


@pytest.fixture
def numbered() -> Callable[..., NDArray[np.uint8]]:
    """A video of 2 x 2 grey frames, all of frame t being `first` + t: (T, 2, 2, 1)."""

    def make(num_frames: int, first: int = 0) -> NDArray[np.uint8]:
        values = (np.arange(num_frames) + first).astype(np.uint8)
        return np.broadcast_to(values[:, None, None, None], (num_frames, 2, 2, 1)).copy()

    return make
