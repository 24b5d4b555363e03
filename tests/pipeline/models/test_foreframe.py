"""The project's own generator: what it warps, what it paints, frames of any size and any number of channels."""

import math

import pytest
import torch

from pipeline.inference.tiles import Tiled
from pipeline.models import build
from pipeline.models.foreframe import initial_flows
from pipeline.nn.layers import clamp, warp
from pipeline.nn.rollout import detach, predict, tensors

SIZES = {"hidden_channels": 8, "num_scales": 3, "num_motions": 3, "patch_size": 4, "measured_motion": True}


def test_a_flow_says_where_a_pixel_is_read():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    flow = torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 4)
    # one to the right and one up; the border's pixels go on beyond it
    expected = torch.tensor([[1.0, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7]])
    torch.testing.assert_close(warp(image, flow)[0, 0], expected)
    torch.testing.assert_close(warp(image, flow * 0.5)[0, 0, 1, 0], torch.tensor((0 + 1 + 4 + 5) / 4.0))


def test_the_clamp_has_a_gradient_that_leads_back_inside():
    frames = torch.tensor([-2.0, -2.0, 0.5, 2.0, 2.0], requires_grad=True)
    clamped = clamp(frames)
    assert clamped.tolist() == [-1, -1, 0.5, 1, 1]
    (clamped * torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0])).sum().backward()
    # a step against the gradient: up from -2 and down from 2 it goes, further out it does not
    assert frames.grad is not None
    assert frames.grad.tolist() == [-1, 0, 1, 1, 0]


def test_the_initial_flows_are_none_and_one_pixel_in_evenly_spread_directions():
    torch.testing.assert_close(initial_flows(3), torch.tensor([[0.0, 0], [0, 1], [0, -1]]), atol=1e-6, rtol=0)
    assert initial_flows(1).tolist() == [[0, 0]]


def test_with_nothing_to_add_an_untrained_one_blends_the_last_frame_warped_by_the_initial_flows():
    torch.manual_seed(0)
    model = build("foreframe", (1, 12, 12), 1, **SIZES, aligned=True)
    with torch.no_grad():
        model.head.weight.zero_()
        frames = torch.rand(1, 2, 1, 12, 12) * 2 - 1
        outputs, _ = model(frames)
    # softmax of (3, 0, 0): what stays counts e³ times as much as what moves
    stays, moves = math.exp(3) / (math.exp(3) + 2), 1 / (math.exp(3) + 2)
    expected = stays * frames + moves * (frames.roll(1, dims=3) + frames.roll(-1, dims=3))
    torch.testing.assert_close(outputs[..., 1:-1, :], expected[..., 1:-1, :])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 13), (20, 17), (37, 5)])
def test_one_model_takes_frames_of_any_size(height, width):
    model = build("foreframe", (1, 8, 8), 1, **SIZES)
    frames, state = model(torch.zeros(2, 3, 1, height, width))
    assert frames.shape == (2, 3, 1, height, width)
    # a grid is as large as cells are needed, so that tiles of a frame know theirs
    assert [tuple(part.shape[-2:]) for part in state.hidden] == [
        (-(-height // cell), -(-width // cell)) for cell in (4, 8, 16)
    ]


@pytest.mark.parametrize(("channels", "out_channels"), [(1, 3), (3, 1), (5, 3)])
def test_frames_may_come_out_with_other_channels_than_they_go_in(channels, out_channels):
    model = build("foreframe", (channels, 8, 8), out_channels, **SIZES)
    outputs, _ = model(torch.rand(1, 2, channels, 8, 8) * 2 - 1)
    assert outputs.shape == (1, 2, out_channels, 8, 8)
    assert outputs.abs().max() <= 1


def test_bfloat16_gives_nearly_the_same_frames_in_float32():
    torch.manual_seed(0)
    model = build("foreframe", (1, 16, 16), 1, **SIZES)
    frames = torch.rand(2, 4, 1, 16, 16) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = model(frames)
    assert outputs.dtype == torch.float32
    assert {part.dtype for part in tensors(state)} == {torch.float32}
    torch.testing.assert_close(outputs, model(frames)[0], atol=0.03, rtol=0)


@pytest.mark.parametrize("carry", [0.0, 0.3])
def test_a_state_is_named_and_may_come_back_as_plain_tuples(carry):
    torch.manual_seed(0)
    model = build("foreframe", (1, 16, 16), 1, **SIZES, aligned=carry > 0, carry=carry)
    frames = torch.rand(2, 3, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        outputs, state = model(frames[:, :2])
        assert torch.equal(state.last_frame, frames[:, 1])
        assert [torch.equal(part, outputs[:, 1]) for part in state.carried] == [True] * (carry > 0)
        expected, _ = model(frames[:, 2:], state)
        plain, _ = model(frames[:, 2:], detach(state))
    assert type(detach(state)) is tuple
    assert torch.equal(plain, expected)


def drifting(speed: float, num_frames: int, side: int = 48) -> torch.Tensor:
    """A smooth pattern that moves `speed` pixels a frame to the right: (1, T, 1, side, side)."""
    columns = torch.arange(side).float() - speed * torch.arange(num_frames)[:, None]
    rows = torch.arange(side).float()
    pattern = torch.sin(columns / 3)[:, None] * torch.cos(rows / 4)[:, None] + 0.5 * torch.cos(columns / 7)[:, None]
    return 0.6 * pattern[None, :, None]


def untrained(out_channels: int = 1):
    torch.manual_seed(0)
    model = build("foreframe", (out_channels, 16, 16), out_channels, **SIZES).eval()
    with torch.no_grad():
        model.head.weight.zero_()
    return model


@pytest.mark.parametrize("speed", [0.6, 2.0])
def test_an_untrained_one_moves_on_what_moves_much_better_than_it_stands_still(speed):
    frames = drifting(speed, 12)
    with torch.no_grad():
        predicted = predict(untrained(), frames[:, :6], 6)
    inside = (..., slice(12, -12), slice(12, -12))
    error, still = ((those - frames[:, 6:])[inside].square().mean() for those in (predicted, frames[:, 5:6]))
    assert error < 0.35 * still


def test_the_motion_of_a_frame_that_is_fed_back_is_not_measured_but_goes_on():
    model, frames = untrained(), drifting(1.0, 7)
    with torch.no_grad():
        outputs, state = model(frames[:, :6])
        blank = torch.zeros_like(outputs[:, -1:])  # nothing could be measured on it
        *_, composition = model.compose(blank, state, fed_back=torch.ones(1, 1, dtype=torch.bool))
        *_, measured = model.compose(blank, state)
    assert composition.flows is not None
    assert measured.flows is not None
    inside = composition.flows[0, 0, :, 16:-16, 16:-16]
    torch.testing.assert_close(inside, torch.tensor([-1.0, 0])[:, None, None].expand_as(inside), atol=0.2, rtol=0)
    assert not torch.allclose(measured.flows[:, 0], composition.flows[:, 0], atol=0.2)


def test_clips_of_a_batch_may_be_fed_back_or_not_each_for_itself():
    model = untrained()
    frames = torch.cat([drifting(1.0, 7), drifting(2.0, 7)])
    with torch.no_grad():
        _, state = model(frames[:, :6])
        mixed, _ = model(frames[:, 6:], state, fed_back=torch.tensor([[True], [False]]))
        fed, _ = model(frames[:, 6:], state, fed_back=torch.tensor([[True], [True]]))
        true, _ = model(frames[:, 6:], state)
    torch.testing.assert_close(mixed, torch.stack([fed[0], true[1]]))


def test_the_loss_of_a_rollout_reaches_the_motion_that_began_it():
    model, frames = untrained(), drifting(1.0, 4)
    outputs, state = model(frames)
    for _ in range(2):
        outputs, state = model(outputs[:, -1:].detach(), state, fed_back=torch.ones(1, 1, dtype=torch.bool))
        state = state._replace(last_frame=state.last_frame.detach(), hidden=detach(state.hidden))
    outputs.sum().backward()  # through the motion alone
    assert model.head.bias.grad is not None
    assert model.head.bias.grad[-6:-4].abs().sum() > 0  # of the flow that is followed


def carrying():
    torch.manual_seed(0)
    model = build("foreframe", (3, 16, 16), 3, **SIZES, aligned=True, carry=0.3)
    with torch.no_grad():  # as if it had learnt to paint, to warp and to blend
        model.head.weight.add_(0.1 * torch.randn_like(model.head.weight))
        model.head.bias.add_(torch.randn_like(model.head.bias))
    return model


def test_the_last_output_is_carried_along_and_blended_with_the_frame_that_is_fed():
    torch.manual_seed(0)
    model = build("foreframe", (1, 12, 12), 1, **SIZES, aligned=True, carry=0.4)
    with torch.no_grad():
        model.head.weight.zero_()
        frames = torch.rand(1, 2, 1, 12, 12) * 2 - 1
        outputs, _ = model(frames)

    def about(image):  # softmax of (3, 0, 0): where it is, moved down and moved up
        warped = math.exp(3) * image + image.roll(1, dims=2) + image.roll(-1, dims=2)
        return warped / (math.exp(3) + 2)

    # nothing came before the first
    torch.testing.assert_close(outputs[:, 0, :, 1:-1], about(frames[:, 0])[:, :, 1:-1])
    expected = 0.6 * about(frames[:, 1]) + 0.4 * about(outputs[:, 0])
    torch.testing.assert_close(outputs[:, 1, :, 2:-2], expected[:, :, 2:-2])


def test_a_frame_is_what_its_composition_says():
    torch.manual_seed(0)
    model = build("foreframe", (2, 12, 12), 1, **SIZES)
    with torch.no_grad():
        model.head.weight.add_(0.1 * torch.randn_like(model.head.weight))
        frames = torch.rand(2, 3, 2, 12, 12) * 2 - 1
        outputs, state, composition = model.compose(frames)
        expected, expected_state = model(frames)
    assert torch.equal(outputs, expected)
    torch.testing.assert_close(state, expected_state, rtol=0, atol=0)
    composed = model.warp_and_blend(frames[:, -1, :1], composition.flows, composition.masks) + composition.added
    torch.testing.assert_close(composed.clamp(-1, 1), outputs[:, -1])


def test_with_carry_the_composition_moves_the_frame_that_is_fed_back():
    model = carrying()
    with torch.no_grad():
        first, state = model(torch.rand(2, 2, 3, 16, 16) * 2 - 1)
        fed = first[:, -1:]
        outputs, _, (flows, masks, added) = model.compose(fed, state)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 16, 16))
    composed = added
    for flow, mask in zip(flows.unbind(dim=1), masks.unbind(dim=1), strict=True):
        composed = composed + mask[:, None] * warp(fed[:, 0], flow)
    assert flows.shape == (2, 6, 2, 16, 16)
    torch.testing.assert_close(composed.clamp(-1, 1), outputs[:, 0])


def test_where_nothing_is_warped_the_composition_is_what_is_added():
    model = build("foreframe", (1, 8, 8), 3, **SIZES)
    outputs, _, composition = model.compose(torch.rand(1, 2, 1, 8, 8))
    assert composition.flows is None
    torch.testing.assert_close(composition.added.clamp(-1, 1), outputs[:, -1])


def test_carrying_keeps_the_contract():
    model = carrying()
    frames = torch.rand(2, 5, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        at_once, state_at_once = model(frames)
        alone, _ = model(frames[1:])
        state, outputs = None, []
        for t in range(5):
            output, state = model(frames[:, t : t + 1], state)
            outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=1), at_once)
    torch.testing.assert_close(alone, at_once[1:])
    torch.testing.assert_close(state, state_at_once)
    assert torch.equal(state.carried[0], at_once[:, -1])
    assert at_once.abs().max() <= 1


def test_the_loss_of_the_last_output_reaches_what_painted_the_first():
    model = carrying()
    frames = (torch.rand(1, 3, 3, 16, 16) - 0.5).requires_grad_()
    outputs, _ = model(frames)
    outputs[:, -1].sum().backward()
    assert frames.grad is not None
    assert all(frames.grad[:, t].abs().sum() > 0 for t in range(3))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_tiles_carry_as_the_whole_frame_does():
    torch.manual_seed(0)
    model = build(
        "foreframe",
        (3, 64, 64),
        3,
        hidden_channels=4,
        num_scales=2,
        num_motions=2,
        patch_size=2,
        aligned=True,
        carry=0.1,
    )
    frames = torch.rand(1, 3, 3, 96, 160) * 2 - 1
    with torch.no_grad():
        whole, _ = model(frames)
        pieces, _ = Tiled(model, tile=128, overlap=64)(frames)
    torch.testing.assert_close(pieces, whole, atol=1 / 255, rtol=0)
