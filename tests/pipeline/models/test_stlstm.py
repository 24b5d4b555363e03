"""The ST-LSTM: its decoupling loss."""

import pytest
import torch

from pipeline.models import build
from pipeline.models.stlstm import alike
from pipeline.objectives import auxiliary_loss

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}


def test_increments_are_alike_by_the_angle_between_them():
    right, up = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2), torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert alike(right, up).item() == pytest.approx(0)
    assert alike(right, -3 * right).item() == pytest.approx(1)  # opposite is as redundant as equal
    assert alike(right, right + up).item() == pytest.approx(0.5**0.5)


def test_the_decoupling_loss_is_of_the_calls_since_it_was_asked_and_of_training_alone():
    torch.manual_seed(0)
    model = build("stlstm", (1, 8, 8), 1, **SIZES, decoupling=0.5)
    frames = torch.rand(2, 3, 1, 8, 8)
    model(frames)
    loss = auxiliary_loss(model)
    assert 0 < loss.item() < 0.5
    loss.backward()
    assert model.adapter.weight.grad.abs().sum() > 0
    assert auxiliary_loss(model) is None
    model.eval()(frames)
    assert auxiliary_loss(model) is None
    assert auxiliary_loss(build("convlstm", (1, 8, 8), 1, **SIZES)) is None
