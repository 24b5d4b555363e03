"""The fast kernels of the recurrent layers against their plain equations, and torch without private operations."""

import pytest
import torch

from pipeline.models import build
from pipeline.nn import fast_path
from pipeline.nn.convgru import ConvGru
from pipeline.nn.convlstm import ConvLstmLayer
from pipeline.nn.fast_path import fast_path_available, packing_available
from pipeline.nn.packed_convolutions import PackedWeights
from pipeline.nn.rollout import auxiliary_loss, tensors

BATCH, WIDTH, SIZE = 2, 3, (4, 5)
KERNEL_OPERATIONS = ["sigmoid_backward_into", "tanh_backward_into", "tanh_backward", "convolution_backward"]
PACKING_OPERATIONS = ["reorder_convolution_weight", "onednn_convolution", "onednn_convolution_onto"]
CELL_SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 4}
RECURRENT_MODELS = {
    "convlstm": CELL_SIZES,
    "stlstm": CELL_SIZES | {"decoupling": 0.5},
    "foreframe": {"hidden_channels": 4, "num_scales": 2, "num_motions": 2, "patch_size": 4},
}


def lstm(with_state, dtype=torch.float32):
    torch.manual_seed(0)
    states = [torch.randn(BATCH, WIDTH, *SIZE, dtype=dtype, requires_grad=True) for _ in range(2)]
    return ConvLstmLayer(WIDTH, WIDTH, 3).to(dtype), tuple(states) if with_state else None


def gru(with_state, dtype=torch.float32):
    torch.manual_seed(0)
    state = torch.randn(BATCH, WIDTH, *SIZE, dtype=dtype, requires_grad=True)
    return ConvGru(WIDTH).to(dtype), state if with_state else None


def flat(outputs, state):
    return [outputs, *tensors(state)]


def weighted_sum(results):
    return sum((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum() for result in results)


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("make", [lstm, gru])
@pytest.mark.parametrize("through", ["all", "outputs", "state"])
def test_values_and_gradients_are_those_of_the_plain_equations(make, with_state, steps, through, dtype):
    layer, state = make(with_state, dtype)
    grid = torch.randn(steps * BATCH, WIDTH, *SIZE, dtype=dtype, requires_grad=True)
    inputs = [grid, *layer.parameters(), *tensors(state)]
    fast, plain = flat(*layer(grid, BATCH, state)), flat(*layer.plain(grid, BATCH, state))
    part = {"all": slice(None), "outputs": slice(1), "state": slice(1, None)}[through]
    gradients = [
        torch.autograd.grad(weighted_sum(results[part]), inputs, allow_unused=True, retain_graph=True)
        for results in (fast, plain)
    ]
    for own, other in zip(fast, plain, strict=True):
        # tanh and sums are float32 in the kernels, whatever the convolutions are
        torch.testing.assert_close(own.double(), other.double(), rtol=1.3e-6, atol=1e-5)
    for own, other in zip(*gradients, strict=True):
        if own is None:
            assert other is None or not other.any()
        else:
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
    # nothing that a second backward pass needs was overwritten
    again = torch.autograd.grad(weighted_sum(fast[part]), inputs, allow_unused=True)
    for own, other in zip(gradients[0], again, strict=True):
        assert own is other is None or torch.equal(own, other)


@pytest.mark.parametrize("path", ["fast", "plain"])
@pytest.mark.parametrize("make", [lstm, gru])
def test_the_sequence_may_be_cut_anywhere(make, path, monkeypatch):
    if path == "plain":
        monkeypatch.setattr(fast_path, "tanh_backward_into", None)
    layer, state = make(True)
    grid = torch.randn(5 * BATCH, WIDTH, *SIZE)
    whole, after = layer(grid, BATCH, state)
    first, between = layer(grid[: 2 * BATCH], BATCH, state)
    second, last = layer(grid[2 * BATCH :], BATCH, between)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last, after)


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("path", ["fast", "plain"])
@pytest.mark.parametrize("make", [lstm, gru])
def test_under_autocast_values_and_gradients_are_nearly_those_of_float32(make, path):
    layer, state = make(True)
    grid = torch.randn(4 * BATCH, WIDTH, *SIZE)
    call = layer if path == "fast" else layer.plain
    results, gradients = [], []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs, _ = call(grid, BATCH, state)
        results.append(outputs.float())
        gradients.append(torch.autograd.grad(outputs.float().square().sum(), list(layer.parameters())))
    torch.testing.assert_close(*results, atol=0.03, rtol=0)
    for own, other in zip(*gradients, strict=True):
        assert own.dtype == torch.float32
        assert (own - other).norm() < 0.05 * other.norm()


def run(name):
    """Frames, state and gradients of a training step of a small model."""
    torch.manual_seed(0)
    model = build(name, (1, 8, 8), 1, **RECURRENT_MODELS[name])
    frames = torch.rand(2, 4, 1, 8, 8) * 2 - 1
    with PackedWeights():
        outputs, state = model(frames)
        loss = weighted_sum([outputs])
        extra = auxiliary_loss(model)
        (loss if extra is None else loss + extra).backward()
    return [outputs, *tensors(state), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("missing", KERNEL_OPERATIONS + PACKING_OPERATIONS)
@pytest.mark.parametrize("name", RECURRENT_MODELS)
def test_models_compute_the_same_where_torch_lacks_a_private_operation(name, missing, monkeypatch):
    expected = run(name)
    monkeypatch.setattr(fast_path, missing, None)
    assert fast_path_available(torch.zeros(1, 1, 1, 1)) == (missing in PACKING_OPERATIONS)
    assert not packing_available(torch.zeros(1, 1, 1, 1), torch.float32) or missing in KERNEL_OPERATIONS
    if missing in KERNEL_OPERATIONS:  # no kernel is called
        for kernel in ("nn.convlstm.conv_lstm", "nn.convgru.conv_gru", "models.stlstm.st_lstm"):
            monkeypatch.setattr(f"pipeline.{kernel}", None)
    for own, other in zip(run(name), expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_an_operation_that_torch_does_not_have_is_none():
    assert fast_path._operation("aten.no_such_operation") is None
    assert fast_path._operation("aten.tanh_backward.no_such_overload") is None
    assert fast_path._operation("aten.tanh_backward") is not None


def test_the_torch_that_is_pinned_has_the_fast_path():
    assert fast_path_available(torch.zeros(1, 1, 1, 1))


def test_other_devices_than_those_tested_take_the_plain_path():
    assert not fast_path_available(torch.zeros(1, 1, 1, 1, device="meta"))
