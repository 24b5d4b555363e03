"""The ST-LSTM: its decoupling loss."""

import pytest
import torch

from pipeline.models import build
from pipeline.models.stlstm import decoupling_loss
from pipeline.nn.layers import clamp, to_frames, to_grid
from pipeline.nn.rollout import auxiliary_loss, unroll_with_checkpoints

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}


def test_increments_are_alike_by_the_angle_between_them():
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


def plain(model, frames, state):
    """The outputs, the states after, and the decoupling loss, step by step, with gradients by autograd."""
    memory, *parts = state
    tops, likeness = [], []
    for x in to_grid(frames, model.patch_size).split(len(frames)):
        for n, layer in enumerate(model.layers):
            h, c = parts[2 * n : 2 * n + 2]
            of_cell, of_memory = layer.from_input(x).split([16, 12], dim=1)
            i, f, g, o = (of_cell + layer.from_hidden(h)).chunk(4, dim=1)
            cell_gain = torch.sigmoid(i) * torch.tanh(g)
            c = torch.sigmoid(f) * c + cell_gain
            i, f, g = (of_memory + layer.from_memory(memory)).chunk(3, dim=1)
            memory_gain = torch.sigmoid(i) * torch.tanh(g)
            memory = torch.sigmoid(f) * memory + memory_gain
            both = torch.cat([c, memory], dim=1)
            x = torch.sigmoid(o + layer.output_gate(both)) * torch.tanh(layer.merge(both))
            parts[2 * n : 2 * n + 2] = [x, c]
            likeness.append(decoupling_loss(model.adapter(cell_gain), model.adapter(memory_gain)))
        tops.append(x)
    outputs = to_frames(clamp(model.head(torch.cat(tops))), model.patch_size, len(frames), frames.shape[-2:])
    return [outputs, memory, *parts], model.decoupling * torch.cat(likeness).mean()


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("through", ["all", "outputs", "state", "decoupling"])
def test_values_and_gradients_are_those_of_the_plain_loop(steps, through):
    torch.manual_seed(0)
    model = build("stlstm", (1, 8, 8), 1, **SIZES, decoupling=0.5)
    frames = torch.rand(2, steps, 1, 8, 8, requires_grad=True)
    state = tuple(torch.randn(2, 4, 4, 4, requires_grad=True) for _ in range(5))
    outputs, after = model(frames, state)
    ours = [outputs, *after], auxiliary_loss(model)
    reference = plain(model, frames, state)
    gradients = []
    for results, decoupling in (ours, reference):
        chosen = {"all": results, "outputs": results[:1], "state": results[1:], "decoupling": []}[through]
        loss = sum((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum() for result in chosen)
        if through in ("all", "decoupling"):
            loss = loss + 100 * decoupling
        gradients.append(torch.autograd.grad(loss, [frames, *state, *model.parameters()], allow_unused=True))
    for own, other in zip(ours[0], reference[0], strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(ours[1], reference[1])
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
