"""The ConvLSTM: its patches, any size of frame."""

import pytest
import torch

from pipeline.models import build
from pipeline.nn.layers import to_frames, to_grid

SIZES = {"hidden_channels": 4, "num_layers": 2, "kernel_size": 3, "patch_size": 2}


def test_patches_are_read_time_first_and_come_back():
    frames = torch.arange(2 * 3 * 1 * 4 * 6.0).reshape(2, 3, 1, 4, 6)
    grid = to_grid(frames, 2)
    assert grid.shape == (6, 4, 2, 3)
    # step 1 of sequence 0 is block 1 * 2 + 0; its first cell holds the four pixels of the corner
    torch.testing.assert_close(grid[2, :, 0, 0], frames[0, 1, 0, :2, :2].flatten())
    torch.testing.assert_close(to_frames(grid, 2, 2, (4, 6)), frames)


def test_a_frame_that_patches_do_not_fill_is_padded_with_its_edge_and_cropped():
    frames = torch.rand(1, 1, 1, 3, 5)
    grid = to_grid(frames, 4)
    assert grid.shape == (1, 16, 1, 2)
    assert grid[0, 3, 0, 1] == frames[0, 0, 0, 0, 4]
    torch.testing.assert_close(to_frames(grid, 4, 1, (3, 5)), frames)


def test_one_model_takes_frames_of_any_size():
    model = build("convlstm", (1, 8, 8), 1, **SIZES)
    assert model(torch.zeros(1, 2, 1, 9, 13))[0].shape == (1, 2, 1, 9, 13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bfloat16_computes_nearly_the_same_frames_in_float32(dtype):
    torch.manual_seed(0)
    model = build("convlstm", (1, 8, 8), 1, **SIZES)
    frames = torch.rand(2, 4, 1, 8, 8) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        outputs, state = model(frames)
    assert outputs.dtype == torch.float32
    assert state[0][1].dtype == torch.float32
    torch.testing.assert_close(outputs, model(frames)[0], atol=0.02, rtol=0)
