"""Predictors are weighed by what they make of known frames."""

import torch

from pipeline.measuring.mixture import mixture


def rising(context, horizon):
    """What rises by 1 a frame goes on rising."""
    return context[:, -1:] + torch.arange(1, horizon + 1)[None, :, None, None, None]


def still(context, horizon):
    return context[:, -1:].expand(-1, horizon, -1, -1, -1)


def clip(slope: float) -> torch.Tensor:
    return (slope * torch.arange(6.0)).reshape(1, 6, 1, 1, 1).expand(-1, -1, 1, 2, 2)


def test_each_clip_gets_the_predictor_that_was_right():
    context = torch.cat([clip(1.0), clip(0.0)])
    predicted = mixture([rising, still], context, 2)
    assert predicted[:, :, 0, 0, 0].tolist() == [[6, 7], [0, 0]]


def test_where_the_truth_lies_between_two_they_are_mixed():
    predicted = mixture([rising, still], clip(0.5), 2)
    assert predicted[0, :, 0, 0, 0].tolist() == [3, 3.5]
