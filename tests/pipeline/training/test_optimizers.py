"""Tests of pipeline/training/optimizers.py."""

import copy

import pytest
import torch
from torch import nn

from pipeline.nn.layers import same_conv
from pipeline.training.optimizers import Optimizer, as_matrix, is_matrix


def network(channels_last=True):
    torch.manual_seed(0)
    conv = same_conv(3, 8, 3) if channels_last else nn.Conv2d(3, 8, 3, padding=1)
    return nn.Sequential(conv, nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.Flatten(), nn.Linear(8 * 16, 5))


def gradients(model, seed=1):
    inputs = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    model(inputs).square().sum().backward()


def stepped(model, name, lr=0.01):
    optimizer = Optimizer(name, list(model.parameters()), lr)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    gradients(model)
    optimizer.step()
    return [parameter.detach() - old for parameter, old in zip(model.parameters(), before, strict=True)]


def test_muon_is_for_what_mixes_inputs():
    weights = dict(network().named_parameters())
    assert [name for name, weight in weights.items() if is_matrix(weight)] == ["0.weight", "3.weight"]


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_step_of_muon_goes_alike_in_all_directions_of_a_matrix(channels_last):
    model = network(channels_last)
    change = stepped(model, "muon")[0]
    singular = torch.linalg.svdvals(change.flatten(1))
    assert singular.max() < 2 * singular.min(), "Newton-Schulz leaves them between about 0.7 and 1.2"
    # about as large as one of Adam's, and downhill
    assert 0.05 * 0.01 < change.square().mean().sqrt() < 0.01
    other = network(channels_last)
    gradients(other)
    assert (change * other[0].weight.grad).sum() < 0


def test_the_layout_in_memory_does_not_matter():
    for one, other in zip(stepped(network(True), "muon"), stepped(network(False), "muon"), strict=True):
        # the iteration is in bfloat16
        assert torch.allclose(one, other, atol=1e-3 * 0.01 + 0.02 * other.abs().max())


def test_what_is_no_matrix_steps_as_with_adam():
    for position, (one, other) in enumerate(zip(stepped(network(), "muon"), stepped(network(), "adam"), strict=True)):
        assert torch.equal(one, other) == (position not in (0, 4))


def test_the_gradient_may_lie_otherwise_than_the_weight():
    weight = same_conv(3, 8, 3).weight
    values = torch.randn(8, 3, 3, 3)  # row by row
    assert torch.equal(as_matrix(values, weight), as_matrix(values.to(memory_format=torch.channels_last), weight))


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_step_forgets_the_gradients_and_the_learning_rate_can_change(name):
    model = network()
    optimizer = Optimizer(name, list(model.parameters()), 0.01)
    gradients(model)
    optimizer.scale_lr(0.5)
    optimizer.step()
    assert optimizer.lr == 0.005
    assert all(parameter.grad is None for parameter in model.parameters())
    before = copy.deepcopy(model.state_dict())
    gradients(model)
    optimizer.scale_lr(0)
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_matrices_shrink_by_the_decay_and_nothing_else_does(name):
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimizer = Optimizer(name, list(model.parameters()), 0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, value in model.state_dict().items():
        assert torch.allclose(value, before[key] * (0.95 if is_matrix(value) else 1.0)), key
