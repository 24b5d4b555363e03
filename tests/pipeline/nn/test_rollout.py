"""Tests of pipeline/nn/rollout.py, with a generator whose output can be worked out by hand."""

from itertools import islice

import pytest
import torch
from torch import nn

from pipeline.nn.rollout import detach, draw_noise, predict, stream, teacher_forcing_mask, tensors, translate, unroll


class Summing(nn.Module):
    """The output is the sum of all inputs so far; `calls` counts the frames of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def forward(self, frames, state=None):
        self.calls.append(frames.shape[1])
        total = frames.sum(dim=2, keepdim=True).cumsum(dim=1) + (0 if state is None else state[0][:, None])
        return total, (total[:, -1],)


def clip(*values: float) -> torch.Tensor:
    """A clip of 1x1 frames, (1, T, 1, 1, 1)."""
    return torch.tensor(values).reshape(1, -1, 1, 1, 1)


def test_teacher_forcing_is_one_call():
    model = Summing()
    outputs, state = unroll(model, clip(1, 2, 3))
    assert outputs.flatten().tolist() == [1, 3, 6]
    assert state[0].item() == 6
    assert model.calls == [3]


def test_a_rollout_feeds_its_own_output_back_after_one_call_over_the_context():
    model = Summing()
    # 1 + 2 = 3 comes out; 3 + 3 = 6, 6 + 6 = 12
    assert predict(model, clip(1, 2), 3).flatten().tolist() == [3, 6, 12]
    assert model.calls == [2, 1, 1]


def test_a_prediction_of_one_frame_is_one_call():
    model = Summing()
    assert predict(model, clip(1, 2), 1).flatten().tolist() == [3]
    assert model.calls == [2]


def test_a_stream_goes_on_without_end():
    values = [frame.item() for frame in islice(stream(Summing(), clip(1)), 5)]
    assert values == [1, 2, 4, 8, 16]


def test_where_teacher_forcing_is_false_the_model_is_fed_its_own_output():
    model = Summing()
    mask = torch.tensor([[True, True, False, True]])
    # outputs 1, 3; then fed 3: 6; then the true 40: 46
    outputs, _ = unroll(model, clip(1, 2, 30, 40), teacher_forcing=mask)
    assert outputs.flatten().tolist() == [1, 3, 6, 46]
    assert model.calls == [2, 1, 1]


class Told(Summing):
    """Keeps what it is told about the frames that are its own."""

    takes_fed_back = True

    def __init__(self) -> None:
        super().__init__()
        self.told: list = []

    def forward(self, frames, state=None, fed_back=None):
        self.told.append(fed_back if fed_back is None else fed_back.tolist())
        return super().forward(frames, state)


def test_a_generator_that_asks_for_it_is_told_which_frames_are_its_own_output():
    model = Told()
    frames = torch.cat([clip(1, 2, 3, 4)] * 2)
    unroll(model, frames, teacher_forcing=torch.tensor([[True, True, False, True], [True, True, False, False]]))
    assert model.told == [None, [[True], [True]], [[False], [True]]]
    model.told.clear()
    predict(model, frames, 3)
    assert model.told == [None, [[True], [True]], [[True], [True]]]
    model.told.clear()
    unroll(model, frames)
    translate(model, frames)
    assert model.told == [None, None]


def test_clips_of_a_batch_may_differ_in_what_they_are_fed():
    frames = torch.cat([clip(1, 10), clip(1, 10)])
    outputs, _ = unroll(Summing(), frames, teacher_forcing=torch.tensor([[True, True], [True, False]]))
    assert outputs[:, :, 0, 0, 0].tolist() == [[1, 11], [1, 2]]


def test_a_sequence_in_segments_is_the_sequence():
    mask = torch.tensor([[True, True, False, False]])
    whole, _ = unroll(Summing(), clip(1, 2, 9, 9), teacher_forcing=mask)
    first, state = unroll(Summing(), clip(1, 2, 9), teacher_forcing=mask[:, :3])
    second, _ = unroll(Summing(), clip(9), state, teacher_forcing=mask[:, 3:], previous=first[:, -1:])
    assert torch.cat([first, second], dim=1).tolist() == whole.tolist()


def test_sampling_with_certainty_is_teacher_forcing_or_free_running():
    generator = torch.Generator().manual_seed(0)
    assert teacher_forcing_mask(3, 2, 3, 1.0, 1.0, generator).all()
    free = teacher_forcing_mask(1, 2, 3, 0.0, 1.0, generator)
    assert free.tolist() == [[True, True, False, False]]
    assert teacher_forcing_mask(1, 2, 3, 0.0, 0.0, generator, num_forced=3).tolist() == [[True, True, True, False]]


def test_sampling_keeps_the_first_frame_and_the_asked_shares():
    mask = teacher_forcing_mask(2000, 3, 3, 0.25, 0.5, torch.Generator().manual_seed(0)).float().mean(dim=0)
    assert mask[0] == 1
    assert mask[1:].tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25], abs=0.04)


def test_noise_is_further_planes_held_over_time():
    noise = torch.tensor([[100.0]])
    # every input is its frame + 100 (Summing adds channels): 101, then 101 + 101 + 100 = 302
    assert predict(Summing(), clip(1), 2, noise).flatten().tolist() == [101, 302]
    assert translate(Summing(), clip(1, 2), noise).flatten().tolist() == [101, 203]


def test_noise_repeats_with_its_seed_and_is_none_for_a_model_that_takes_none():
    draws = [draw_noise(2, 3, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(draws[0], draws[1])
    assert draws[0].shape == (2, 3)
    assert draw_noise(2, 0, torch.Generator()) is None


def test_detach_keeps_the_values_and_drops_the_graph():
    a, b = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    state = (a * 2, ((b + 1),))
    cut = detach(state)
    assert [part.tolist() for part in tensors(cut)] == [[2, 2], [1, 1]]
    assert not any(part.requires_grad for part in tensors(cut))
    assert detach(None) is None
