"""The CNN's blocks: free-running it answers from a block, and any other frame is news."""

import torch

from pipeline.models import build
from pipeline.nn.rollout import predict

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


def test_another_frame_than_its_own_is_news():
    cnn = model()
    with torch.no_grad():
        outputs, state = cnn(torch.rand(2, 4, 1, 8, 8))
        own = outputs[:, -1:]
        other = torch.cat([own[:1], own[1:] + 0.01])  # the second sequence is shown something else
        mixed, _ = cnn(other, state)
        free, _ = cnn(own, state)
        fresh, _ = cnn.news(other, state)
    torch.testing.assert_close(mixed[0], free[0])
    torch.testing.assert_close(mixed[1], fresh[1])
    assert not torch.allclose(free[1], fresh[1])


def test_a_black_video_that_is_foreseen_to_the_bit_is_the_same_in_one_call_and_in_many():
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
