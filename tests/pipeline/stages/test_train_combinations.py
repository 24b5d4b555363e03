"""Every generator × objective × task goes through the real stages on small parameters, in one process.

`python -m tests.faults.combinations` prints the table of them.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import model_dir
from tests.faults.combinations import COMBINATIONS, bars, reproduce


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """The bars, for all combinations."""
    return bars(tmp_path_factory.mktemp("bars") / "frames")


@pytest.mark.parametrize(("name", "objective", "task"), COMBINATIONS)
def test_every_generator_passes_the_stages_with_every_objective_for_every_task(
    frames, tmp_path, monkeypatch, name, objective, task
):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    reproduce(frames, data, name, objective, task)

    model, card = model_dir.load(data / "model")
    assert (card.name, card.task) == (name, task)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    losses = pd.read_csv(data / "training/plots/metrics/train_loss.tsv", sep="\t")["train_loss"]
    assert np.isfinite(losses).all()
    assert len(losses) == 2
    summary = json.loads((data / "metrics/metrics.json").read_text())
    assert all(math.isfinite(value) for key, value in summary["model"].items() if key != "intervals")
    table = pd.read_csv(data / "metrics/horizon.csv")
    assert np.isfinite(table.loc[table["method"] == "model", ["mse", "mae", "psnr", "ssim"]]).all(axis=None)
    films = ["clip_00.mp4", "clip_00_0.webp"] + (["rollout.mp4", "rollout_0.webp"] if task == "predict" else [])
    written = {path.name: path.stat().st_size for path in (data / "renders").iterdir()}
    assert sorted(written) == sorted([*films, "index.html", "preview.webp", "sheet.png"])
    assert all(written.values())
