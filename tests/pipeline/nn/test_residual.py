"""The residual wrapper: what it adds, and that it is still a generator."""

import torch

from pipeline.models import build
from pipeline.nn.residual import Residual
from pipeline.nn.rollout import auxiliary_loss


def generator():
    torch.manual_seed(0)
    model = build("convlstm", (3, 8, 8), 2, hidden_channels=4, num_layers=1, kernel_size=3, patch_size=2)
    return model, Residual(model, 2)


def test_it_adds_what_the_model_returns_to_the_frames_own_channels_and_cuts_off():
    model, residual = generator()
    frames = torch.rand(2, 3, 3, 8, 8) * 2 - 1
    frames[:, :, :, 0] = 1
    change, _ = model(frames)
    result, _ = residual(frames)
    assert torch.equal(result, (frames[:, :, :2] + change).clamp(-1, 1))
    assert result.max() == 1


def test_one_call_is_as_many_calls_of_one_frame():
    _, residual = generator()
    frames = torch.rand(1, 3, 3, 8, 8) * 2 - 1
    together, _ = residual(frames)
    state, apart = None, []
    for t in range(3):
        output, state = residual(frames[:, t : t + 1], state)
        apart.append(output)
    assert torch.allclose(together, torch.cat(apart, dim=1), atol=1e-6)


def test_gradients_reach_every_parameter():
    model, residual = generator()
    residual(torch.zeros(1, 3, 3, 8, 8))[0].square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_auxiliary_loss_of_the_model_within_is_asked_through_it_and_forgotten():
    torch.manual_seed(0)
    sizes = {"hidden_channels": 4, "num_layers": 1, "kernel_size": 3, "patch_size": 2, "decoupling": 0.5}
    residual = Residual(build("stlstm", (1, 8, 8), 1, **sizes), 1)
    residual(torch.rand(2, 3, 1, 8, 8))
    loss = auxiliary_loss(residual)
    assert loss is not None
    assert 0 < loss.item() < 0.5
    assert auxiliary_loss(residual) is None
    assert auxiliary_loss(generator()[1]) is None
