"""Tests of the plain RNN: the fast kernel computes the article's equations, for both nonlinearities."""

import pytest
import torch

from pipeline.models.rnn import PlainRnn


@pytest.mark.parametrize(("nonlinearity", "sigma"), [("tanh", torch.tanh), ("sigmoid", torch.sigmoid)])
def test_it_computes_the_equations_of_the_article(nonlinearity, sigma):
    torch.manual_seed(0)
    model = PlainRnn((2, 3, 3), 1, hidden_size=5, num_layers=1, nonlinearity=nonlinearity)
    with torch.no_grad():
        model.b_h[0].normal_()
        model.output.bias.normal_()
    frames = torch.rand(2, 4, 2, 3, 3) * 2 - 1

    h = torch.zeros(2, 5)
    for t in range(4):
        x = frames[:, t].flatten(1)
        h = sigma(h @ model.W_hh[0].T + x @ model.W_xh[0].T + model.b_h[0])
        y = h @ model.output.weight.T + model.output.bias
        outputs, state = model(frames[:, : t + 1])
        assert torch.allclose(outputs[:, t].flatten(1), torch.tanh(y), atol=1e-5)
        assert torch.allclose(state[0], h, atol=1e-5)


def test_it_has_one_bias_a_layer_as_the_equations_do():
    names = [
        name for name, _ in PlainRnn((1, 2, 2), 1, hidden_size=3, num_layers=2, nonlinearity="tanh").named_parameters()
    ]
    assert names == ["W_xh.0", "W_xh.1", "W_hh.0", "W_hh.1", "b_h.0", "b_h.1", "output.weight", "output.bias"]
