"""Tests of pipeline/training/schedules.py: values at the ends and in the middle."""

import pytest

from pipeline.training.schedules import lr_factor, num_forced_inputs, teacher_forcing_probabilities


@pytest.mark.parametrize(
    ("schedule", "fraction_done", "factor"),
    [
        ("constant", 0.0, 1),
        ("constant", 1.0, 1),
        ("cosine", 0.0, 0),
        ("cosine", 0.05, 0.5),
        ("cosine", 0.1, 1),
        ("cosine", 0.55, 0.5),
        ("cosine", 1.0, 0),
        ("one_cycle", 0.0, 1 / 25),
        ("one_cycle", 0.3, 1),
        ("one_cycle", 0.65, 0.5),
        ("one_cycle", 1.0, 0),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule, fraction_done, factor):
    assert lr_factor(schedule, fraction_done, warmup=0.1) == pytest.approx(factor, abs=1e-9)


def test_without_warmup_a_cosine_begins_at_the_top():
    assert lr_factor("cosine", 0.0, warmup=0.0) == 1


@pytest.mark.parametrize(
    ("sampling", "fraction_done", "probabilities"),
    [
        ("teacher", 0.9, (1, 1)),
        ("free", 0.0, (0, 1)),
        ("scheduled", 0.0, (1, 1)),
        ("scheduled", 0.25, (0.5, 1)),
        ("scheduled", 0.5, (0, 1)),
        ("scheduled", 1.0, (0, 1)),
        ("reverse", 0.0, (0.5, 0.5)),
        ("reverse", 0.25, (0.25, 0.75)),
        ("reverse", 1.0, (0, 1)),
    ],
)
def test_sampling_goes_from_the_truth_to_the_own_output(sampling, fraction_done, probabilities):
    assert teacher_forcing_probabilities(sampling, fraction_done) == pytest.approx(probabilities)


@pytest.mark.parametrize(
    ("share", "fraction_done", "num_forced"),
    [(0.0, 0.0, 1), (0.4, 0.0, 14), (0.4, 0.3, 14), (0.4, 0.35, 10), (0.4, 0.4, 1), (1.0, 0.999, 6), (1.0, 1.0, 1)],
)
def test_a_curriculum_ends_with_the_whole_horizon(share, fraction_done, num_forced):
    assert num_forced_inputs(5, 10, share, fraction_done) == num_forced
    assert num_forced_inputs(5, 1, share, fraction_done) == (5 if fraction_done < share else 1)
