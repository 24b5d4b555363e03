"""Tests of pipeline/training/choice.py: start, end or between, and how sure validation must be."""

import copy
import logging
import re

import numpy as np
import pytest
import torch

from pipeline.training import choice
from pipeline.training.choice import beyond_chance, keep_start_unless_sure, stretches, try_mixtures
from pipeline.training.loop import Training, fit
from tests.pipeline.training.conftest import make, same


def same_to_rounding(weights, start, end, share):
    return all(torch.allclose(value, torch.lerp(start[name], end[name], share)) for name, value in weights.items())


@pytest.fixture
def trained(data, sections):
    return fit(make(), *data, **sections({"epochs": 60})).weights


def test_what_goes_too_far_is_mixed_with_the_start(data, sections, trained):
    start = make().state_dict()
    beyond = {name: start[name] + 40 * (trained[name] - start[name]) for name in trained}
    training = Training(make(), *data, **sections(), mix_with_start=True)
    training.validate_start()
    progress = training.progress
    try_mixtures(training.model, training.start, beyond, training.validation, progress)
    shares = [share for share in choice.MIXED if same_to_rounding(progress.best_weights, start, beyond, share)]
    assert shares == [0.25]
    assert progress.best_row["val_mse"] < training.validation.measure(training.model)["val_mse"]


def test_the_start_is_kept_where_the_gain_may_be_chance(data, sections, trained, monkeypatch):
    start = make().state_dict()

    def kept(sure):
        monkeypatch.setattr(choice, "beyond_chance", lambda gains, groups: sure)
        training = Training(make(), *data, **sections(), mix_with_start=True)
        training.validate_start()
        first = dict(training.progress.best_row)
        training.model.load_state_dict(trained)
        training.progress.keep_if_best(training.model, training.validation.measure(training.model), epoch=3)
        best = dict(training.progress.best_row)
        why = keep_start_unless_sure(training.model, training.start, training.validation, training.progress)
        return why, training.progress, first, best

    why, progress, _, best = kept(sure=True)
    assert (same(progress.best_weights, trained), progress.best_epoch, progress.best_row) == (True, 3, best)
    assert not why
    why, progress, first, _ = kept(sure=False)
    assert (same(progress.best_weights, start), progress.best_epoch) == (True, 0)
    assert progress.best_row == pytest.approx(first)
    assert re.search(r"less error in validation, but in [2-9] stretches of video that may be chance; more video", why)
    assert why.endswith("or a larger tensorize.val_fraction, would tell")
    monkeypatch.setattr(choice, "stretches", lambda places, length: np.zeros(len(places), int))
    assert "but in one stretch of video" in kept(sure=False)[0]


def test_a_training_from_a_start_asks_whether_it_is_sure(data, sections, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(choice, "beyond_chance", lambda gains, groups: False)
    initial = copy.deepcopy(make().state_dict())
    doubted = fit(make(), *data, **sections({"epochs": 60}), mix_with_start=True)
    assert same(doubted.weights, initial)
    assert doubted.best_epoch == 0
    assert "training never got better" not in caplog.text, "that is another reason, with another remedy"
    fitted = fit(make(), *data, **sections({"epochs": 60}))
    assert fitted.best_epoch > 0, "from scratch there is nothing to keep"


def test_clips_that_share_frames_are_one_stretch():
    places = [("a", 0), ("a", 2), ("a", 19), ("a", 20), ("b", 0), ("b", 45)]
    assert stretches(places, 20).tolist() == [0, 0, 0, 1, 2, 3]


def test_a_gain_is_beyond_chance_where_stretches_agree():
    apart = np.arange
    assert not beyond_chance(np.array([5.0]), apart(1)), "one says nothing"
    assert not beyond_chance(np.array([5.0, 4.0, 6.0]), np.zeros(3, int)), "nor do three parts of one"
    assert beyond_chance(np.array([5.0, 4.0, 6.0]), apart(3))
    assert not beyond_chance(np.array([9.0, -4.0, 1.0]), apart(3))
    assert not beyond_chance(np.array([-5.0, -4.0, -6.0]), apart(3))
    assert not beyond_chance(np.zeros(4), apart(4))


def test_chance_passes_for_a_gain_in_one_case_of_ten():
    rng = np.random.default_rng(0)
    for count in (2, 3, 6, 20):
        passed = [beyond_chance(gains, np.arange(count)) for gains in rng.standard_normal((4000, count))]
        assert 0.08 < np.mean(passed) < 0.115
