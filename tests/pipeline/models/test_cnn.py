"""The CNN's blocks: fed its own output it decodes the next grid of a block, any other frame begins a new block."""

import torch

from pipeline.models import build
from pipeline.nn.residual import Residual
from pipeline.nn.rollout import predict, unroll

SIZES = {"hidden_channels": 4, "num_blocks": 1, "num_frames": 3, "patch_size": 2}


def model():
    torch.manual_seed(0)
    return build("cnn", (1, 8, 8), 1, **SIZES).eval()


def test_one_block_serves_as_many_steps_as_it_has_frames():
    cnn = model()
    calls = []
    cnn.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        predict(cnn, torch.rand(2, 4, 1, 8, 8), 7)
    assert len(calls) == 3  # steps 1 to 3, 4 to 6 and 7, each from one


def test_each_sequence_goes_on_with_its_block_only_where_it_is_fed_its_own_output():
    cnn = model()
    with torch.no_grad():
        outputs, state = cnn(torch.rand(2, 4, 1, 8, 8))
        own = outputs[:, -1:]
        mixed, _ = cnn(own, state, fed_back=torch.tensor([[True], [False]]))
        next_grid, _ = cnn(own, state, fed_back=torch.tensor([[True], [True]]))
        new_block, _ = cnn(own, state)
    torch.testing.assert_close(mixed[0], next_grid[0])
    torch.testing.assert_close(mixed[1], new_block[1])
    assert not torch.allclose(next_grid[1], new_block[1])


def test_a_rollout_with_teacher_forcing_in_between_begins_a_new_block_there():
    cnn = model()
    frames = torch.rand(1, 4, 1, 8, 8)
    with torch.no_grad():
        outputs, _ = unroll(cnn, frames, teacher_forcing=torch.tensor([[True, False, True, False]]))
        first, state = cnn(frames[:, :1])
        second, state = cnn(first, state, fed_back=torch.tensor([[True]]))
        third, state = cnn(frames[:, 2:3], state)
        fourth, _ = cnn(third, state, fed_back=torch.tensor([[True]]))
    assert torch.equal(outputs, torch.cat([first, second, third, fourth], dim=1))


def test_wrappers_pass_on_which_frames_are_fed_back():
    cnn, calls = model(), []
    cnn.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        predict(Residual(cnn, 1), torch.rand(2, 4, 1, 8, 8), 3)
    assert len(calls) == 1  # one block for three steps


def test_a_video_that_is_predicted_to_the_bit_is_the_same_in_one_call_and_in_many():
    cnn = model()
    with torch.no_grad():
        cnn.head.weight.zero_()
        cnn.head.bias.fill_(-2)  # black, whatever the past
        black = torch.full((1, 5, 1, 8, 8), -1.0)
        at_once, state = cnn(black)
        single = None
        for t in range(5):
            _, single = cnn(black[:, t : t + 1], single)
    assert at_once.eq(-1).all()
    for one, other in zip(state, single, strict=True):
        torch.testing.assert_close(one, other)
