"""Every generator, objective and task on a GPU: trained, measured, rendered, applied; errors as on the processor."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import model_dir
from pipeline.data.clips import ClipDataset
from pipeline.errors import ModelError
from pipeline.inference.generation import continue_video
from pipeline.inference.translation import translate_video
from pipeline.measuring import evaluation
from pipeline.models import MODELS
from pipeline.runtime import devices, memory
from pipeline.training import loop
from pipeline.video import read_frames, write_video
from tests.faults.combinations import COMBINATIONS, bars, reproduce

pytestmark = pytest.mark.gpu
TOLERANCE = 1e-4  # by how much errors on CPU and GPU may differ, relative to the larger


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """The bars, for all combinations."""
    return bars(tmp_path_factory.mktemp("bars") / "frames")


@pytest.fixture
def video(tmp_path):
    """Twelve frames of 8 x 8, the only size that some generators take."""
    path = tmp_path / "in.mp4"
    ramp = np.linspace(0, 255, 8, dtype=np.uint8)
    write_video(path, (np.broadcast_to(np.roll(ramp, i)[None, :, None], (8, 8, 3)) for i in range(12)), 10)
    return path


@pytest.mark.parametrize(("name", "objective", "task"), COMBINATIONS)
def test_every_combination_passes_the_stages_and_is_applied_to_a_video(
    frames, tmp_path, video, monkeypatch, caplog, name, objective, task
):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        reproduce(frames, tmp_path / "data", name, objective, task)
    assert f"training on {torch.cuda.get_device_name()}" in caplog.text
    summary = json.loads((tmp_path / "data/metrics/metrics.json").read_text())["model"]
    assert np.isfinite(list(summary.values())).all()
    output = tmp_path / "out.mp4"
    if task == "predict":
        continue_video(video, output, tmp_path / "data/model", 3)
    else:
        translate_video(video, output, tmp_path / "data/model", degrade=True, tile=None)
    assert len(list(read_frames(output))) == (15 if task == "predict" else 12)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seeds_give_nearly_the_same_weights(frames, tmp_path, monkeypatch, name):
    # not the same bytes: the gradients of grid_sample and of some convolutions are summed by atomic additions
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        reproduce(frames, tmp_path / place / "data", name, "pixel", "predict")
        found.append(json.loads((tmp_path / place / "data/metrics/metrics.json").read_text())["model"]["mse"])
    print(f"{name}: MSE {found[0]!r} and {found[1]!r}")
    assert found[0] == pytest.approx(found[1], rel=1e-2)


@pytest.mark.parametrize("name", MODELS)
def test_a_models_errors_are_those_on_the_processor(frames, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    reproduce(frames, data, name, "pixel", "predict")
    dataset = ClipDataset(frames, data / "clips", "test")
    errors = {}
    for kind in ("cpu", "cuda"):
        model, card = model_dir.load(data / "model", torch.device(kind))
        predictors = {"model": evaluation.predictor(model, card, dataset.horizon, torch.device(kind))}
        errors[kind] = evaluation.measure(predictors, dataset, range(len(dataset)), 4)["model"]
    for metric, values in errors["cpu"].items():
        np.testing.assert_allclose(errors["cuda"][metric], values, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_training_goes_on_where_it_was_on_another_device(frames, tmp_path, monkeypatch, caplog, first, then):
    monkeypatch.chdir(tmp_path)
    available = torch.cuda.is_available

    def on(kind):
        monkeypatch.setattr(torch.cuda, "is_available", available if kind == "cuda" else lambda: False)
        # Accelerate keeps the device for the life of the process
        loop.accelerator().state._reset_state(reset_partial_state=True)

    class Cut(Exception):
        pass

    on(first)
    save = loop.Training.save
    with monkeypatch.context() as patch:

        def save_and_stop(training, checkpoint):
            save(training, checkpoint)
            raise Cut

        patch.setattr(loop.Training, "save", save_and_stop)
        with pytest.raises(Cut):
            reproduce(frames, tmp_path / "data", "foreframe", "pixel", "predict")
    on(then)
    with caplog.at_level(logging.INFO):
        reproduce(frames, tmp_path / "data", "foreframe", "pixel", "predict")
    assert "going on at step" in caplog.text
    assert len(losses(tmp_path / "data/training/plots/metrics/train_loss.tsv")) == 2


def losses(path: Path) -> list[dict[str, str]]:
    """The rows that DVCLive wrote."""
    return list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))


def test_memory_that_a_gpu_does_not_have_is_said_before_it_is_taken(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available", lambda device: 2**20)
    with pytest.raises(ModelError, match=r"needs about .* lower"):
        reproduce(frames, tmp_path / "data", "convlstm", "pixel", "predict")


def test_best_device_is_the_gpu():
    assert devices.best_device().type == "cuda"
