"""Tests of pipeline/training/muon.py: torch's Muon, in the number format of the processor."""

import copy

import pytest
import torch
from torch import nn

from pipeline.training.muon import Muon, orthogonalized

SHAPES = [(8, 24), (24, 8), (16, 16)]


def matrices(seed=0):
    torch.manual_seed(seed)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def trained(optimizer, parameters, steps=3):
    torch.manual_seed(1)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def formats(monkeypatch, dtype):
    monkeypatch.setattr("pipeline.training.muon.autocast_dtype", lambda precision, device: dtype)


@pytest.fixture
def reference():
    """What torch's own does, which is in bfloat16."""
    parameters = matrices()
    return trained(torch.optim.Muon(parameters, lr=0.01, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"), parameters)


def test_in_bfloat16_it_is_torchs_to_the_bit(reference, monkeypatch):
    formats(monkeypatch, torch.bfloat16)
    own = matrices()
    for one, other in zip(trained(Muon(own, 0.01, weight_decay=0.3), own), reference, strict=True):
        assert torch.equal(one, other)


def test_in_float32_it_is_the_same_to_rounding(reference, monkeypatch):
    formats(monkeypatch, None)
    own = matrices()
    for one, other in zip(trained(Muon(own, 0.01, weight_decay=0.3), own), reference, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)  # steps are of about 0.01
        assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_become_about_one_and_directions_stay(shape, dtype):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = matrix.clone()
    result = orthogonalized(matrix, dtype).float()
    assert torch.equal(matrix, before), "the gradient is not written over"
    assert result.shape == matrix.shape
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.4
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.diagonal(u.T @ result @ vh.T).min() > 0.4


def test_what_has_no_gradient_stays_and_a_state_goes_on(monkeypatch):
    formats(monkeypatch, None)
    still, *moving = matrices()
    before = still.detach().clone()
    optimizer = Muon([still, *moving], 0.01, weight_decay=0.3)
    trained(optimizer, moving)
    assert torch.equal(still, before)
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in moving]
    resumed = Muon([still, *copies], 0.01, weight_decay=0.3)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, other in zip(trained(resumed, copies), trained(optimizer, moving), strict=True):
        assert torch.equal(one, other)
