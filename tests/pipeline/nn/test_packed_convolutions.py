"""Tests of pipeline/nn/packed_convolutions.py: the same values as torch's convolutions, whatever was packed before."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.models import build
from pipeline.nn.layers import CHANNELS_LAST, channels_last, same_conv
from pipeline.nn.packed_convolutions import (
    PackedWeights,
    add_conv_input_grad,
    add_convolution,
    conv_input_grad,
    conv_weight_grad,
    convolve,
)
from pipeline.nn.rollout import predict, stream, unroll_with_checkpoints

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}
TYPES = [torch.float32, torch.float64, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def no_gradients():
    """As within the functions that call these."""
    with torch.no_grad():
        yield


def conv(kernel_size=3, dtype=torch.float32):
    torch.manual_seed(0)
    return same_conv(5, 6, kernel_size).to(dtype)


def images(channels, dtype=torch.float32, count=2, size=(4, 7)):
    return channels_last(torch.randn(count, channels, *size, dtype=dtype))


def close(own, other):
    assert own.dtype == other.dtype
    torch.testing.assert_close(own, other, rtol=TOLERANCE[own.dtype], atol=TOLERANCE[own.dtype])


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel_size", [1, 5])
@pytest.mark.parametrize("size", [(4, 7), (1, 1)])
def test_convolutions_are_those_of_torch(dtype, kernel_size, size):
    layer, grid = conv(kernel_size, dtype), images(5, dtype, size=size)
    expected = layer(grid)
    for _ in range(2):  # packed, then found packed
        result = convolve(grid, layer.weight, layer.bias)
        assert result.is_contiguous(memory_format=CHANNELS_LAST)
        close(result, expected)
        close(convolve(grid, layer.weight, layer.bias, channels=(1, 4)), expected[:, 1:4])
    # onto some of the channels is slower, and works: the others stay
    for start, channels in ((0, 6), (2, 9)):
        sums = images(channels, dtype, size=size)
        initial = sums.clone()
        add_convolution(sums[:, start : start + 6], grid, layer.weight)
        initial[:, start : start + 6] += expected - layer.bias[:, None, None]
        close(sums, initial)


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel_size", [1, 5])
@pytest.mark.parametrize("channels", [None, (1, 4)])
def test_gradients_are_those_of_autograd(dtype, kernel_size, channels):
    layer, grid = conv(kernel_size, dtype), images(5, dtype).requires_grad_()
    start, stop = channels or (0, 6)
    grad_output = images(8, dtype)[:, 1 : 1 + stop - start]
    with torch.enable_grad():
        result = layer(grid)[:, start:stop]
    grad_grid, grad_weight, grad_bias = torch.autograd.grad(result, (grid, layer.weight, layer.bias), grad_output)
    for _ in range(2):
        close(conv_input_grad(grad_output, layer.weight, channels=channels), grad_grid)
    sums = images(5, dtype)
    initial = sums.clone()
    add_conv_input_grad(sums, grad_output, layer.weight, channels=channels)
    close(sums, initial + grad_grid)
    own_weight, own_bias = conv_weight_grad(grad_output, grid.detach(), kernel_size)
    scale = 4 * TOLERANCE[dtype]  # sums over many pixels
    torch.testing.assert_close(own_weight, grad_weight[start:stop], rtol=scale, atol=scale)
    torch.testing.assert_close(own_bias, grad_bias[start:stop], rtol=scale, atol=scale)


@pytest.mark.usefixtures("scope")
def test_under_autocast_it_is_in_the_lower_type():
    layer, grid = conv(), images(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(convolve(grid, layer.weight, layer.bias), layer(grid))
    close(convolve(grid, layer.weight, layer.bias), layer(grid))


def test_outside_weights_that_have_changed_are_seen_at_once():
    # fused optimizers change weights and leave no trace of it in the tensor's version
    layer, grid, grad_output = conv(), images(5), images(6)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        with PackedWeights():
            close(convolve(grid, layer.weight), F.conv2d(grid, layer.weight, padding=1))
        close(convolve(grid, layer.weight), F.conv2d(grid, layer.weight, padding=1))
        close(conv_input_grad(grad_output, layer.weight), F.conv_transpose2d(grad_output, layer.weight, padding=1))
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="nothing is packed")
def test_weights_are_packed_once_for_all_calls_within():
    layer, grid = conv(), images(5)
    packed = PackedWeights()
    for _ in range(2):  # entered again, it knows what it knew
        with packed:
            for _ in range(3):
                convolve(grid, layer.weight)
                add_convolution(images(6), grid, layer.weight)
                conv_input_grad(images(6), layer.weight)
    assert len(packed.kernels) == 2
    with packed, PackedWeights() as inner:
        convolve(grid, layer.weight)
    assert len(inner.kernels) == 1
    assert len(packed.kernels) == 2


@pytest.mark.parametrize("dtype", TYPES)
def test_a_check_notices_weights_that_have_changed_while_packed(dtype):
    layer, grid = conv(dtype=dtype), images(5, dtype)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    layer.weight.grad, layer.bias.grad = torch.ones_like(layer.weight), torch.ones_like(layer.bias)
    with PackedWeights(check=True):
        convolve(grid, layer.weight)
        convolve(grid, layer.weight)
        optimizer.step()
        with pytest.raises(AssertionError, match=r"a weight \(6, 5, 3, 3\) has changed while it was packed"):
            convolve(grid, layer.weight)
    with PackedWeights(check=True):
        convolve(grid, layer.weight)


def test_the_check_is_a_debug_mode_that_is_on_in_tests(monkeypatch):
    assert PackedWeights().check
    monkeypatch.setattr("pipeline.nn.packed_convolutions.CHECK", False)
    assert not PackedWeights().check
    layer, grid = conv(), images(5)
    with PackedWeights() as packed:
        convolve(grid, layer.weight)
    assert [kernel.copy for kernel in packed.kernels.values()] == [None]


def test_two_streams_that_take_turns_each_use_their_own_weights():
    first, second = (build("convlstm", (1, 8, 8), 1, **SIZES) for _ in range(2))
    context = torch.rand(2, 3, 1, 8, 8)
    expected = [predict(model, context, 4) for model in (first, second)]
    streams = [stream(model, context) for model in (first, second)]
    frames = [[next(one) for one in streams] for _ in range(4)]
    for own, other in zip(zip(*frames, strict=True), expected, strict=True):
        torch.testing.assert_close(torch.cat(own, dim=1), other)


def test_weights_made_in_inference_mode_work_too():
    with torch.inference_mode():
        layer, grid = conv(), images(5)
        with PackedWeights():
            close(convolve(grid, layer.weight, layer.bias), layer(grid))


def test_gradients_that_would_be_lost_are_refused():
    layer, grid = conv(), images(5)
    with torch.enable_grad(), pytest.raises(AssertionError):
        convolve(grid, layer.weight)


@pytest.mark.parametrize("name", ["convlstm", "stlstm"])
def test_what_activation_checkpointing_computes_again_is_not_packed_again(name):
    more = {"decoupling": 0.0} if name == "stlstm" else {}
    model, frames = build(name, (1, 8, 8), 1, **SIZES, **more), torch.rand(2, 9, 1, 8, 8)
    counts = []
    for steps in (1, 3):
        with torch.enable_grad(), PackedWeights() as packed:
            outputs, _ = unroll_with_checkpoints(model, frames, None, steps)
            outputs.sum().backward()
        counts.append(len({use[:-1] for use in packed.kernels}))
        assert len(packed.kernels) <= 2 * counts[-1]  # stretches and single steps
    assert counts[0] == counts[1]


def test_float64_stays_so_under_autocast():
    layer, grid = conv(dtype=torch.float64), images(5, torch.float64)
    with PackedWeights(), torch.autocast("cpu", dtype=torch.bfloat16):
        close(convolve(grid, layer.weight, layer.bias), layer(grid))
