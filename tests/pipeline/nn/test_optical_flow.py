"""Optical flow: found where something moves, none where nothing does, on frames of any size and kind."""

import pytest
import torch

from pipeline.nn.layers import warp
from pipeline.nn.optical_flow import backward_flow


def pattern(shift: tuple[float, float], height: int = 48, width: int = 56, channels: int = 1) -> torch.Tensor:
    """A smooth picture whose content lies `shift` (x, y) pixels further right and down: (1, C, H, W)."""
    x, y = torch.arange(width) - shift[0], torch.arange(height)[:, None] - shift[1]
    picture = 0.5 * torch.sin(x / 3) * torch.cos(y / 4) + 0.4 * torch.cos((x + y) / 6)
    return picture.expand(1, channels, height, width).clone()


@pytest.mark.parametrize("shift", [(0.5, 0.0), (-1.0, 2.0), (3.0, -2.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_shift_is_found(shift, channels):
    flow = backward_flow(pattern((0, 0), channels=channels), pattern(shift, channels=channels))
    inside = flow[0, :, 12:-12, 12:-12]
    expected = -torch.tensor(shift)[:, None, None].expand_as(inside)  # where it was
    assert (inside - expected).norm(dim=0).mean() < 0.2 * max(1, abs(shift[0]) + abs(shift[1]))


def test_a_frame_is_its_predecessor_warped_by_the_flow():
    first, second = pattern((0, 0)), pattern((1.5, -0.5))
    explained = (warp(first, backward_flow(first, second)) - second)[..., 6:-6, 6:-6].square().mean()
    assert explained < 0.02 * (first - second)[..., 6:-6, 6:-6].square().mean()


def test_where_nothing_moves_there_is_no_flow():
    still = torch.rand(2, 3, 20, 24) * 2 - 1
    torch.testing.assert_close(backward_flow(still, still), torch.zeros(2, 2, 20, 24), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (8, 8), (17, 31), (33, 5)])
def test_frames_may_have_any_size(size):
    first, second = torch.rand(2, 1, 1, *size) * 2 - 1
    flow = backward_flow(first, second)
    assert flow.shape == (1, 2, *size)
    assert flow.isfinite().all()


def test_a_pair_is_measured_alike_alone_in_a_batch_and_under_autocast():
    first = torch.cat([pattern((0, 0)), pattern((1, 1))])
    second = torch.cat([pattern((0.5, 0)), pattern((3, 1))])
    flow = backward_flow(first, second)
    torch.testing.assert_close(backward_flow(first[1:], second[1:]), flow[1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(backward_flow(first, second), flow)


def test_it_has_no_gradient():
    first = pattern((0, 0)).requires_grad_()
    assert not backward_flow(first, pattern((1, 0))).requires_grad
