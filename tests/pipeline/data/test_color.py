"""Bytes to floats and back again, and the brightness of colours."""

import numpy as np
import pytest
import torch

from pipeline.data.color import luma, to_float, to_uint8


def test_bytes_become_floats_from_minus_one_to_one_channels_first():
    frames = np.zeros((1, 2, 3, 4, 3), np.uint8)
    frames[0, 1, 2, 3] = (255, 51, 0)
    floats = to_float(frames)
    assert floats.shape == (1, 2, 3, 3, 4)
    assert floats.dtype == torch.float32
    assert floats[0, 1, :, 2, 3].tolist() == pytest.approx([1.0, -0.6, -1.0])
    assert floats[0, 0].unique().tolist() == [-1.0]


def test_every_byte_survives_the_way_there_and_back():
    frames = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    assert np.array_equal(to_uint8(to_float(frames)), frames)
    assert np.array_equal(to_uint8(to_float(torch.from_numpy(frames))), frames)


def test_floats_outside_the_range_are_cut_off():
    frames = torch.tensor([-7.0, -1.0, 0.0, 1.0, 3.0]).view(1, 5, 1, 1, 1).requires_grad_()
    assert to_uint8(frames).ravel().tolist() == [0, 0, 128, 255, 255]


def test_luma_weighs_red_green_and_blue_and_leaves_grey_as_it_is():
    colors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.5]]).view(3, 3, 1, 1)
    assert luma(colors).flatten().tolist() == pytest.approx([0.299, 0.587, 0.5])
    grey = torch.rand(2, 1, 3, 3)
    assert luma(grey) is grey
