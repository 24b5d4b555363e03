"""Tests of pipeline/training/validation.py."""

import pytest
import torch
from torch import nn

from pipeline.data.clips import ClipDataset, to_float
from pipeline.metrics import mse
from pipeline.runtime.devices import accelerator
from pipeline.training.validation import Validation


class Repeats(nn.Module):
    """Says that nothing will change."""

    def forward(self, frames, state=None):
        return frames[:, :, :1], ()


@pytest.fixture
def clips(tiny):
    return ClipDataset(tiny.frames, tiny.clips, "val")


def validation(clips, **changes):
    usual = {"num_clips": 100, "batch_size": 2, "crop": None, "noise_channels": 0, "seed": 0, "dtype": None}
    return Validation(clips, accelerator=accelerator(), **(usual | changes))


def test_the_error_is_that_of_a_rollout_on_every_clip(clips):
    found = validation(clips).measure(Repeats())
    frames = to_float(clips.gather(range(len(clips))))
    context, truth = frames[:, : clips.context], frames[:, clips.context :]
    repeated = context[:, -1:].expand_as(truth)
    assert found["val_mse"] == pytest.approx(mse(repeated, truth).mean().item(), rel=1e-5)


def test_fewer_clips_are_spread_from_the_first_to_the_last(clips):
    assert validation(clips, num_clips=2).indices.tolist() == [0, len(clips) - 1]


def test_whole_frames_are_taken_fewer_at_a_time_than_crops(clips):
    assert clips.frame_shape[1:] == (8, 8)
    assert validation(clips, batch_size=16, crop=4).batch_size == 4  # a quarter of the pixels
    assert validation(clips, batch_size=2, crop=4).batch_size == 1
    assert validation(clips, batch_size=16, crop=64).batch_size == 16


def test_memory_is_known_before_it_is_taken_and_grows_with_the_batch(clips):
    small, large = (validation(clips, batch_size=size).peak_bytes(Repeats()) for size in (2, 8))
    assert 0 < small < large


def test_noise_is_the_same_in_every_measurement(clips):
    class AddsNoise(nn.Module):
        def forward(self, frames, state=None):
            return frames[:, :, :1] + 0.1 * frames[:, :, 1:2], ()

    torch.manual_seed(1)
    first = validation(clips, noise_channels=1).measure(AddsNoise())
    torch.manual_seed(2)
    assert validation(clips, noise_channels=1).measure(AddsNoise()) == first
    assert validation(clips, noise_channels=1, seed=5).measure(AddsNoise()) != first
