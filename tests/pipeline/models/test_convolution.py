"""Tests of pipeline/models/convolution.py: the same values as torch's convolutions, whatever was packed before."""

import pytest
import torch
import torch.nn.functional as F

from pipeline.models import build
from pipeline.models.convolution import FixedWeights, add_convolution, add_of_input, convolve, of_input, of_weights
from pipeline.models.layers import CHANNELS_LAST, channels_last, same_conv
from pipeline.rollout import predict, stream

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}
TYPES = [torch.float32, torch.float64, torch.bfloat16]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}


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
def test_the_way_there_is_that_of_torch(dtype, kernel_size, size):
    layer, grid = conv(kernel_size, dtype), images(5, dtype, size=size)
    truth = layer(grid).detach()
    for _ in range(2):  # packed, then found packed
        result = convolve(grid, layer.weight, layer.bias)
        assert result.is_contiguous(memory_format=CHANNELS_LAST)
        close(result, truth)
    # onto some of the channels, the others stay
    sums = images(9, dtype, size=size)
    before = sums.clone()
    add_convolution(sums[:, 2:8], grid, layer.weight)
    close(sums[:, 2:8], before[:, 2:8] + truth - layer.bias.detach()[:, None, None])
    assert torch.equal(sums[:, :2], before[:, :2])
    assert torch.equal(sums[:, 8:], before[:, 8:])


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel_size", [1, 5])
@pytest.mark.parametrize("outputs", [None, (1, 4)])
def test_the_way_back_is_that_of_autograd(dtype, kernel_size, outputs):
    layer, grid = conv(kernel_size, dtype), images(5, dtype).requires_grad_()
    start, stop = outputs or (0, 6)
    of_output = images(8, dtype)[:, 1 : 1 + stop - start]
    of_grid, of_weight, of_bias = torch.autograd.grad(
        layer(grid)[:, start:stop], (grid, layer.weight, layer.bias), of_output
    )
    for _ in range(2):
        close(of_input(of_output, layer.weight, outputs), of_grid)
    sums = images(5, dtype)
    before = sums.clone()
    add_of_input(sums, of_output, layer.weight, outputs)
    close(sums, before + of_grid)
    own_weight, own_bias = of_weights(of_output, grid.detach(), kernel_size)
    assert own_weight.dtype == own_bias.dtype == torch.float32
    scale = TOLERANCE[dtype] + 1e-5
    torch.testing.assert_close(own_weight, of_weight[start:stop].float(), rtol=scale, atol=4 * scale)
    torch.testing.assert_close(own_bias, of_bias[start:stop].float(), rtol=scale, atol=4 * scale)


@pytest.mark.usefixtures("scope")
def test_under_autocast_it_is_in_the_lower_type():
    layer, grid = conv(), images(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(convolve(grid, layer.weight, layer.bias), layer(grid).detach())
    close(convolve(grid, layer.weight, layer.bias), layer(grid).detach())


def test_without_a_word_that_weights_stay_as_they_are_nothing_is_kept():
    # fused optimizers change weights and leave no trace of it in the tensor's version
    layer, grid, of_output = conv(), images(5), images(6)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        with FixedWeights():
            close(convolve(grid, layer.weight), F.conv2d(grid, layer.weight.detach(), padding=1))
        close(convolve(grid, layer.weight), F.conv2d(grid, layer.weight.detach(), padding=1))
        close(of_input(of_output, layer.weight), F.conv_transpose2d(of_output, layer.weight.detach(), padding=1))
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()


def test_weights_are_packed_once_for_all_calls_within():
    layer, grid = conv(), images(5)
    fixed = FixedWeights()
    for _ in range(2):  # entered again, it knows what it knew
        with fixed:
            for _ in range(3):
                convolve(grid, layer.weight)
                add_convolution(images(6), grid, layer.weight)
                of_input(images(6), layer.weight)
    assert len(fixed.kernels) == 2
    with fixed, FixedWeights() as inner:
        convolve(grid, layer.weight)
    assert len(inner.kernels) == 1
    assert len(fixed.kernels) == 2


def test_two_streams_that_take_turns_see_the_weights_each_began_with():
    first, second = (build("convlstm", (1, 8, 8), 1, **SIZES) for _ in range(2))
    context = torch.rand(2, 3, 1, 8, 8)
    with torch.no_grad():
        expected = [predict(model, context, 4) for model in (first, second)]
        streams = [stream(model, context) for model in (first, second)]
        frames = [[next(one) for one in streams] for _ in range(4)]
    for own, other in zip(zip(*frames, strict=True), expected, strict=True):
        torch.testing.assert_close(torch.cat(own, dim=1), other)


def test_weights_made_in_inference_mode_work_too():
    with torch.inference_mode():
        layer, grid = conv(), images(5)
        with FixedWeights():
            close(convolve(grid, layer.weight, layer.bias), layer(grid))
