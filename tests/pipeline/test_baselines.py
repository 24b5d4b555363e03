"""Predictors that learn nothing, on clips whose continuation is known."""

import pytest
import torch

from pipeline.baselines import BASELINES, predict

BACKGROUND = torch.full((1, 4, 4), -0.5)


def levels(frames):
    return frames[:, :, 0, 0, 0].tolist()


@pytest.fixture
def context():
    """Two clips of three even frames."""
    values = torch.tensor([[-1.0, 0.0, 0.4], [1.0, 1.0, -0.2]])
    return values[..., None, None, None].expand(2, 3, 1, 4, 4)


def test_the_last_frame_stands_still(context):
    assert levels(predict("last_frame", context, 2, BACKGROUND)) == [
        pytest.approx([0.4] * 2),
        pytest.approx([-0.2] * 2),
    ]


def test_the_mean_frame_stands_still(context):
    assert levels(predict("mean_frame", context, 2, BACKGROUND)) == [
        pytest.approx([-0.2] * 2),
        pytest.approx([0.6] * 2),
    ]


def test_the_background_does_not_look_at_the_context(context):
    assert levels(predict("background", context, 2, BACKGROUND)) == [[-0.5, -0.5], [-0.5, -0.5]]


def moving_square(num_frames, step, channels=1, size=48):
    """A soft blob that goes right by `step` pixels a frame: (1, T, C, H, W)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = [2 * torch.exp(-((x - 12 - step * t) ** 2 + (y - 20) ** 2) / 40.0) - 1 for t in range(num_frames)]
    return torch.stack(frames)[None, :, None].expand(1, -1, channels, -1, -1)


@pytest.mark.parametrize("channels", [1, 3])
def test_optical_flow_goes_on_with_the_motion(channels):
    clip = moving_square(8, step=2, channels=channels)
    predicted = predict("optical_flow", clip[:, :4], 4, BACKGROUND)
    assert predicted.shape == (1, 4, channels, 48, 48)
    still = predict("last_frame", clip[:, :4], 4, BACKGROUND)
    error, error_still = (((frames - clip[:, 4:]) ** 2).mean(dim=(0, 2, 3, 4)) for frames in (predicted, still))
    assert (error < 0.2 * error_still).all()
    peak = predicted[0, :, 0].flatten(1).argmax(dim=1)
    assert (peak % 48).tolist() == pytest.approx([20, 22, 24, 26], abs=1)  # 12 + 2 t
    assert (peak // 48).tolist() == pytest.approx([20] * 4, abs=1)


def test_optical_flow_of_one_frame_is_that_frame(context):
    assert levels(predict("optical_flow", context[:, :1], 3, BACKGROUND)) == [[-1.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (8, 64), (64, 8), (12, 200), (17, 31)])
def test_optical_flow_takes_any_size(size):
    context = torch.rand(1, 2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    predicted = predict("optical_flow", context, 2, BACKGROUND)
    assert predicted.shape == (1, 2, 1, *size)
    assert predicted.isfinite().all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_leaves_the_context_as_it_was(name, context):
    before = context.clone()
    predict(name, context, 2, BACKGROUND).fill_(9)
    assert torch.equal(context, before)


def test_an_unknown_name_is_a_bug(context):
    with pytest.raises(KeyError):
        predict("oracle", context, 2, BACKGROUND)
