"""Non-learned baselines, on clips whose continuation is known."""

import pandas as pd
import pytest
import torch

from pipeline.data.clips import COLUMNS, ClipDataset, write_clips
from pipeline.data.task import Predict, Translate
from pipeline.measuring.baselines import background, baseline

BACKGROUND = torch.full((1, 4, 4), -0.5)


def levels(frames):
    return frames[:, :, 0, 0, 0].tolist()


@pytest.fixture
def context():
    """Two clips of three even frames."""
    values = torch.tensor([[-1.0, 0.0, 0.4], [1.0, 1.0, -0.2]])
    return values[..., None, None, None].expand(2, 3, 1, 4, 4)


def test_the_last_frame_stands_still(context):
    assert levels(baseline("last_frame", context, 2, BACKGROUND)) == [
        pytest.approx([0.4] * 2),
        pytest.approx([-0.2] * 2),
    ]


def test_the_mean_frame_stands_still(context):
    assert levels(baseline("mean_frame", context, 2, BACKGROUND)) == [
        pytest.approx([-0.2] * 2),
        pytest.approx([0.6] * 2),
    ]


def test_the_background_does_not_look_at_the_context(context):
    assert levels(baseline("background", context, 2, BACKGROUND)) == [[-0.5, -0.5], [-0.5, -0.5]]


def moving_square(num_frames, step, channels=1, size=48):
    """A soft blob that goes right by `step` pixels a frame: (1, T, C, H, W)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = [2 * torch.exp(-((x - 12 - step * t) ** 2 + (y - 20) ** 2) / 40.0) - 1 for t in range(num_frames)]
    return torch.stack(frames)[None, :, None].expand(1, -1, channels, -1, -1)


@pytest.mark.parametrize("channels", [1, 3])
def test_optical_flow_goes_on_with_the_motion(channels):
    clip = moving_square(8, step=2, channels=channels)
    predicted = baseline("optical_flow", clip[:, :4], 4, BACKGROUND)
    assert predicted.shape == (1, 4, channels, 48, 48)
    still = baseline("last_frame", clip[:, :4], 4, BACKGROUND)
    error, error_still = (((frames - clip[:, 4:]) ** 2).mean(dim=(0, 2, 3, 4)) for frames in (predicted, still))
    assert (error < 0.2 * error_still).all()
    peak = predicted[0, :, 0].flatten(1).argmax(dim=1)
    assert (peak % 48).tolist() == pytest.approx([20, 22, 24, 26], abs=1)  # 12 + 2 t
    assert (peak // 48).tolist() == pytest.approx([20] * 4, abs=1)


def test_optical_flow_of_one_frame_is_that_frame(context):
    assert levels(baseline("optical_flow", context[:, :1], 3, BACKGROUND)) == [[-1.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (8, 64), (64, 8), (12, 200), (17, 31)])
def test_optical_flow_takes_any_size(size):
    context = torch.rand(1, 2, 1, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    predicted = baseline("optical_flow", context, 2, BACKGROUND)
    assert predicted.shape == (1, 2, 1, *size)
    assert predicted.isfinite().all()


@pytest.mark.parametrize("name", Predict.baselines)
def test_a_baseline_leaves_the_context_as_it_was(name, context):
    before = context.clone()
    baseline(name, context, 2, BACKGROUND).fill_(9)
    assert torch.equal(context, before)


def test_an_unknown_name_is_a_bug(context):
    with pytest.raises(KeyError):
        baseline("oracle", context, 2, BACKGROUND)


@pytest.mark.parametrize("name", Translate.baselines)
@pytest.mark.parametrize("channels", [1, 3])
def test_translations_keep_shape_and_range(name, channels):
    source = torch.rand(2, 3, channels, 7, 9) * 2 - 1
    result = baseline(name, source, 3, torch.full((channels, 7, 9), 0.5))
    assert result.shape == source.shape
    assert result.abs().max() <= 1


def test_bilateral_smooths_noise_but_not_an_edge():
    frames = torch.full((1, 1, 1, 32, 32), -0.8)
    frames[..., 16:] = 0.8
    noisy = frames + 0.1 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    after = baseline("bilateral", noisy, 1, frames[0, 0])
    assert (after - frames).square().mean() < 0.3 * (noisy - frames).square().mean()
    assert after[..., 14].max() < -0.5
    assert after[..., 17].min() > 0.5


def test_sharpened_adds_what_a_blur_takes_away():
    frames = torch.zeros(1, 1, 1, 32, 32)
    frames[..., 16:] = 0.5
    after = baseline("sharpened", frames, 1, frames[0, 0])[0, 0, 0, 16]
    assert after[15] < -0.05
    assert after[16] > 0.55
    assert after[2].abs() < 0.01


def test_the_background_is_the_median_of_training_frames(tiny):
    # the bar is on each column in 2 of 8 frames
    assert background(ClipDataset(tiny.frames, tiny.clips, "train")).tolist() == [[[-1.0] * 8] * 8]


def test_the_background_is_the_middle_one_of_three_first_frames(make_store, numbered, tmp_path):
    table = pd.DataFrame([("a.mp4", "train", 0, 9, 3)], columns=COLUMNS)
    write_clips(tmp_path / "clips", table, task="predict", context=2, horizon=1, stride=3)
    # clips begin with levels 51, 54 and 57
    found = background(ClipDataset(make_store({"a.mp4": numbered(9, 51)}), tmp_path / "clips", "train"))
    assert found.unique().tolist() == pytest.approx([54 / 127.5 - 1])
