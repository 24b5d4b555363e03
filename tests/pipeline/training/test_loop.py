"""Tests of pipeline/loop.py: it learns, keeps the best, stops in time, and a killed run ends as an unbroken one."""

import copy

import pytest
import torch

from pipeline.data.clips import ClipDataset
from pipeline.errors import ModelError
from pipeline.models import MODELS, build
from pipeline.params import load_params
from pipeline.training import loop
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.loop import fit

RNN = {"hidden_size": 24, "num_layers": 1, "nonlinearity": "tanh"}
CONV = {"hidden_channels": 8, "num_layers": 1, "kernel_size": 3, "patch_size": 2}


class Killed(Exception):
    """Stands for SIGKILL: nothing of ours runs after it."""


@pytest.fixture
def sections(request):
    """The recipe of `model` and the train section of params.yaml, made small, with the given changes."""
    params = load_params(request.config.rootpath / "params.yaml")

    def make(recipe=None, **train):
        small = {"epochs": 3, "batch_size": 3, "learning_rate": 0.01, "schedule": "cosine", "sampling": "free"}
        train = {"num_threads": 1, "precision": "float32"} | train
        return {
            "recipe": params.model.rnn.recipe.model_copy(update=small | (recipe or {})),
            "train": params.train.model_copy(update=train),
        }

    return make


@pytest.fixture
def data(tiny):
    return tuple(ClipDataset(tiny.frames, tiny.clips, split) for split in ("train", "val"))


def make(name="rnn", seed=0):
    torch.manual_seed(seed)
    sizes = {"rnn": RNN, "convlstm": CONV, "stlstm": CONV | {"decoupling": 0.5}}[name]
    return build(name, (1, 8, 8), 1, **sizes)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", MODELS)
def test_every_generator_trains_by_its_recipe(data, request, name):
    params = load_params(request.config.rootpath / "params.yaml")
    section = getattr(params.model, name)
    recipe = section.recipe.model_copy(update={"epochs": 3})
    torch.manual_seed(0)
    model = build(name, (1, 8, 8), 1, **section.model_dump(exclude={"recipe"}))
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
    model = make()
    model.load_state_dict(fitted.weights)
    assert loop._Run(model, *data, **sections()).validation.measure(model)["val_mse"] == min(errors)


@pytest.mark.parametrize("name", ["rnn", "convlstm"])
@pytest.mark.parametrize(
    "changes", [{}, {"recipe": {"sampling": "reverse", "ema_decay": 0.9}, "noise_channels": 0, "precision": "bf16"}]
)
def test_the_same_seed_gives_the_same_bits(data, sections, name, changes):
    first, second = (fit(make(name), *data, **sections(**changes)) for _ in range(2))
    assert same(first.weights, second.weights)
    assert first.history == second.history
    assert not same(first.weights, fit(make(name), *data, **sections(**changes, seed=1)).weights)


@pytest.mark.parametrize("killed_at", [1, 2, 5, 7, 11, 15])
def test_a_killed_training_ends_with_the_bits_of_an_unbroken_one(data, sections, tmp_path, monkeypatch, killed_at):
    settings = sections({"ema_decay": 0.9, "sampling": "scheduled", "optimizer": "muon", "curriculum": 0.5})
    unbroken = fit(make(), *data, **settings)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    step = loop._Run.train_step

    def until_killed(run):
        if run.step == killed_at:
            raise Killed
        step(run)

    state = CheckpointFile(tmp_path, "key")
    monkeypatch.setattr(loop._Run, "train_step", until_killed)
    with pytest.raises(Killed):
        fit(make(), *data, **settings, state=state)
    monkeypatch.setattr(loop._Run, "train_step", step)
    rows = []
    # other weights at the start, to see that the saved ones are taken
    resumed = fit(make(seed=5), *data, **settings, state=state, on_epoch=rows.append)
    assert same(resumed.weights, unbroken.weights)
    assert resumed.history == rows == unbroken.history
    assert resumed.best == unbroken.best


def test_a_finished_training_is_not_done_again(data, sections, tmp_path, monkeypatch):
    state = CheckpointFile(tmp_path, "key")
    first = fit(make(), *data, **sections(), state=state)
    monkeypatch.setattr(loop._Run, "train_step", lambda run: pytest.fail("trained again"))
    again = fit(make(), *data, **sections(), state=state)
    assert same(again.weights, first.weights)
    assert again.history == first.history


def test_a_budget_ends_training_in_the_middle_of_an_epoch(data, sections):
    fitted = fit(make(), *data, **sections({"epochs": 10_000, "schedule": "cosine"}, max_minutes=1 / 60))
    assert 1 <= len(fitted.history) < 10_000
    assert fitted.history[-1]["learning_rate"] < 0.002, "the schedule ends with the budget"


def test_the_frames_that_are_predicted_freely_grow_from_one_to_all(data, sections):
    run = loop._Run(make(), *data, **sections({"epochs": 8, "curriculum": 0.5, "sampling": "free"}))
    shown = []
    run._backward = lambda inputs, targets, truth, *others: shown.append(truth[0].tolist())
    run.optimizer.step = lambda: None
    while run.step < run.num_steps:
        run.train_step()
    context, horizon = data[0].context, data[0].horizon
    counts = [sum(truth) for truth in shown]
    assert all(truth == sorted(truth, reverse=True) for truth in shown), "the truth comes first"
    assert counts[0] == context + horizon - 1
    assert counts == sorted(counts, reverse=True)
    assert set(counts[run.num_steps // 2 :]) == {context}


@pytest.mark.parametrize("name", ["rnn", "convlstm", "stlstm"])
@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"recompute_steps": 2}, {"bptt_steps": 6}])
def test_pieces_recomputation_and_one_long_segment_give_the_same_gradients(data, sections, name, changes):
    recipe = {"epochs": 1, "batch_size": 16, "sampling": "free", "clip_norm": None}
    plain, other = make(name), make(name)
    for model, extra in ((plain, {}), (other, changes)):
        run = loop._Run(model, *data, **sections(recipe, **extra))
        run.optimizer.step = lambda: None
        run.train_step()
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, atol=1e-6)


def test_truncation_cuts_the_gradient_and_hands_the_state_on(data, sections):
    recipe = {"epochs": 1, "batch_size": 16, "sampling": "teacher", "clip_norm": None}
    losses, gradients = [], []
    for changes in ({}, {"bptt_steps": 2}):
        model = make()
        run = loop._Run(model, *data, **sections(recipe, **changes))
        run.optimizer.step = lambda: None
        run.train_step()
        losses.append(run.epoch_loss.item())
        gradients.append(model.W_hh[0].grad)
    # the outputs are the same, so the state went on; what they teach is not
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


def test_noise_is_fed_and_repeats(data, sections):
    torch.manual_seed(0)
    models = [build("rnn", (3, 8, 8), 1, **RNN) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (fit(model, *data, **sections(noise_channels=2)) for model in models)
    assert same(first.weights, second.weights)


def test_a_loss_that_is_no_number_stops_with_advice(data, sections):
    model = make()
    torch.nn.init.constant_(model.output.bias, float("nan"))
    with pytest.raises(ModelError, match="not a number after step 6; lower the recipe's learning_rate"):
        fit(model, *data, **sections())


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
    step, state = loop._Run.train_step, CheckpointFile(tmp_path, "key")

    def until_killed(run):
        if run.progress > 0.7:
            raise Killed
        step(run)

    monkeypatch.setattr(loop._Run, "train_step", until_killed)
    with pytest.raises(Killed):
        fit(make(), *data, **settings, state=state)
    monkeypatch.setattr(loop._Run, "train_step", step)
    resumed = fit(make(seed=3), *data, **settings, state=state)
    assert resumed.history == judged.history
    assert same(resumed.weights, judged.weights)


def test_a_step_that_does_not_fit_is_refused_before_it_is_taken(data, sections, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.memory.available", lambda device: 1000)
    rows = []
    with pytest.raises(ModelError, match=r"a training step needs about .* lower the recipe's batch_size, train\.crop"):
        fit(make(), *data, **sections(), on_epoch=rows.append)
    assert not rows


def test_the_adversary_counts_in_the_memory_that_is_stated(data, sections, monkeypatch):
    stated = []
    monkeypatch.setattr(
        "pipeline.runtime.memory.check", lambda what, needed, free, remedy: stated.append((needed, remedy))
    )
    for objective, channels in (("pixel", 32), ("adversarial", 8), ("adversarial", 32)):
        opponent = sections()["train"].adversary.model_copy(update={"channels": channels})
        run = loop._Run(make("convlstm"), *data, **sections({"objective": objective}, adversary=opponent))
        before = {} if run.adversary is None else copy.deepcopy(run.adversary.discriminator.state_dict())
        run.check_memory()
        assert run.adversary is None or same(before, run.adversary.discriminator.state_dict())
    (pixel, _), (small, remedy), (large, _) = stated[::2]  # of a step; the others are of validation
    assert 2 * pixel < small < large / 2
    assert remedy.startswith("train.adversary.channels, ")


def test_crops_train_a_generator_for_whole_frames(data, sections):
    fitted = fit(make("convlstm"), *data, **sections({"epochs": 2}, crop=8))
    assert len(fitted.history) == 2
