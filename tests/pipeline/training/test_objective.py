"""Tests of pipeline/training/objective.py: gradients by pieces and segments, and which frames an adversary judges."""

import copy
import math

import pytest
import torch

from pipeline.training.loop import Training
from tests.pipeline.training.conftest import make, same


def gradients_of_a_step(model, data, settings):
    """Train for one step whose update is left out, and return its loss."""
    training = Training(model, *data, **settings)
    training.optimizer.step = lambda: None
    training.train_step()
    return training.progress.epoch_loss.item()


def adversary_settings(sections, **changes):
    return sections()["train"].adversary.model_copy(update={"start": 0.0, "channels": 4, "context": 2} | changes)


@pytest.mark.parametrize("name", ["rnn", "convlstm", "stlstm"])
@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"recompute_steps": 2}, {"bptt_steps": 6}])
def test_pieces_activation_checkpointing_and_one_long_segment_give_the_same_gradients(data, sections, name, changes):
    recipe = {"epochs": 1, "batch_size": 16, "sampling": "free", "clip_norm": None}
    plain, other = make(name), make(name)
    for model, extra in ((plain, {}), (other, changes)):
        gradients_of_a_step(model, data, sections(recipe, **extra))
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, atol=1e-6)


def test_truncated_bptt_cuts_the_gradient_and_hands_the_state_on(data, sections):
    recipe = {"epochs": 1, "batch_size": 16, "sampling": "teacher", "clip_norm": None}
    losses, gradients = [], []
    for changes in ({}, {"bptt_steps": 2}):
        model = make()
        losses.append(gradients_of_a_step(model, data, sections(recipe, **changes)))
        gradients.append(model.W_hh[0].grad)
    # the outputs are the same, so the state went on; what they teach is not
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("bptt_steps", "judged"),
    [
        # six inputs, of which the third gives the first frame of the horizon
        (None, [(6, 2)]),
        (6, [(6, 2)]),
        (4, [(4, 2), (2, 0)]),
        (2, [(2, 0), (2, 0)]),
        (1, [(1, 0), (1, 0), (1, 0), (1, 0)]),
    ],
)
def test_an_adversary_judges_the_horizon_alone_however_the_clip_is_cut(data, sections, bptt_steps, judged):
    recipe = {"objective": "adversarial", "epochs": 1, "batch_size": 16}
    settings = sections(recipe, adversary=adversary_settings(sections), bptt_steps=bptt_steps)
    training = Training(make(), *data, **settings)
    adversary, calls = training.objective.adversary, []
    before, loss, learn = copy.deepcopy(adversary.discriminator.state_dict()), adversary.loss, adversary.learn

    def recorded_loss(predicted, truth, first_judged):
        calls.append((predicted.shape[1], first_judged))
        return loss(predicted, truth, first_judged)

    def recorded_learn(predicted, truth, first_judged, weight):
        assert calls[-1] == (predicted.shape[1], first_judged), "on what the generator was judged by"
        assert weight == pytest.approx(predicted.shape[1] / 6)
        learn(predicted, truth, first_judged, weight)

    adversary.loss, adversary.learn = recorded_loss, recorded_learn
    training.train_step()
    assert calls == judged
    assert not same(before, adversary.discriminator.state_dict())


def test_an_adversary_and_one_long_segment_give_the_gradients_of_the_whole_clip(data, sections):
    recipe = {"objective": "adversarial", "epochs": 1, "batch_size": 16, "clip_norm": None}
    models = make(), make()
    for model, bptt_steps in zip(models, (None, 6), strict=True):
        settings = sections(recipe, adversary=adversary_settings(sections), bptt_steps=bptt_steps)
        torch.manual_seed(1)  # of the discriminator's weights
        gradients_of_a_step(model, data, settings)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(*(model.parameters() for model in models), strict=True))


def test_the_adversary_of_a_truncated_clip_adds_to_the_gradient(data, sections):
    gradients = []
    for objective in ("pixel", "adversarial"):
        recipe = {"objective": objective, "epochs": 1, "batch_size": 16, "clip_norm": None}
        model = make()
        settings = sections(recipe, adversary=adversary_settings(sections, weight=1.0), bptt_steps=2)
        loss = gradients_of_a_step(model, data, settings)
        gradients.append(model.W_hh[0].grad)
        assert math.isfinite(loss)
    assert not torch.allclose(*gradients, rtol=1e-3)
