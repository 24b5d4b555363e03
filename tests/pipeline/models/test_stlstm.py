"""The ST-LSTM: its equations, its fast path, its decoupling loss."""

import math

import pytest
import torch

from pipeline.models import build
from pipeline.models.stlstm import StLstmLayer, decoupling_loss
from pipeline.nn import fast_path
from pipeline.nn.rollout import auxiliary_loss, unroll_with_checkpoints

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}


def test_the_decoupling_loss_is_the_cosine_of_the_angle_between_increments():
    right, up = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2), torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert decoupling_loss(right, up).item() == pytest.approx(0)
    assert decoupling_loss(right, -3 * right).item() == pytest.approx(1)  # opposite is as redundant as equal
    assert decoupling_loss(right, right + up).item() == pytest.approx(0.5**0.5)


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


def test_a_layer_computes_the_equations_of_the_paper():
    layer = StLstmLayer(1, 1, 1)
    with torch.no_grad():
        for conv, weights in (
            (layer.from_input, [1.0, 2, 3, 4, -1, -2, -3]),  # i, f, g, o and i', f', g'
            (layer.from_hidden, [0.5, -0.5, 0.25, 1]),
            (layer.from_memory, [0.1, 0.2, 0.3]),
            (layer.output_gate, [0.6, 0.7]),  # from C and from M
            (layer.merge, [0.8, -0.9]),
        ):
            conv.weight.copy_(torch.tensor(weights).view_as(conv.weight))
        layer.from_input.bias.zero_()
        layer.merge.bias.fill_(0.05)
    x, h, c, m = (torch.full((1, 1, 1, 1), value) for value in (0.1, 0.2, -0.3, 0.4))
    result = torch.stack(layer.step(x, h, c, m)).flatten()

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    delta_cell = sigmoid(0.1 + 0.5 * 0.2) * math.tanh(0.3 + 0.25 * 0.2)
    cell = sigmoid(0.2 - 0.5 * 0.2) * -0.3 + delta_cell
    delta_memory = sigmoid(-0.1 + 0.1 * 0.4) * math.tanh(-0.3 + 0.3 * 0.4)
    memory = sigmoid(-0.2 + 0.2 * 0.4) * 0.4 + delta_memory
    hidden = sigmoid(0.4 + 0.2 + 0.6 * cell + 0.7 * memory) * math.tanh(0.8 * cell - 0.9 * memory + 0.05)
    torch.testing.assert_close(result, torch.tensor([hidden, cell, memory, delta_cell, delta_memory]))


def flat(model, frames, state):
    """The outputs, the state after and the decoupling loss."""
    outputs, after = model(frames, state)
    return [outputs, *after], auxiliary_loss(model)


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("through", ["all", "outputs", "state", "decoupling"])
def test_values_and_gradients_are_those_of_the_plain_equations(steps, through, dtype, monkeypatch):
    torch.manual_seed(0)
    model = build("stlstm", (1, 8, 8), 1, **SIZES, decoupling=0.5).to(dtype)
    frames = torch.rand(2, steps, 1, 8, 8, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn(2, 4, 4, 4, dtype=dtype, requires_grad=True) for _ in range(5))
    fast = flat(model, frames, state)
    with monkeypatch.context() as patch:
        patch.setattr(fast_path, "tanh_backward_into", None)
        patch.setattr("pipeline.models.stlstm.st_lstm", None)
        plain = flat(model, frames, state)
    gradients = []
    for results, decoupling in (fast, plain):
        chosen = {"all": results, "outputs": results[:1], "state": results[1:], "decoupling": []}[through]
        loss = sum((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum() for result in chosen)
        if through in ("all", "decoupling"):
            loss = loss + 100 * decoupling
        gradients.append(torch.autograd.grad(loss, [frames, *state, *model.parameters()], allow_unused=True))
    for own, other in zip(fast[0], plain[0], strict=True):
        # tanh and sums are float32 in the kernel, whatever the convolutions are
        torch.testing.assert_close(own.double(), other.double(), rtol=1.3e-6, atol=1e-5)
    torch.testing.assert_close(fast[1], plain[1])
    for own, other in zip(*gradients, strict=True):
        if other is None:
            assert own is None or not own.any()
        else:
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("scope")
def test_under_autocast_gradients_are_nearly_those_of_float32():
    torch.manual_seed(0)
    model = build("stlstm", (1, 8, 8), 1, **SIZES, decoupling=0.5)
    frames, gradients = torch.rand(2, 4, 1, 8, 8), []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs, _ = model(frames)
            loss = outputs.square().mean() + auxiliary_loss(model)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for own, other in zip(*gradients, strict=True):
        assert own.dtype == torch.float32
        assert (own - other).norm() < 0.05 * other.norm()


def test_what_is_computed_again_is_not_counted_again_and_holds_no_memory():
    torch.manual_seed(0)
    model = build("stlstm", (1, 8, 8), 1, **SIZES, decoupling=0.5)
    frames, results = torch.rand(2, 6, 1, 8, 8), []
    for steps in (None, 2):
        outputs, _ = unroll_with_checkpoints(model, frames, None, steps)
        loss = auxiliary_loss(model)
        (outputs.sum() + loss).backward()
        results.append(loss.item())
        assert model.decoupling_losses == []
    assert results[0] == pytest.approx(results[1], rel=1e-5)
