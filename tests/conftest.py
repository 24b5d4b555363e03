"""Small real things that tests share: frame stores, 8-pixel videos, a tiny model that was trained on them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from pipeline.data.clips import COLUMNS, ClipDataset, to_float, write_clips
from pipeline.model_dir import ModelCard, save
from pipeline.models import build
from pipeline.nn.rollout import predict
from pipeline.params import DataParams, load_params
from pipeline.video import write_video

Arrays = Mapping[str, NDArray[np.uint8]]


ROOT = Path(__file__).parent.parent
CONTEXT, HORIZON = 3, 4  # of the tiny clips


def write_store(folder: Path, videos: Arrays, sha256: Mapping[str, str] | None = None) -> Path:
    """Write a frame store of `videos` (path -> uint8 (T, H, W, C)) to `folder`, as `extract` leaves one."""
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


def data_in(videos: Path, *roots: Path) -> DataParams:
    """The section `data` of params.yaml for the folder `videos`."""
    return DataParams(videos=str(videos), roots=tuple(str(root) for root in roots))


def videos_in(folder: Path) -> dict[str, Any]:
    """What `render` is told of where the videos are: those in `folder`, extracted as shipped but for their size."""
    extract = load_params(ROOT / "params.yaml").extract
    return {"data": data_in(folder), "extract": extract.model_copy(update={"size": (8, 8)})}


def moving_bar(num_frames: int, first: int, channels: int = 1) -> NDArray[np.uint8]:
    """A bar, 2 pixels wide, that goes right by a pixel a frame and comes in again at the left: (T, 8, 8, C)."""
    frames = np.zeros((num_frames, 8, 8, channels), np.uint8)
    for t in range(num_frames):
        frames[t, :, [(first + t) % 8, (first + t + 1) % 8]] = 255
    return frames


@pytest.fixture
def make_store(tmp_path) -> Callable[..., Path]:
    """Writes a frame store of the given videos under tmp_path."""

    def make(videos: Arrays, sha256: Mapping[str, str] | None = None) -> Path:
        return write_store(tmp_path / "frames", videos, sha256)

    return make


@pytest.fixture(scope="session")
def bar_video(tmp_path_factory) -> Path:
    """An .mp4 of 8 x 8 pixels, 12 frames at 12.5 frames a second: a moving bar."""
    path = tmp_path_factory.mktemp("video") / "bar.mp4"
    write_video(path, (np.repeat(frame, 3, axis=-1) for frame in moving_bar(12, 2)), 12.5)
    return path


@dataclass(frozen=True)
class Tiny:
    """Folders as the stages leave them."""

    frames: Path
    clips: Path
    model: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    """Moving bars in a frame store, their clips, and a ConvLSTM that has learnt in a second to continue them."""
    folder = tmp_path_factory.mktemp("tiny")
    splits = {
        f"{split}/{i}.mp4": split for split, count in (("train", 8), ("val", 2), ("test", 3)) for i in range(count)
    }
    frames = write_store(folder / "frames", {video: moving_bar(10, i) for i, video in enumerate(splits)})
    length = CONTEXT + HORIZON
    rows = [(video, split, 0, 10, (10 - length) // 3 + 1) for video, split in splits.items()]
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_clips(folder / "clips", table, task="predict", context=CONTEXT, horizon=HORIZON, stride=3)

    dataset = ClipDataset(frames, folder / "clips", "train")
    sizes = {"hidden_channels": 12, "num_layers": 1, "kernel_size": 3, "patch_size": 2}
    torch.manual_seed(0)
    model = build("convlstm", dataset.frame_shape, 1, **sizes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    clips = to_float(dataset.gather(range(len(dataset))))
    for _ in range(100):
        predicted = predict(model, clips[:, :CONTEXT], HORIZON)
        loss = (predicted - clips[:, CONTEXT:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    card = ModelCard(
        name="convlstm",
        sizes=sizes,
        frame_shape=dataset.frame_shape,
        out_channels=1,
        noise_channels=0,
        task="predict",
        context=CONTEXT,
        horizon=HORIZON,
        data="bars",
        metrics={"mse": loss.item()},
    )
    save(folder / "model", model, card)
    return Tiny(frames, folder / "clips", folder / "model")


@pytest.fixture
def numbered() -> Callable[..., NDArray[np.uint8]]:
    """A video of 2 x 2 grey frames, all of frame t being `first` + t: (T, 2, 2, 1)."""

    def make(num_frames: int, first: int = 0) -> NDArray[np.uint8]:
        values = (np.arange(num_frames) + first).astype(np.uint8)
        return np.broadcast_to(values[:, None, None, None], (num_frames, 2, 2, 1)).copy()

    return make
