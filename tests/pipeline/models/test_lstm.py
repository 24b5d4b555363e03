"""Tests of the reference LSTM: the equations, the layers of the article and how its weights begin."""

import torch

from pipeline.models.lstm import StackedLstm
from pipeline.params import load_params


def test_it_computes_the_equations_of_the_lstm():
    torch.manual_seed(0)
    model = StackedLstm((1, 2, 2), 1, hidden_size=3, num_layers=1)
    frames = torch.rand(1, 3, 1, 2, 2)
    W, U, b = model.lstm.weight_ih_l0, model.lstm.weight_hh_l0, model.lstm.bias_ih_l0
    h = c = torch.zeros(1, 3)
    for t in range(3):
        i, f, g, o = (frames[:, t].flatten(1) @ W.T + h @ U.T + b).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    outputs, (h_last, c_last) = model(frames)
    assert torch.allclose(h_last[:, 0], h, atol=1e-5)
    assert torch.allclose(c_last[:, 0], c, atol=1e-5)
    assert torch.allclose(outputs[:, -1].flatten(1), torch.tanh(model.output(h)), atol=1e-5)


def test_the_default_is_the_model_of_the_article(request):
    section = load_params(request.config.rootpath / "params.yaml").model.lstm
    model = StackedLstm((1, 32, 32), 1, hidden_size=section.hidden_size, num_layers=section.num_layers)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters() if "weight" in name}
    assert shapes == {
        "lstm.weight_ih_l0": (512, 1024),
        "lstm.weight_hh_l0": (512, 128),
        "lstm.weight_ih_l1": (512, 128),
        "lstm.weight_hh_l1": (512, 128),
        "output.weight": (1024, 128),
    }
    recipe = section.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (100, 32, 1e-3)


def test_weights_begin_as_keras_begins_them():
    model = StackedLstm((1, 4, 4), 1, hidden_size=4, num_layers=2)
    for layer in (0, 1):
        assert getattr(model.lstm, f"bias_ih_l{layer}").tolist() == [0] * 4 + [1] * 4 + [0] * 8
        assert getattr(model.lstm, f"bias_hh_l{layer}").tolist() == [0] * 16
        recurrent = getattr(model.lstm, f"weight_hh_l{layer}")
        assert torch.allclose(recurrent.T @ recurrent, torch.eye(4), atol=1e-5)
    limit = (6 / (16 + 16)) ** 0.5
    assert model.lstm.weight_ih_l0.abs().max() <= limit


def test_wide_frames_take_another_way_to_the_same_values(monkeypatch):
    torch.manual_seed(0)
    model = StackedLstm((1, 16, 16), 1, hidden_size=8, num_layers=2)
    frames = torch.rand(3, 5, 1, 16, 16) * 2 - 1

    def run():
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            first, state = model(frames)
            second, _ = model(frames, state)
        (first * frames + second).square().sum().backward()
        return torch.cat([first, second]), [parameter.grad.clone() for parameter in model.parameters()]

    taken = []
    original = torch.lstm
    monkeypatch.setattr(torch, "lstm", lambda *arguments: taken.append(1) or original(*arguments))
    outputs, gradients = run()
    assert len(taken) == 2
    monkeypatch.setattr("pipeline.models.lstm.WIDE", 1000)
    expected, expected_gradients = run()
    assert len(taken) == 2
    # bfloat16 has three digits
    assert torch.allclose(outputs, expected, atol=0.02)
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert (one - other).norm() < 0.03 * other.norm()
