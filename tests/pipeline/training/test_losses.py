"""Tests of pipeline/training/losses.py: the losses by hand."""

import math

import pytest
import torch

from pipeline.training.discriminator import Discriminator
from pipeline.training.losses import Adversary, PixelLoss

TRUTH = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).reshape(1, 1, 1, 2, 2)
GREY = torch.zeros_like(TRUTH)
NONE = {"l1": 0.0, "l2": 0.0, "gradient": 0.0, "ssim": 0.0, "temporal": 0.0, "log": False}


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
    for name in NONE.keys() - {"log"}:
        (gradient,) = torch.autograd.grad(PixelLoss(**NONE | {name: 1.0})(predicted, truth), predicted)
        assert gradient.abs().sum() > 0, name


def test_a_discriminator_learns_to_tell_and_a_generator_to_deceive():
    torch.manual_seed(0)
    adversary = Adversary(Discriminator(1, 8), context=2, lr=2e-3)
    truth = torch.rand(4, 6, 1, 16, 16).round() * 2 - 1
    # the first three frames are not judged; what is predicted after them is grey
    predicted = torch.cat([truth[:, :3], torch.zeros(4, 3, 1, 16, 16)], dim=1).requires_grad_()
    for _ in range(40):
        adversary.learn(predicted, truth, 3, 1.0)
        adversary.step()
    with torch.no_grad():
        real, _ = adversary.discriminator(truth[:, 1:])
        fake, _ = adversary.discriminator(torch.cat([truth[:, 1:3], predicted[:, 3:]], dim=1))
    assert real.mean() > 0.5 > -0.5 > fake.mean()
    assert predicted.grad is None, "what it learns must not reach the generator"
    adversary.loss(predicted, truth, 3).backward()
    assert predicted.grad[:, :3].abs().sum() == 0
    assert predicted.grad[:, 3:].abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.discriminator.parameters())


def test_a_discriminator_judges_small_grids_and_short_clips_in_float32():
    discriminator = Discriminator(1, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        dtypes = {
            shape: {feature.dtype for feature in discriminator(torch.zeros(1, shape[0], 1, *shape[1:]))[1]}
            for shape in [(3, 16, 16), (3, 32, 64), (2, 64, 64), (3, 64, 64)]
        }
    lower = {shape for shape, kinds in dtypes.items() if torch.bfloat16 in kinds}
    assert lower == {(3, 64, 64)}


def test_a_discriminator_scores_patches_of_frames_from_8_pixels_on():
    discriminator = Discriminator(3, 4)
    assert discriminator(torch.zeros(2, 5, 3, 8, 12))[0].shape == (2, 5, 2, 3)
    assert discriminator(torch.zeros(1, 2, 3, 64, 64))[0].shape == (1, 2, 8, 8)


def test_the_temporal_loss_is_the_change_of_the_error_and_not_the_error():
    loss = PixelLoss(**NONE | {"temporal": 2.0})
    truth = torch.rand(1, 3, 1, 4, 4) - 0.5
    shaking = torch.tensor([0.0, 0.1, 0.3]).view(1, 3, 1, 1, 1)
    assert loss(truth + 0.2, truth).item() == pytest.approx(0, abs=1e-6)
    assert loss(truth + shaking, truth).item() == pytest.approx(2 * (0.1**2 + 0.2**2) / 2, rel=1e-4)
    assert loss(truth[:, :1], truth[:, :1]).item() == 0


def test_by_logarithms_a_clip_counts_by_the_share_of_its_error_that_is_gained():
    loss = PixelLoss(**NONE | {"l2": 1.0, "log": True})
    truth = torch.zeros(2, 1, 1, 4, 4)
    hard, easy = 0.4, 0.04
    predicted = torch.tensor([hard, easy]).view(2, 1, 1, 1, 1).expand_as(truth).clone().requires_grad_()
    value = loss(predicted, truth)
    assert value.item() == pytest.approx((math.log(hard**2 + 1e-5) + math.log(easy**2 + 1e-5)) / 2, rel=1e-4)
    (gradient,) = torch.autograd.grad(value, predicted)
    # d log(e²) = 2 de / e: the same step of an easy clip counts for ten of a hard one
    assert (gradient[1, 0, 0, 0, 0] / gradient[0, 0, 0, 0, 0]).item() == pytest.approx(10, rel=0.01)
    assert PixelLoss(**NONE | {"l2": 1.0, "log": True})(truth, truth).isfinite()
