"""Tests of pipeline/nn/recurrent.py: the way back that is written out is the one that autograd finds."""

import pytest
import torch
from pipeline.nn.convgru import ConvGru
from pipeline.nn.convlstm import ConvLstmLayer

BATCH, WIDTH, SIZE = 2, 3, (4, 5)


def plain_lstm(layer, grid, state):
    hidden, cell = state or (torch.zeros(BATCH, WIDTH, *SIZE),) * 2
    outputs = []
    for gates in layer.from_input(grid).split(BATCH):
        i, f, g, o = (gates + layer.from_hidden(hidden)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.cat(outputs), (hidden, cell)


def plain_gru(layer, grid, hidden):
    if hidden is None:
        hidden = torch.zeros(BATCH, WIDTH, *SIZE)
    outputs = []
    for gates in layer.from_input(grid).split(BATCH):
        update, new = (gates + layer.from_hidden(hidden)).chunk(2, dim=1)
        hidden = torch.lerp(hidden, torch.tanh(new), torch.sigmoid(update))
        outputs.append(hidden)
    return torch.cat(outputs), hidden


def lstm(with_state):
    torch.manual_seed(0)
    states = [torch.randn(BATCH, WIDTH, *SIZE, requires_grad=True) for _ in range(2)]
    return ConvLstmLayer(WIDTH, WIDTH, 3), plain_lstm, tuple(states) if with_state else None


def gru(with_state):
    torch.manual_seed(0)
    return ConvGru(WIDTH), plain_gru, torch.randn(BATCH, WIDTH, *SIZE, requires_grad=True) if with_state else None


def flat(outputs, state):
    return [outputs, *(state if isinstance(state, tuple) else [state])]


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("make", [lstm, gru])
@pytest.mark.parametrize("through", ["all", "outputs", "state"])
def test_values_and_gradients_are_those_of_the_plain_loop(make, with_state, steps, through):
    layer, plain, state = make(with_state)
    grid = torch.randn(steps * BATCH, WIDTH, *SIZE, requires_grad=True)
    inputs = [grid, *layer.parameters(), *([] if state is None else state if isinstance(state, tuple) else [state])]
    ours, reference = flat(*layer(grid, BATCH, state)), flat(*plain(layer, grid, state))
    gradients = []
    for results in (ours, reference):
        chosen = {"all": results, "outputs": results[:1], "state": results[1:]}[through]
        loss = sum((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum() for result in chosen)
        gradients.append(torch.autograd.grad(loss, inputs, allow_unused=True, retain_graph=True))
    for own, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(own, other)
    for own, other in zip(*gradients, strict=True):
        if own is None:
            assert other is None or not other.any()
        else:
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
    # nothing that a second way back needs was overwritten
    chosen = {"all": ours, "outputs": ours[:1], "state": ours[1:]}[through]
    loss = sum((result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum() for result in chosen)
    for own, again in zip(gradients[0], torch.autograd.grad(loss, inputs, allow_unused=True), strict=True):
        assert own is again is None or torch.equal(own, again)


@pytest.mark.parametrize("make", [lstm, gru])
def test_the_sequence_may_be_cut_anywhere(make):
    layer, _, state = make(True)
    grid = torch.randn(5 * BATCH, WIDTH, *SIZE)
    whole, after = layer(grid, BATCH, state)
    first, between = layer(grid[: 2 * BATCH], BATCH, state)
    second, last = layer(grid[2 * BATCH :], BATCH, between)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last, after)


@pytest.mark.usefixtures("scope")
@pytest.mark.parametrize("make", [lstm, gru])
def test_under_autocast_gradients_are_nearly_those_of_float32(make):
    layer, _, state = make(True)
    grid = torch.randn(4 * BATCH, WIDTH, *SIZE)
    gradients = []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs, _ = layer(grid, BATCH, state)
        gradients.append(torch.autograd.grad(outputs.float().square().sum(), list(layer.parameters())))
    for own, other in zip(*gradients, strict=True):
        assert own.dtype == torch.float32
        assert (own - other).norm() < 0.05 * other.norm()
