"""The ConvGRU layer: its values against the equations, worked out by hand."""

import pytest
import torch

from pipeline.nn import fast_path
from pipeline.nn.convgru import ConvGru


@pytest.mark.parametrize("path", ["fast", "plain"])
def test_a_layer_computes_the_equations_of_the_paper_without_the_reset_gate(path, monkeypatch):
    if path == "plain":
        monkeypatch.setattr(fast_path, "tanh_backward_into", None)
    layer = ConvGru(1)
    with torch.no_grad():
        layer.from_input.weight.zero_()
        layer.from_hidden.weight.zero_()
        # on a grid of one cell only the middle of the 3x3 kernels counts
        layer.from_input.weight[:, 0, 1, 1] = torch.tensor([1.0, 3.0])
        layer.from_hidden.weight[:, 0, 1, 1] = torch.tensor([0.5, -0.5])
    outputs, last = layer(torch.tensor([0.1, -0.2]).reshape(2, 1, 1, 1), 1, None)
    z1 = torch.sigmoid(torch.tensor(0.1 - 1))  # the bias of z begins at -1
    h1 = z1 * torch.tanh(torch.tensor(0.3))
    z2 = torch.sigmoid(-0.2 + 0.5 * h1 - 1)
    h2 = (1 - z2) * h1 + z2 * torch.tanh(-0.6 - 0.5 * h1)
    torch.testing.assert_close(outputs.flatten(), torch.stack([h1, h2]))
    torch.testing.assert_close(last.flatten(), h2[None])
