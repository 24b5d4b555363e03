"""Tests of pipeline/training/finite.py, and of what it keeps from happening."""

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.models import build
from pipeline.nn.layers import warp
from pipeline.training.finite import FiniteCheck
from pipeline.training.loop import fit

FOREFRAME = {"hidden_channels": 8, "num_scales": 2, "num_motions": 3, "patch_size": 4}


def test_on_the_processor_the_first_number_that_is_none_stops_at_its_step():
    check = FiniteCheck(torch.device("cpu"), "lower this")
    check.see(1, "loss", torch.tensor(1.0))
    with pytest.raises(ModelError, match=r"^the loss is not a number at step 2 of training; lower this$"):
        check.see(2, "loss", torch.tensor(float("inf")))
    check.finish()


@pytest.mark.gpu
def test_on_a_gpu_it_stops_at_the_latest_when_the_epoch_ends():
    device = torch.device("cuda")
    check = FiniteCheck(device, "lower this")

    def three_steps():
        for step, value in enumerate((1.0, float("nan"), 1.0), 1):
            check.see(step, "loss", torch.tensor(value, device=device))
        check.finish()

    with pytest.raises(ModelError, match="at step 2 of training"):
        three_steps()


def test_a_flow_that_is_no_number_is_refused_before_a_backward_pass():
    images, flow = torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4, requires_grad=True)
    warp(images, flow).sum().backward()
    with pytest.raises(FloatingPointError, match="a flow is not a number"):
        warp(images, flow * float("nan"))


@pytest.mark.parametrize("learning_rate", [1e12, 1e38])
def test_an_absurd_learning_rate_is_named_with_the_step(wide_data, sections, learning_rate):
    torch.manual_seed(0)
    model = build("foreframe", (1, 16, 16), 1, **FOREFRAME)
    recipe = {"learning_rate": learning_rate, "optimizer": "muon", "clip_norm": None, "schedule": "constant"}
    message = r"is not a number at step \d+ of training; lower the recipe's learning_rate \(1e\+\d\d\) or set its clip"
    with pytest.raises(ModelError, match=message):
        fit(model, *wide_data, **sections(recipe))
