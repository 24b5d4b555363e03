"""minConvGRU and minConvLSTM: the two scans against the recurrence as the paper writes it."""

import pytest
import torch

from pipeline.models import build
from pipeline.nn.minconv import MinConvLayer, parallel_scan, scan, sequential_scan


def recurrence(decay, new, first):
    h, hiddens = first, []
    for a, b in zip(decay, new, strict=True):
        h = a * h + b
        hiddens.append(h)
    return torch.stack(hiddens)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 19])
@pytest.mark.parametrize("one_of_two", [sequential_scan, parallel_scan])
def test_both_scans_are_the_recurrence_and_have_its_gradient(one_of_two, num_steps):
    generator = torch.Generator().manual_seed(num_steps)
    decay = torch.rand(num_steps, 2, 3, dtype=torch.float64, generator=generator)
    new = torch.randn(num_steps, 2, 3, dtype=torch.float64, generator=generator)
    weight = torch.randn(num_steps, 2, 3, dtype=torch.float64, generator=generator)
    found = []
    for compute in (one_of_two, lambda a, b: recurrence(a, b, torch.zeros(2, 3, dtype=torch.float64))):
        parts = decay.clone().requires_grad_(), new.clone().requires_grad_()
        hiddens = compute(*parts)
        (hiddens * weight).sum().backward()
        found.append([hiddens.detach(), parts[1].grad, torch.zeros_like(decay) if num_steps == 1 else parts[0].grad])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_scan_goes_on_from_a_state():
    decay, new, first = torch.rand(5, 2, 3), torch.randn(5, 2, 3), torch.randn(2, 3)
    torch.testing.assert_close(scan(decay, new, first), recurrence(decay, new, first))


def test_a_gru_layer_is_the_papers_equations():
    layer = MinConvLayer(2, 3, 3, "gru")
    x, h = torch.randn(1, 2, 4, 4), torch.randn(1, 3, 4, 4)
    z, candidate = layer.from_input(x).chunk(2, dim=1)
    z = z.sigmoid()
    torch.testing.assert_close(layer(x, 1, h)[0], (1 - z) * h + z * candidate)


def test_an_lstm_layer_is_the_papers_equations():
    layer = MinConvLayer(2, 3, 3, "lstm")
    x, h = torch.randn(1, 2, 4, 4), torch.randn(1, 3, 4, 4)
    f, i, candidate = layer.from_input(x).chunk(3, dim=1)
    f, i = f.sigmoid(), i.sigmoid()
    torch.testing.assert_close(layer(x, 1, h)[0], f / (f + i) * h + i / (f + i) * candidate)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_it_remembers_what_it_saw_before_the_last_frame(cell):
    torch.manual_seed(0)
    sizes = {"hidden_channels": 8, "num_layers": 2, "kernel_size": 3, "patch_size": 4}
    model = build("minconv", (1, 8, 8), 1, cell=cell, **sizes)
    frames = torch.rand(2, 4, 1, 8, 8) * 2 - 1
    frames[1, 1:] = frames[0, 1:]  # another first frame
    outputs, _ = model(frames)
    assert (outputs[0, 3] - outputs[1, 3]).abs().max() > 1e-4


@pytest.mark.gpu
def test_a_gpu_takes_the_parallel_scan_to_the_same_values():
    layer, x = MinConvLayer(2, 3, 3, "gru"), torch.randn(12, 2, 4, 4)
    torch.testing.assert_close(
        layer.cuda()(x.cuda(), 2, None)[0].cpu(), layer.cpu()(x, 2, None)[0], rtol=1e-3, atol=1e-4
    )
