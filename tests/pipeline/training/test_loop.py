"""Tests of pipeline/training/loop.py: it learns, keeps the best, stops in time, and goes on after a kill."""

import copy

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.model_params import NO_SIZES
from pipeline.models import MODELS, build
from pipeline.params import load_params
from pipeline.training import loop
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.loop import Training, fit
from tests.pipeline.training.conftest import RNN, make, same


class Killed(Exception):
    """Stands for SIGKILL: nothing of ours runs after it."""


@pytest.mark.parametrize("name", MODELS)
def test_every_generator_trains_by_its_recipe(data, request, name):
    params = load_params(request.config.rootpath / "params.yaml")
    section = getattr(params.model, name)
    recipe = section.recipe.model_copy(update={"epochs": 3})
    torch.manual_seed(0)
    model = build(name, (1, 8, 8), 1, **section.model_dump(exclude=NO_SIZES))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fitted = fit(model, *data, recipe=recipe, train=params.train.model_copy(update={"num_threads": 1}))
    assert len(fitted.history) == 3
    assert not same(fitted.weights, before)


def test_it_learns_and_says_how_it_went(data, sections):
    rows = []
    fitted = fit(make(), *data, **sections({"epochs": 60}), on_epoch=rows.append)
    assert len(rows) == 60
    assert rows == fitted.history
    assert rows[-1]["train_loss"] < 0.3 * rows[0]["train_loss"]
    assert fitted.best["val_mse"] < 0.6 * rows[0]["val_mse"]
    assert set(rows[0]) == {"train_loss", "val_mse", "val_ssim", "learning_rate"}


def test_the_best_weights_are_kept_not_the_last(data, sections):
    model, rows = make(), []

    def spoil_after_the_second(row):
        rows.append(row)
        if len(rows) == 2:
            torch.nn.init.constant_(model.output.bias, 2.0)

    fitted = fit(model, *data, **sections({"epochs": 4}), on_epoch=spoil_after_the_second)
    errors = [row["val_mse"] for row in fitted.history]
    assert errors[-1] > min(errors)
    assert fitted.best["val_mse"] == min(errors)
    assert errors[fitted.best_epoch - 1] == min(errors)
    model = make()
    model.load_state_dict(fitted.weights)
    assert Training(model, *data, **sections()).validation.measure(model)["val_mse"] == min(errors)


@pytest.mark.parametrize(("few", "remedy"), [(1, "lower the"), (100, "12 steps are few: add video, raise the")])
def test_the_initial_weights_are_kept_where_training_only_spoils_them(data, sections, caplog, monkeypatch, few, remedy):
    model = make()
    model.load_state_dict(fit(model, *data, **sections({"epochs": 60})).weights)
    initial = copy.deepcopy(model.state_dict())
    errors = Training(model, *data, **sections()).validation.measure(model)

    monkeypatch.setattr(loop, "FEW_STEPS", few)
    spoilt = fit(model, *data, **sections({"epochs": 2, "learning_rate": 1.0, "schedule": "constant"}))
    assert min(row["val_mse"] for row in spoilt.history) > errors["val_mse"]
    assert spoilt.best == errors
    assert same(spoilt.weights, initial)
    assert spoilt.best_epoch == 0
    assert spoilt.start_kept_because.startswith(f"training never got better than its start; {remedy}")
    assert "recipe's learning_rate (1)" in spoilt.start_kept_because
    assert f"the weights it began with are kept: {spoilt.start_kept_because}" in caplog.text
    assert not same(model.state_dict(), initial), "the weights that are kept are a copy"


def test_where_the_budget_ended_it_after_few_steps_that_is_the_reason(data, sections, monkeypatch):
    def begin_at_the_best(training):
        training.progress.keep_if_best(training.model, {"val_mse": 0.0, "val_ssim": 1.0}, epoch=0)

    monkeypatch.setattr(Training, "validate_start", begin_at_the_best)
    fitted = fit(make(), *data, **sections({"epochs": 1000}, max_minutes=1e-9))
    assert fitted.start_kept_because == (
        "training never got better than its start; train.max_minutes (1e-09) ended it after 1 of 6,000 steps: raise it"
    )


def test_a_killed_training_mixes_with_the_weights_that_it_began_with(data, sections):
    settings = sections({"epochs": 3})
    first = Training(make(), *data, **settings, mix_with_start=True)
    for _ in range(2):  # the first is a warm-up of no length
        first.train_step()
    resumed = Training(make(), *data, **settings, mix_with_start=True)
    resumed.load_state_dict(first.state_dict())
    assert same(resumed.start, make().state_dict())
    assert not same(resumed.model.state_dict(), resumed.start)


@pytest.mark.parametrize("name", ["rnn", "convlstm"])
@pytest.mark.parametrize(
    "changes", [{}, {"recipe": {"sampling": "reverse", "ema_decay": 0.9}, "noise_channels": 0, "precision": "bf16"}]
)
def test_the_same_seed_gives_the_same_bits(data, sections, name, changes):
    first, second = (fit(make(name), *data, **sections(**changes)) for _ in range(2))
    assert same(first.weights, second.weights)
    assert first.history == second.history
    assert not same(first.weights, fit(make(name), *data, **sections(**changes, seed=1)).weights)


def kill_when(monkeypatch, condition):
    """The next training dies before the first step at which `condition` holds for it."""
    step = Training.train_step

    def step_or_die(training):
        if condition(training):
            monkeypatch.setattr(Training, "train_step", step)
            raise Killed
        step(training)

    monkeypatch.setattr(Training, "train_step", step_or_die)


@pytest.mark.parametrize("killed_at", [1, 2, 5, 7, 11, 15])
def test_a_killed_training_ends_with_the_bits_of_an_unbroken_one(data, sections, tmp_path, monkeypatch, killed_at):
    settings = sections({"ema_decay": 0.9, "sampling": "scheduled", "optimizer": "muon", "curriculum": 0.5})
    unbroken = fit(make(), *data, **settings)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    checkpoint = CheckpointFile(tmp_path, "key")
    kill_when(monkeypatch, lambda training: training.progress.step == killed_at)
    with pytest.raises(Killed):
        fit(make(), *data, **settings, state=checkpoint)
    rows = []
    # other weights at the start, to see that the saved ones are taken
    resumed = fit(make(seed=5), *data, **settings, state=checkpoint, on_epoch=rows.append)
    assert same(resumed.weights, unbroken.weights)
    assert resumed.history == rows == unbroken.history
    assert resumed.best == unbroken.best
    assert resumed.steps == unbroken.steps


def test_a_finished_training_is_not_done_again(data, sections, tmp_path, monkeypatch):
    checkpoint = CheckpointFile(tmp_path, "key")
    first = fit(make(), *data, **sections(), state=checkpoint)
    monkeypatch.setattr(Training, "train_step", lambda training: pytest.fail("trained again"))
    again = fit(make(), *data, **sections(), state=checkpoint)
    assert same(again.weights, first.weights)
    assert again.history == first.history


def test_a_budget_ends_training_in_the_middle_of_an_epoch(data, sections):
    fitted = fit(make(), *data, **sections({"epochs": 10_000, "schedule": "cosine"}, max_minutes=1 / 60))
    assert 1 <= len(fitted.history) < 10_000
    assert fitted.history[-1]["learning_rate"] < 0.002, "the schedule ends with the budget"


def test_noise_is_fed_and_repeats(data, sections):
    torch.manual_seed(0)
    models = [build("rnn", (3, 8, 8), 1, **RNN) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (fit(model, *data, **sections(noise_channels=2)) for model in models)
    assert same(first.weights, second.weights)


def test_a_loss_that_is_no_number_stops_with_advice(data, sections):
    model = make()
    torch.nn.init.constant_(model.output.bias, float("nan"))
    message = r"the loss is not a number at step 1 of training; lower the recipe's learning_rate \(0\.01\)"
    with pytest.raises(ModelError, match=message):
        fit(model, *data, **sections())


def test_gradients_are_clipped_to_the_recipes_norm(data, sections):
    norms = {}
    for clip_norm in (None, 1e-3):
        training = Training(make(), *data, **sections({"clip_norm": clip_norm}))
        training.optimizer.step = lambda: None
        training.train_step()
        norms[clip_norm] = torch.cat([parameter.grad.flatten() for parameter in training.parameters]).norm().item()
    assert norms[None] > 0.01
    assert norms[1e-3] == pytest.approx(1e-3, rel=0.01)


def test_an_adversary_joins_after_its_start_and_changes_what_is_learnt(data, sections, tmp_path, monkeypatch):
    recipe = {"objective": "adversarial", "epochs": 4, "ema_decay": 0.9}
    opponent = sections()["train"].adversary.model_copy(update={"start": 0.5, "weight": 0.5, "channels": 4})
    pixel = fit(make(), *data, **sections(recipe | {"objective": "pixel"}))
    settings = sections(recipe, adversary=opponent)
    judged = fit(make(), *data, **settings)
    # two epochs without it, two with it
    assert judged.history[1] == pixel.history[1]
    assert judged.history[2]["train_loss"] != pixel.history[2]["train_loss"]
    assert not same(judged.weights, pixel.weights)

    # killed while it plays, the discriminator and its optimizer go on too
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    checkpoint = CheckpointFile(tmp_path, "key")
    kill_when(monkeypatch, lambda training: training.fraction_done > 0.7)
    with pytest.raises(Killed):
        fit(make(), *data, **settings, state=checkpoint)
    resumed = fit(make(seed=3), *data, **settings, state=checkpoint)
    assert resumed.history == judged.history
    assert same(resumed.weights, judged.weights)


def test_crops_train_a_generator_for_whole_frames(wide_data, sections):
    rows = []
    settings = sections({"epochs": 40, "batch_size": 4}, crop=8)
    model = make("convlstm", frame_shape=(1, 16, 16))
    before = Training(model, *wide_data, **settings).validation.measure(model)
    fitted = fit(model, *wide_data, **settings, on_epoch=rows.append)
    assert fitted.best["val_mse"] < 0.5 * before["val_mse"], "of frames of 16 x 16 pixels"
