"""Each metric on frames whose value is known, and against another library's."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from pipeline.metrics import METRICS, flicker, mae, motion, ms_ssim, mse, psnr, sharpness, ssim
from pipeline.params import PromoteMetric

WITHOUT_WEIGHTS = [name for name, metric in METRICS.items() if metric.function is not None]


def frames(*levels, channels=1, size=4):
    """One clip of even frames at `levels`."""
    return torch.tensor(levels, dtype=torch.float32).view(1, -1, 1, 1, 1).expand(1, -1, channels, size, size)


def test_mse_and_mae_are_sums_over_pixels_and_channels_of_values_in_0_1():
    predicted, truth = frames(-1.0, 0.0, 1.0, channels=3, size=2), frames(-1.0, -1.0, -1.0, channels=3, size=2)
    assert mse(predicted, truth).tolist() == [[0.0, 12 * 0.25, 12 * 1.0]]
    assert mae(predicted, truth).tolist() == [[0.0, 12 * 0.5, 12 * 1.0]]


def test_errors_outside_the_range_count_in_mse_and_are_cut_off_in_psnr():
    predicted, truth = frames(3.0, size=1), frames(-1.0, size=1)
    assert mse(predicted, truth).item() == 4.0
    assert mae(predicted, truth).item() == 2.0
    assert psnr(predicted, truth).item() == 0.0


def test_psnr_is_in_decibels_of_the_peak():
    # errors of 0.1 and 0.01 of the peak are 20 and 40 dB
    assert psnr(frames(-0.8, -0.98, -1.0), frames(-1.0, -1.0, -1.0))[0].tolist() == pytest.approx(
        [20.0, 40.0, math.inf], abs=1e-4
    )


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 1), (24, 40, 3), (11, 11, 1)])
def test_ssim_is_that_of_another_library(height, width, channels):
    rng = np.random.default_rng(0)
    truth = rng.random((2, 3, channels, height, width))
    predicted = np.clip(truth + 0.3 * rng.standard_normal(truth.shape), 0, 1)
    found = ssim(torch.from_numpy(predicted) * 2 - 1, torch.from_numpy(truth) * 2 - 1)
    assert found.shape == (2, 3)
    for b in range(2):
        for t in range(3):
            expected = structural_similarity(
                predicted[b, t],
                truth[b, t],
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=1.0,
            )
            assert found[b, t].item() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_even_frames_is_the_luminance_term():
    # 0.25 against 0.75 of the range, C1 = 0.01²: (2 * 0.1875 + C1) / (0.0625 + 0.5625 + C1)
    assert ssim(frames(-0.5, size=16), frames(0.5, size=16)).item() == pytest.approx(0.3751 / 0.6251, abs=1e-6)


@pytest.mark.parametrize("side", [1, 2, 5, 8, 10, 11])
def test_ssim_takes_frames_smaller_than_its_window(side):
    truth = torch.rand(2, 2, 1, side, 30, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ssim(truth, truth).flatten().tolist() == pytest.approx([1.0] * 4)
    assert (ssim(-truth, truth) < 0.9).all()


def test_blur_lowers_sharpness_and_a_copy_has_one():
    edge = torch.full((1, 1, 1, 2, 4), -1.0)
    edge[..., 2:] = 1.0  # one step of 2 in each of two rows: energy 8
    ramp = torch.tensor([-1.0, -1.0, 0.0, 1.0]).expand(1, 1, 1, 2, 4)  # two steps of 1 in each: energy 4
    assert sharpness(ramp, edge).item() == pytest.approx(0.5)
    assert sharpness(edge, edge).item() == 1.0
    flat = torch.zeros_like(edge)
    assert sharpness(flat, flat).item() == 1.0
    assert sharpness(flat, edge).item() == 0.0
    assert sharpness(edge, flat).item() == math.inf


@pytest.mark.parametrize("metric", [mse, mae, psnr, ssim, ms_ssim, sharpness])
def test_every_metric_has_one_value_per_frame(metric):
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 2, 3, 3, 12, 14, generator=generator).unbind()
    values = metric(predicted, truth)
    assert values.shape == (2, 3)
    assert torch.allclose(metric(predicted[1:, 2:], truth[1:, 2:]), values[1:, 2:])  # no frame looks at another


def test_flicker_is_the_change_of_the_error_and_not_the_error():
    truth = torch.rand(1, 4, 3, 8, 8) - 0.5
    assert flicker(truth + 0.2, truth)[0, 1:].abs().max() < 1e-4
    shaking = torch.tensor([0.0, 0.1, 0.0, 0.2]).view(1, 4, 1, 1, 1)
    found = flicker(truth + shaking, truth)[0]
    assert found[0].isnan()
    assert found[1:].tolist() == pytest.approx([0.1 * 127.5, 0.1 * 127.5, 0.2 * 127.5], rel=1e-3)


def test_a_flicker_of_one_frame_is_none():
    frame = torch.zeros(2, 1, 1, 8, 8)
    assert flicker(frame, frame).shape == (2, 1)


def test_a_metric_says_how_it_is_shown():
    assert [metric.column for metric in METRICS.values()] == [
        *("MSE", "MAE", "PSNR, dB", "SSIM", "LPIPS", "MS-SSIM", "Motion", "Flicker")
    ]
    assert METRICS["mse"].title == "MSE, summed over pixels (lower is better)"
    assert METRICS["psnr"].title == "PSNR, dB (higher is better)"
    assert METRICS["motion"].title == "Motion, energy of changes over the truth's (1 is best)"


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_better_frames_have_the_lower_loss(name):
    truth = torch.rand(1, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    shake = torch.tensor([0.1, -0.1, 0.1]).view(1, 3, 1, 1, 1)
    near, far = (METRICS[name].function(truth + size * shake, truth)[0, 1].item() for size in (1, 4))
    assert METRICS[name].loss(near) < METRICS[name].loss(far)
    if METRICS[name].ideal is None:
        assert (near > far) == METRICS[name].higher_is_better


def test_half_the_motion_is_as_bad_as_twice():
    loss = METRICS["motion"].loss
    assert loss(1.0) == 0
    assert loss(0.5) == pytest.approx(loss(2.0))
    assert loss(0.9) < loss(1.3) < loss(0.5) < loss(0.0) == math.inf


def test_motion_is_the_energy_of_changes_over_the_truths():
    truth = frames(-1.0, 0.0, 1.0, 1.0)  # changes 1, 1, 0: in [0, 1] squared 1/4, 1/4, 0, mean 1/6
    assert motion(truth, truth)[0, 1:].tolist() == pytest.approx([1.5, 1.5, 0])
    assert motion(truth / 2, truth)[0, 1:].mean().item() == pytest.approx(0.25)  # half the change, a quarter of it
    assert motion(frames(0.5, 0.5, 0.5, 0.5), truth)[0, 1:].tolist() == [0, 0, 0]
    assert motion(3 * truth, truth)[0, 1:].tolist() == pytest.approx([1.5, 1.5, 0])  # beyond the range nobody sees it
    assert motion(truth, truth)[0, 0].isnan()


def test_a_clip_that_stands_still_has_no_motion_to_compare_with():
    still = torch.cat([frames(0.0, 0.0, 0.001), frames(0.0, 0.1, 0.0)])
    found = motion(torch.cat([frames(0.0, 1.0, 0.0)] * 2), still)
    assert found[0].isnan().all()
    assert found[1, 1:].tolist() == pytest.approx([100, 100], rel=1e-4)
    assert motion(still[:, :1], still[:, :1]).isnan().all()


@pytest.mark.parametrize(
    ("side", "expected"),
    # pytorch-msssim 1.0.0, ms_ssim(data_range=1, weights=the first of the five over their sum), of
    # the waves below and without its check of the size; of 20 pixels its ssim
    [(20, 0.836779), (32, 0.909169), (64, 0.918328), (128, 0.915950), (176, 0.925576)],
)
def test_ms_ssim_is_that_of_another_library(side, expected):
    truth, predicted = waves(side)
    assert ms_ssim(predicted, truth).item() == pytest.approx(expected, abs=1e-5)


def waves(side):
    """A pattern of waves and the same, moved and paler: (1, 1, 1, side, side) in [-1, 1] each."""
    y, x = torch.meshgrid(torch.arange(side) * 1.0, torch.arange(side) * 1.0, indexing="ij")
    truth = torch.sin(x / 3) * torch.cos(y / 5)
    predicted = 0.8 * torch.sin((x + 1) / 3) * torch.cos(y / 5) + 0.1 * torch.sin(x * y)
    return truth[None, None, None], predicted.clamp(-1, 1)[None, None, None]


def test_ms_ssim_of_a_negative_is_none():
    truth = torch.rand(1, 1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ms_ssim(-truth, truth).item() == 0.0
    assert ms_ssim(truth, truth).item() == pytest.approx(1.0)


def test_ms_ssim_of_a_small_frame_is_ssim():
    predicted, truth = torch.rand(2, 2, 3, 1, 21, 40, generator=torch.Generator().manual_seed(0)).mul(2).sub(1).unbind()
    assert torch.equal(ms_ssim(predicted, truth), ssim(predicted, truth))


def test_a_model_is_promoted_by_an_error_or_by_what_is_missing_to_1():
    names = get_args(PromoteMetric)
    assert [METRICS[name].higher_is_better for name in names] == [False, False, True, True]
    truth = torch.rand(1, 1, 1, 32, 32) * 2 - 1
    assert all(METRICS[name].function(truth, truth).item() == pytest.approx(1) for name in names[2:])


@pytest.mark.gpu
@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_metric_stays_on_the_device_of_its_frames(name):
    predicted, truth = (torch.rand(2, 3, 1, 16, 16, device="cuda") * 2 - 1 for _ in range(2))
    values = METRICS[name].function(predicted, truth)
    assert values.device == predicted.device
    torch.testing.assert_close(values.cpu(), METRICS[name].function(predicted.cpu(), truth.cpu()), equal_nan=True)
