"""Tests of pipeline/training/gradients.py, against networks whose gradients can be worked out by hand."""

import pytest
import torch
from torch import nn

from pipeline.models import build
from pipeline.nn.rollout import auxiliary_loss
from pipeline.training.gradients import gradient_norms


class Decaying(nn.Module):
    """h_t = a h_{t-1} + x_t, y_t = h_t: the gradient of y_T w.r.t. h_{T-k} is a^k."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, frames, state=None):
        h, outputs = (torch.zeros_like(frames[:, 0]) if state is None else state[0]), []
        for t in range(frames.shape[1]):
            h = self.a * h + frames[:, t]
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h,)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_norms_are_powers_of_the_recurrent_weight(a):
    inputs = torch.zeros(3, 5, 1, 1, 1)
    # the output is 0, the target 1: the derivative of the loss w.r.t. the output is 2 (0 - 1)
    norms = gradient_norms(Decaying(a), inputs, torch.ones_like(inputs))
    assert norms.tolist() == pytest.approx([2 * a, 2 * a**2, 2 * a**3, 2 * a**4])


def test_parameters_get_no_gradient_and_the_mode_stays():
    model = Decaying(0.5).eval()
    gradient_norms(model, torch.zeros(1, 3, 1, 1, 1), torch.ones(1, 3, 1, 1, 1))
    assert model.a.grad is None
    assert not model.training


def test_no_auxiliary_loss_of_the_probe_is_left_for_training():
    sizes = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 4, "decoupling": 0.5}
    model = build("stlstm", (1, 8, 8), 1, **sizes)
    clips = torch.zeros(2, 3, 1, 8, 8)
    gradient_norms(model, clips, clips)
    assert auxiliary_loss(model) is None


def test_a_fresh_sigmoid_rnn_forgets_within_ten_steps_what_an_lstm_keeps():
    inputs, targets = torch.rand(2, 4, 30, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    norms = {}
    for name, sizes in (
        ("rnn", {"hidden_size": 32, "num_layers": 1, "nonlinearity": "sigmoid"}),
        ("lstm", {"hidden_size": 32, "num_layers": 1}),
    ):
        torch.manual_seed(0)
        norms[name] = gradient_norms(build(name, (1, 8, 8), 1, **sizes), inputs, targets)
    # σ' is at most 1/4, so an orthogonal recurrence loses at least three quarters at every step
    assert norms["rnn"][9] < norms["rnn"][0] * 0.25**9 * 1.01
    assert norms["lstm"][9] > 1e3 * norms["rnn"][9]


def test_frames_that_a_state_keeps_as_they_were_fed_do_not_count():
    class Remembers(Decaying):
        def forward(self, frames, state=None):
            output, state = super().forward(frames, None if state is None else state[1:])
            return output, (frames[:, -1], *state)

    inputs = torch.zeros(3, 5, 1, 1, 1)
    norms = gradient_norms(Remembers(0.5), inputs, torch.ones_like(inputs))
    assert norms.tolist() == pytest.approx([1, 0.5, 0.25, 0.125])
