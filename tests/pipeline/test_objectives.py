"""Tests of pipeline/objectives.py: the losses by hand."""

import pytest
import torch

from pipeline.objectives import PixelLoss

TRUTH = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).reshape(1, 1, 1, 2, 2)
GREY = torch.zeros_like(TRUTH)
NONE = {"l1": 0.0, "l2": 0.0, "gradient": 0.0, "ssim": 0.0}


@pytest.mark.parametrize(
    ("weights", "value"),
    [
        ({"l1": 1.0}, 1.0),
        ({"l2": 1.0}, 1.0),
        # across, the truth steps by 2 and grey by 0; down, neither steps
        ({"gradient": 1.0}, 2.0),
        ({"l1": 0.5, "l2": 0.25, "gradient": 0.1}, 0.95),
    ],
)
def test_the_loss_is_the_weighted_sum(weights, value):
    assert PixelLoss(**NONE | weights)(GREY, TRUTH).item() == pytest.approx(value)


def test_structure_is_lost_by_grey_and_kept_by_the_truth():
    loss = PixelLoss(**NONE | {"ssim": 1.0})
    truth = torch.rand(1, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert loss(truth, truth).item() == pytest.approx(0, abs=1e-5)
    assert loss(torch.zeros_like(truth), truth).item() > 0.9


def test_every_loss_has_a_gradient():
    predicted = (0.5 * torch.rand(1, 2, 1, 16, 16, generator=torch.Generator().manual_seed(1))).requires_grad_()
    truth = torch.rand(1, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for name in NONE:
        (gradient,) = torch.autograd.grad(PixelLoss(**NONE | {name: 1.0})(predicted, truth), predicted)
        assert gradient.abs().sum() > 0, name
