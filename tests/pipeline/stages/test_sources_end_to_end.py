"""Every kind of source goes through all stages on small parameters."""

import json
import math
from itertools import count

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image

from pipeline.data.clips import ClipDataset
from pipeline.data.frames import faults
from pipeline.params import TranslateParams
from pipeline.stages.tensorize import tensorize
from tests.conftest import CONTEXT, HORIZON
from tests.corpus.sources import squares, write_lerobot
from tests.faults.combinations import reproduce, small
from tests.pipeline.stages.sources import extracted

pytestmark = pytest.mark.usefixtures("read")
VIDEOS, LENGTH = 16, CONTEXT + HORIZON + 3


def arrays(folder):
    np.save(folder / "mnist_test_seq.npy", squares(VIDEOS, LENGTH).transpose(1, 0, 2, 3))


def openstl(folder):
    for name, part in zip(("train", "val", "test"), np.split(squares(VIDEOS, LENGTH), (8, 12)), strict=True):
        np.save(folder / f"{name}.npy", part)


def packed(folder):
    np.savez_compressed(folder / "clips.npz", clips=(squares(VIDEOS, LENGTH) / 64).astype(np.float32))


def hdf5(folder):
    with h5py.File(folder / "clips.h5", "w") as file:
        file["clips"] = squares(VIDEOS, LENGTH)


def zarrs(folder):
    for number, video in enumerate(squares(VIDEOS, LENGTH)):
        array = zarr.open(store=str(folder / f"{number}.zarr"), mode="w", shape=video.shape, dtype="u1")
        array[:] = video


def tiffs(folder):
    for number, video in enumerate(squares(VIDEOS, LENGTH)):
        tifffile.imwrite(folder / f"{number}.tif", video, photometric="minisblack")


def webps(folder):
    for number, video in enumerate(squares(VIDEOS, LENGTH)):
        pictures = [Image.fromarray(np.repeat(frame[..., None], 3, axis=-1)) for frame in video]
        pictures[0].save(
            folder / f"{number}.webp", save_all=True, append_images=pictures[1:], duration=40, lossless=True
        )


def lerobot(folder):
    write_lerobot(folder, [LENGTH + number for number in range(6)])


def listed(folder):
    np.save(folder / "clips.npy", squares(VIDEOS, LENGTH))
    for number, video in zip(count(), squares(VIDEOS + 8, LENGTH)[VIDEOS:], strict=False):
        np.save(folder / f"{number}.npy", video)
    rows = [f"{number}.npy,{'test' if number < 4 else 'val'}" for number in range(8)]
    (folder / "list.csv").write_text("\n".join(["path,split", "clips.npy,train", *rows]) + "\n")


KINDS = {build.__name__: build for build in (arrays, openstl, packed, hdf5, zarrs, tiffs, webps, lerobot, listed)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_source_goes_through_all_stages(tmp_path, monkeypatch, kind):
    (tmp_path / "in").mkdir()
    KINDS[kind](tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    store = extracted(tmp_path, "in/list.csv" if kind == "listed" else "in", size=(8, 8))
    reproduce(tmp_path / "out", tmp_path / "data", "convlstm", "pixel", "predict")
    summary = json.loads((tmp_path / "data/metrics/metrics.json").read_text())
    assert all(math.isfinite(value) for key, value in summary["model"].items() if key != "intervals")
    assert {"clip_00.mp4", "sheet.png", "index.html"} <= {path.name for path in (tmp_path / "data/renders").iterdir()}
    said = {video: split for video, split in store.index["split"].items() if split}
    if kind in ("openstl", "listed"):
        table = pd.read_csv(tmp_path / "data/clips/clips.csv")
        assert dict(zip(table["video"], table["split"], strict=True)) == said


def test_pairs_of_a_list_train_a_translation(tmp_path):
    (tmp_path / "in").mkdir()
    clean = squares(VIDEOS, LENGTH)
    np.save(tmp_path / "in/clean.npy", clean)
    np.save(tmp_path / "in/dark.npy", clean // 2)
    (tmp_path / "in/list.csv").write_text("path,target\ndark.npy,clean.npy\n")
    store = extracted(tmp_path, "in/list.csv", size=(8, 8))
    assert len(store.videos) == 2 * VIDEOS
    params = small("convlstm", "pixel")
    pairs = TranslateParams(**{**dict(params.translate), "source": "source", "target": "target"})
    tensorize(tmp_path / "out", tmp_path / "clips", task="translate", tensorize=params.tensorize, translate=pairs)
    dataset = ClipDataset(tmp_path / "out", tmp_path / "clips", "train")
    assert len(dataset) > 0


def test_compressed_frames_go_through_all_stages_and_give_the_same_model(tmp_path, monkeypatch):
    weights, metrics, stores = [], [], []
    for name in ("arrays", "compressed"):
        (tmp_path / name / "in").mkdir(parents=True)
        arrays(tmp_path / name / "in")
        monkeypatch.chdir(tmp_path / name)
        stores.append(extracted(tmp_path / name, size=(8, 8), store=name))
        reproduce(tmp_path / name / "out", tmp_path / name / "data", "convlstm", "pixel", "predict")
        weights.append((tmp_path / name / "data/model/model.safetensors").read_bytes())
        metrics.append((tmp_path / name / "data/metrics/horizon.csv").read_text())
        assert list(faults(tmp_path / name / "out")) == []
    assert {path.suffix for path in (tmp_path / "compressed/out").iterdir()} == {".frames", ".csv", ".json"}
    assert all(np.array_equal(stores[0].load(video)[:], stores[1].load(video)[:]) for video in stores[0].videos)
    assert weights[0] == weights[1]
    assert metrics[0] == metrics[1]
