"""Tests of the train stage: what it writes, that it repeats, and that the model it writes is the best one."""

import json

import pandas as pd
import pytest
import torch

from pipeline import model_dir
from pipeline.data.clips import COLUMNS, ClipDataset, to_float, write_clips
from pipeline.data.translation import Translation
from pipeline.errors import ModelError
from pipeline.metrics import mse
from pipeline.nn.rollout import predict
from pipeline.params import load_params
from pipeline.stages.evaluate import evaluate
from pipeline.stages.train import train
from tests.conftest import moving_bar, write_store


@pytest.fixture
def sections(request):
    params = load_params(request.config.rootpath / "params.yaml")
    recipe = params.model.rnn.recipe.model_copy(update={"epochs": 3, "batch_size": 4})
    rnn = params.model.rnn.model_copy(update={"hidden_size": 8, "recipe": recipe})
    return {
        "extract": params.extract.model_copy(update={"fit": "pad", "fps": 10.0}),
        "task": "predict",
        "translate": params.translate,
        "model": params.model.model_copy(update={"name": "rnn", "rnn": rnn}),
        "train": params.train.model_copy(update={"num_threads": 1}),
    }


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_writes_the_best_model_and_how_training_went(tiny, sections, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tiny.frames, tiny.clips, tmp_path / "model", tmp_path / "training", **sections)

    model, card = model_dir.load(tmp_path / "model")
    assert (card.name, card.frame_shape, card.context, card.horizon) == ("rnn", (1, 8, 8), 3, 4)
    assert (card.fit, card.fps) == ("pad", 10.0)
    assert card.sizes == {"hidden_size": 8, "num_layers": 1, "nonlinearity": "tanh"}
    clips = ClipDataset(tiny.frames, tiny.clips, "val")
    frames = to_float(clips.gather(range(len(clips))))
    with torch.no_grad():
        error = mse(predict(model, frames[:, :3], 4), frames[:, 3:]).mean().item()
    history = pd.read_csv(tmp_path / "training/plots/metrics/val_mse.tsv", sep="\t")
    assert history["step"].tolist() == [0, 1, 2]
    assert card.metrics["val_mse"] == pytest.approx(history["val_mse"].min())
    # training may run in bfloat16
    assert error == pytest.approx(card.metrics["val_mse"], rel=0.05)
    assert json.loads((tmp_path / "training/metrics.json").read_text())["step"] == 2
    norms = pd.read_csv(tmp_path / "training/gradients.csv")
    assert norms["steps_back"].tolist() == [1, 2, 3, 4, 5]
    assert (norms[["before", "after"]] > 0).all(axis=None)


def test_it_repeats_and_a_finished_training_is_taken_from_its_checkpoint(tiny, sections, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for attempt in ("first", "again"):
            train(tiny.frames, tiny.clips, tmp_path / name / attempt, tmp_path / name / attempt / "history", **sections)
    written = files(tmp_path / "one/first")
    assert len(written) > 5
    for other in ("one/again", "two/first", "two/again"):
        assert files(tmp_path / other) == written


def test_other_parameters_do_not_go_on_from_its_checkpoint(tiny, sections, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tiny.frames, tiny.clips, tmp_path / "a", tmp_path / "ah", **sections)
    changed = sections | {"train": sections["train"].model_copy(update={"seed": 1})}
    train(tiny.frames, tiny.clips, tmp_path / "b", tmp_path / "bh", **changed)
    assert files(tmp_path / "a")["model.safetensors"] != files(tmp_path / "b")["model.safetensors"]
    assert len(list((tmp_path / ".train").iterdir())) == 2


def test_a_translation_is_learnt_from_crops_and_measured(sections, request, tmp_path, monkeypatch):
    """The other task from pairs to figures: trained on crops of 8 x 8 pixels, measured on frames of 16 x 16."""
    monkeypatch.chdir(tmp_path)
    noise = Translation(source=None, target=None, degradation="noise", strength=80.0, seed=0)
    splits = {
        f"{split}/{i}.mp4": split for split, count in (("train", 8), ("val", 2), ("test", 3)) for i in range(count)
    }
    bars = {video: moving_bar(10, i).repeat(2, 1).repeat(2, 2) for i, video in enumerate(splits)}
    frames = write_store(tmp_path / "frames", bars)
    table = pd.DataFrame([(video, split, 0, 10, 2) for video, split in splits.items()], columns=COLUMNS)
    write_clips(tmp_path / "clips", table, task="translate", context=3, horizon=4, stride=3, translation=noise)
    params = load_params(request.config.rootpath / "params.yaml")
    recipe = params.model.convlstm.recipe.model_copy(
        update={"epochs": 25, "batch_size": 4, "learning_rate": 0.01, "ema_decay": 0.0}
    )
    conv = params.model.convlstm.model_copy(
        update={"hidden_channels": 12, "num_layers": 1, "patch_size": 2, "recipe": recipe}
    )
    train(
        frames,
        tmp_path / "clips",
        tmp_path / "model",
        tmp_path / "history",
        extract=sections["extract"],
        task="translate",
        translate=sections["translate"].model_copy(update={"residual": True}),
        model=sections["model"].model_copy(update={"name": "convlstm", "convlstm": conv}),
        train=sections["train"].model_copy(update={"crop": 8}),
    )
    _, card = model_dir.load(tmp_path / "model")
    assert card.frame_shape == (1, 16, 16)
    assert (card.task, card.translation, card.residual, card.carry) == ("translate", noise, True, 0.0)

    evaluate(frames, tmp_path / "clips", tmp_path / "model", tmp_path / "metrics", evaluate=params.evaluate)
    figures = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert set(figures) == {"model", "stateless", "identity", "bilateral", "sharpened", "background", "useful_horizon"}
    assert figures["model"]["mse"] < 0.7 * figures["identity"]["mse"]
    assert figures["model"]["flicker"] < 0.8 * figures["identity"]["flicker"]


def test_crops_are_for_generators_that_take_any_size(tiny, sections, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cropped = sections | {"train": sections["train"].model_copy(update={"crop": 16})}
    with pytest.raises(ModelError, match="rnn takes frames of 8x8 pixels only, not 16x16; a convolutional one"):
        train(tiny.frames, tiny.clips, tmp_path / "model", tmp_path / "history", **cropped)
