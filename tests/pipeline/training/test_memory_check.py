"""Tests of pipeline/training/memory_check.py: what does not fit is refused before it is taken, with what to change."""

import copy

import pytest

from pipeline.errors import ModelError
from pipeline.training.loop import Training, fit
from pipeline.training.memory_check import check_memory
from tests.pipeline.training.conftest import make, same


def test_a_step_that_does_not_fit_is_refused_before_it_is_taken(data, sections, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.memory.available", lambda device: 1000)
    rows = []
    with pytest.raises(ModelError, match=r"a training step needs about .* lower the recipe's batch_size, train\.crop"):
        fit(make(), *data, **sections(), on_epoch=rows.append)
    assert not rows


def stated(training, monkeypatch):
    """The bytes and the remedy that check_memory states for a step, and for validation."""
    found = []
    monkeypatch.setattr(
        "pipeline.runtime.memory.check", lambda what, needed, free, remedy: found.append((needed, remedy))
    )
    check_memory(training.objective, training.batches, training.validation)
    return found


def test_the_adversary_counts_in_the_memory_that_is_stated(data, sections, monkeypatch):
    steps = []
    for objective, channels in (("pixel", 32), ("adversarial", 8), ("adversarial", 32)):
        opponent = sections()["train"].adversary.model_copy(update={"channels": channels})
        training = Training(make("convlstm"), *data, **sections({"objective": objective}, adversary=opponent))
        adversary = training.objective.adversary
        before = {} if adversary is None else copy.deepcopy(adversary.discriminator.state_dict())
        steps.append(stated(training, monkeypatch)[0])
        assert adversary is None or same(before, adversary.discriminator.state_dict())
    (pixel, _), (small, remedy), (large, _) = steps
    assert 2 * pixel < small < large / 2
    assert remedy.startswith("train.adversary.channels, ")


def test_crops_segments_and_pieces_make_a_step_smaller(wide_data, sections, monkeypatch):
    def step(**train):
        settings = sections({"batch_size": 16}, **train)
        training = Training(make("convlstm", frame_shape=(1, 16, 16)), *wide_data, **settings)
        return stated(training, monkeypatch)[0][0]

    whole = step()
    assert step(crop=8) < 0.6 * whole
    assert step(bptt_steps=2) < 0.6 * whole
    assert step(accumulate=4) < 0.6 * whole
