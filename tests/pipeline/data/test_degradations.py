"""The degradations: shape, range, levels, repeatability, and a value worked out by hand for each."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data.degradations import ALIGNMENT, DEGRADATIONS, MARGIN, degrade
from pipeline.errors import DataError
from tests.test_docs import in_table

STRENGTHS = {
    "edges": 1.0,
    "grey": 1.0,
    "low_resolution": 2,
    "noise": 25.0,
    "blur": 1.5,
    "compression": 20,
    "masked": 0.25,
}


def picture(height=40, width=48, frames=2, channels=3):
    """A smooth scene with a bright square, (1, T, C, H, W) in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    base = torch.stack([torch.sin(x / (7 + c)) * torch.cos(y / (5 + c)) * 0.6 for c in range(channels)])
    base[:, height // 4 : height // 2, width // 4 : width // 2] = 0.9
    return base.expand(1, frames, -1, -1, -1).clone()


def apply(frames, name, seed=0, first=0, strength=None):
    numbers = np.arange(first, first + frames.shape[1])[None].repeat(frames.shape[0], 0)
    return degrade(frames, name, STRENGTHS[name] if strength is None else strength, seed, numbers)


def rms(difference):
    return difference.square().mean().sqrt().item()


def test_every_degradation_is_tested():
    assert set(STRENGTHS) == set(DEGRADATIONS)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_has_a_row_in_the_readme(name):
    assert in_table(name)


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("size", [(40, 48), (7, 7), (9, 31)])
def test_shape_and_range_stay_and_every_value_is_a_level(name, size):
    frames = picture(*size)
    after = apply(frames, name)
    assert after.shape == frames.shape
    assert after.abs().max() <= 1
    levels = (after + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_it_changes_the_picture_and_not_its_argument(name):
    frames = picture()
    before = frames.clone()
    assert rms(apply(frames, name) - frames) > 0.005
    assert torch.equal(frames, before)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_frame_is_degraded_the_same_way_in_every_clip(name):
    frames = picture(frames=4)
    whole = apply(frames, name, first=10)
    assert torch.equal(whole[:, 2:3], apply(frames[:, 2:3], name, first=12))
    assert torch.equal(whole, apply(frames, name, first=10))


@pytest.mark.parametrize("name", sorted(set(DEGRADATIONS) - {"noise", "masked"}))
def test_an_aligned_crop_is_degraded_as_the_whole_frame_is(name):
    frames = picture(96, 104)
    top, left, size = 3 * ALIGNMENT, 2 * ALIGNMENT, 40
    assert top >= MARGIN
    assert left >= MARGIN
    crop = frames[..., top - MARGIN : top + size + MARGIN, left - MARGIN : left + size + MARGIN]
    inner = apply(crop, name)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    whole = apply(frames, name)[..., top : top + size, left : left + size]
    assert (inner - whole).abs().max() <= 1.01 / 127.5  # one level, where rounding falls the other way


@pytest.mark.parametrize("name", ["noise", "masked"])
def test_what_is_random_differs_by_seed_and_by_frame(name):
    frames = picture(frames=2)
    first = apply(frames, name)
    assert not torch.equal(first, apply(frames, name, seed=1))
    assert not torch.equal(first[:, 0], first[:, 1])


def test_grey_is_the_luma_in_all_channels():
    frames = torch.tensor([1.0, 0.0, -1.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 8, 8)
    after = apply(frames, "grey")
    assert torch.allclose(after, torch.full_like(after, 0.299 - 0.114), atol=1 / 127.5)


def test_grey_of_grey_frames_is_refused_with_the_parameter():
    with pytest.raises(DataError, match=r"grey: needs colour \(extract\.color: rgb\)"):
        apply(picture(channels=1), "grey")


def test_edges_are_white_at_a_step_and_black_elsewhere():
    frames = torch.full((1, 1, 1, 16, 32), -0.5)
    frames[..., 16:] = 0.5
    after = apply(frames, "edges")[0, 0, 0, 8]
    assert after[15:17].min() > 0.9
    assert after[:8].max() < -0.99
    assert after[24:].max() < -0.99


def test_low_resolution_loses_what_is_finer_than_it():
    checker = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    after = apply(checker.expand(1, 1, 1, -1, -1), "low_resolution")
    assert after[..., 4:-4, 4:-4].abs().max() < 0.05
    flat = torch.full((1, 1, 1, 32, 32), 51 / 127.5)
    assert torch.allclose(apply(flat, "low_resolution"), flat, atol=1.01 / 127.5)


def test_noise_has_the_standard_deviation_that_was_asked():
    frames = torch.zeros(1, 4, 1, 64, 64)
    assert rms(apply(frames, "noise") - frames) * 127.5 == pytest.approx(25, rel=0.03)


def test_blur_of_a_point_is_the_gaussian():
    point = torch.full((1, 1, 1, 21, 21), -1.0)
    point[..., 10, 10] = 1
    after = (apply(point, "blur") + 1) / 2
    assert after[..., 10, 10].item() == pytest.approx(1 / (2 * np.pi * 1.5**2), abs=1 / 255)
    assert after.sum().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_compression_is_near_what_a_jpeg_writer_leaves(quality, channels, tmp_path):
    frames = picture(channels=channels)[:, :1]
    pixels = ((frames[0, 0] + 1) * 127.5).round().byte().movedim(0, -1).numpy()
    path = tmp_path / "a.jpg"
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    image.save(path, quality=quality, subsampling=0)
    theirs = torch.tensor(np.asarray(Image.open(path)).reshape(pixels.shape).astype(np.float32)) / 127.5 - 1
    ours = apply(frames, "compression", strength=quality)[0, 0].movedim(0, -1)
    lost = rms(theirs - frames[0, 0].movedim(0, -1))
    assert rms(ours - theirs) < 0.25 * lost + 1 / 127.5


def test_masked_takes_about_the_share_away_in_whole_blocks():
    frames = torch.full((1, 8, 1, 64, 64), 0.8)
    after = apply(frames, "masked")
    lost = (after - frames).abs() > 0.1
    assert lost.float().mean().item() == pytest.approx(0.25, abs=0.05)
    blocks = lost.unflatten(-1, (8, 8)).unflatten(-3, (8, 8)).float().mean(dim=(-1, -3))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
