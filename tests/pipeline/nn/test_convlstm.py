"""The ConvLSTM layer: its values against the equations, worked out by hand."""

import pytest
import torch

from pipeline.nn import fast_path
from pipeline.nn.convlstm import ConvLstmLayer


@pytest.mark.parametrize("path", ["fast", "plain"])
def test_a_layer_computes_the_equations_of_the_paper(path, monkeypatch):
    if path == "plain":
        monkeypatch.setattr(fast_path, "tanh_backward_into", None)
    layer = ConvLstmLayer(1, 1, 1)
    with torch.no_grad():
        layer.from_input.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1))
        layer.from_input.bias.zero_()
        layer.from_hidden.weight.copy_(torch.tensor([0.5, -0.5, 0.25, 1.0]).reshape(4, 1, 1, 1))
    outputs, (hidden, cell) = layer(torch.tensor([0.1, -0.2]).reshape(2, 1, 1, 1), 1, None)

    def sigmoid(x: float | torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.as_tensor(x))

    c1 = sigmoid(0.1) * torch.tanh(torch.tensor(0.3))
    h1 = sigmoid(0.4) * torch.tanh(c1)
    c2 = sigmoid(-0.4 - 0.5 * h1) * c1 + sigmoid(-0.2 + 0.5 * h1) * torch.tanh(-0.6 + 0.25 * h1)
    h2 = sigmoid(-0.8 + h1) * torch.tanh(c2)
    torch.testing.assert_close(outputs.flatten(), torch.stack([h1, h2]).flatten())
    torch.testing.assert_close(cell.flatten(), c2.flatten())
    torch.testing.assert_close(hidden.flatten(), h2.flatten())
