"""Tests of pipeline/nn/winograd.py: torch's convolutions and their gradients, to what float32 allows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.nn.convlstm import ConvLstmLayer
from pipeline.nn.fast_path import packing_available
from pipeline.nn.layers import CHANNELS_LAST, channels_last
from pipeline.nn.packed_convolutions import PackedWeights, conv_weight_grad, convolve
from pipeline.nn.winograd import (
    TILE,
    WinogradKernel,
    toom_cook,
    winograd_convolve,
    winograd_convolve_onto,
    winograd_kernel,
    winograd_weight_grad,
)

SIDES = [(8, 12), (7, 9), (4, 5)]  # divided by TILE, and not
float32_only = pytest.mark.skipif(
    not packing_available(torch.zeros(1, 1, 1, 1), torch.float32), reason="nothing is packed"
)


@pytest.fixture(params=[True, False])
def suits(request, monkeypatch):
    """Whether the processor is one for it."""
    monkeypatch.setattr("pipeline.nn.fast_path.products_outrun_convolutions", lambda: request.param)
    return request.param


def case(size, sides, channels=(5, 6), count=3):
    torch.manual_seed(0)
    inputs, outputs = channels
    weight = torch.randn(outputs, inputs, size, size) / (inputs * size * size) ** 0.5
    return channels_last(torch.randn(count, inputs, *sides)), channels_last(weight)


def close(own, exact):
    torch.testing.assert_close(own.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [3, 5])
def test_the_matrices_multiply_polynomials_exactly(size):
    g, b, a = toom_cook(size)
    rng = np.random.default_rng(0)
    weights, signal = rng.standard_normal(size), rng.standard_normal(TILE + size - 1)
    assert a @ ((g @ weights) * (b @ signal)) == pytest.approx(np.correlate(signal, weights, "valid"), abs=1e-12)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("sides", SIDES)
def test_a_convolution_is_that_of_torch(size, sides, monkeypatch):
    grid, weight = case(size, sides)
    bias = torch.randn(6)
    exact = F.conv2d(grid.double(), weight.double(), padding=size // 2)
    kernel = winograd_kernel(weight)
    result = winograd_convolve(grid, kernel, None)
    assert result.is_contiguous(memory_format=CHANNELS_LAST)
    close(result, exact)
    close(winograd_convolve(grid, kernel, bias), exact + bias.double()[:, None, None])
    wide = channels_last(torch.randn(3, 9, *sides))  # onto some of the channels: the others stay
    before = wide.double()
    winograd_convolve_onto(wide[:, 2:8], grid, kernel)
    before[:, 2:8] += exact
    close(wide, before)
    monkeypatch.setattr("pipeline.nn.winograd.CHUNK", 1)  # an image at a time
    close(winograd_convolve(grid, kernel, None), exact)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("sides", SIDES)
def test_the_gradient_of_the_weight_is_that_of_autograd(size, sides):
    grid, weight = case(size, sides)
    grad_output = channels_last(torch.randn(3, 8, *sides))[:, 1:7]
    exact = weight.double().requires_grad_()
    F.conv2d(grid.double(), exact, padding=size // 2).backward(grad_output.double())
    close(winograd_weight_grad(grad_output, grid, size), exact.grad)


@float32_only
def test_it_is_chosen_for_large_convolutions_of_float32_alone(suits):
    def kinds(grid, weight, dtype=None):
        with (
            torch.no_grad(),
            PackedWeights() as packed,
            torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None),
        ):
            convolve(grid, weight)
        return [type(kernel.kernel) for kernel in packed.kernels.values()]

    chosen = [WinogradKernel if suits else torch.Tensor]
    assert kinds(*case(5, (16, 16), (64, 64))) == chosen
    assert kinds(*case(3, (16, 16), (64, 64))) == chosen
    assert kinds(*case(3, (16, 16), (16, 64))) == [torch.Tensor]  # the transforms would take what is saved
    assert kinds(*case(5, (4, 4), (64, 64), 1)) == [torch.Tensor]
    assert kinds(*case(7, (16, 16), (64, 64))) == [torch.Tensor]
    assert kinds(*case(5, (16, 16), (64, 64)), torch.bfloat16) == [torch.Tensor]


@float32_only
def test_a_layer_computes_its_equations_and_their_gradients_with_it(suits, monkeypatch):
    torch.manual_seed(0)
    layer, grid = ConvLstmLayer(32, 32, 5), channels_last(torch.randn(12, 32, 16, 16))
    called = []
    grads_of = winograd_weight_grad

    def noted(*arguments):
        called.append(arguments)
        return grads_of(*arguments)

    monkeypatch.setattr("pipeline.nn.packed_convolutions.winograd_weight_grad", noted)
    grads = []
    for way in (layer.plain, layer):
        x = grid.clone().requires_grad_()
        with PackedWeights():
            hiddens, (_, cell) = way(x, 4, None)
            grads.append(torch.autograd.grad((hiddens.square().sum() + cell.sum()), (x, *layer.parameters())))
    assert bool(called) == suits
    for plain, own in zip(*grads, strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-3, atol=1e-4 * plain.abs().max().item())


def test_the_bias_gradient_comes_along():
    grid, _ = case(5, (16, 16), (32, 32))
    grad_output = channels_last(torch.randn(3, 32, 16, 16))
    with torch.no_grad():
        _, bias = conv_weight_grad(grad_output, grid, 5)
    torch.testing.assert_close(bias, grad_output.sum(dim=(0, 2, 3)))
