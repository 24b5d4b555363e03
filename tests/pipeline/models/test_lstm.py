"""Tests of the reference LSTM: the equations, the layers of the article and how its weights begin."""

import pytest
import torch

from pipeline.models import lstm
from pipeline.models.lstm import StackedLstm, bfloat16_lstm_available
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


def wide_model_and_frames():
    torch.manual_seed(0)
    model = StackedLstm((1, 16, 16), 1, hidden_size=8, num_layers=2)
    return model, torch.rand(3, 5, 1, 16, 16) * 2 - 1


def values_and_gradients(model, frames, *, autocast=True):
    """Two calls, the second with the state of the first."""
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        first, state = model(frames)
        second, _ = model(frames, state)
    (first * frames + second).square().sum().backward()
    return torch.cat([first, second]), [parameter.grad.clone() for parameter in model.parameters()]


def assert_nearly_equal(one, other):
    # bfloat16 has three digits
    assert torch.allclose(one[0], other[0], atol=0.02)
    for own, expected in zip(one[1], other[1], strict=True):
        assert (own - expected).norm() < 0.03 * expected.norm()


def test_wide_frames_take_another_kernel_to_the_same_values(monkeypatch):
    model, frames = wide_model_and_frames()
    calls = []
    original = torch.lstm
    monkeypatch.setattr(torch, "lstm", lambda *arguments: calls.append(1) or original(*arguments))
    wide = values_and_gradients(model, frames)
    # a processor without an LSTM in bfloat16 computes in float32, where it takes torch's own
    assert len(calls) == (2 if bfloat16_lstm_available() else 0)
    monkeypatch.setattr(lstm, "WIDE", 1000)
    calls.clear()
    assert_nearly_equal(wide, values_and_gradients(model, frames))
    assert calls == []


@pytest.mark.parametrize("wide", [True, False])
def test_a_processor_without_an_lstm_in_bfloat16_computes_it_in_float32(wide, monkeypatch):
    model, frames = wide_model_and_frames()
    monkeypatch.setattr(lstm, "WIDE", 8 if wide else 1000)
    expected = values_and_gradients(model, frames, autocast=False)
    monkeypatch.setattr(model, "has_bfloat16", False)
    dtypes = []
    model.output.register_forward_pre_hook(lambda _, inputs: dtypes.append(inputs[0].dtype))
    result = values_and_gradients(model, frames)
    assert dtypes == [torch.float32] * 2
    assert_nearly_equal(result, expected)


def test_the_processor_is_asked_without_touching_random_numbers_and_by_an_error():
    bfloat16_lstm_available.cache_clear()
    state = torch.get_rng_state()
    with torch.inference_mode(), torch.device("meta"):
        answer = bfloat16_lstm_available()
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.zeros(1, 1, 1)
    if answer:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.nn.LSTM(1, 1)(x)[0].dtype == torch.bfloat16
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RuntimeError, match="primitive"):
            torch.nn.LSTM(1, 1)(x)
