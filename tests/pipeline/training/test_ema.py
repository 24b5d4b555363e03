"""Tests of pipeline/training/ema.py."""

import torch
from torch import nn

from pipeline.training.ema import Ema


def test_the_ema_follows_the_weights_faster_at_first():
    weight = nn.Parameter(torch.tensor([0.0]))
    ema = Ema([weight], decay=0.5)
    weight.data.fill_(1.0)
    ema.update(0)  # of what was, (1 + 0) / (10 + 0) is kept
    assert ema.values[0].item() == torch.tensor(0.9)
    weight.data.fill_(0.1)
    ema.update(100)  # by now 101 / 110 would be kept; the recipe's half is less
    torch.testing.assert_close(ema.values[0], torch.tensor([0.5]))


def test_the_ema_stands_where_the_weights_are_only_as_long_as_asked():
    weight = nn.Parameter(torch.tensor([3.0]))
    ema = Ema([weight], decay=0.9)
    ema.load([torch.tensor([7.0])])
    with ema.in_place():
        assert weight.item() == 7
    assert weight.item() == 3
    assert ema.values[0].item() == 7


def test_without_a_decay_the_weights_stand_for_themselves():
    weight = nn.Parameter(torch.tensor([3.0]))
    ema = Ema([weight], decay=0.0)
    ema.update(0)
    with ema.in_place():
        assert weight.item() == 3
