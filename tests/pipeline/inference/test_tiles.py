"""Tiles: where they lie, what they weigh, and that a tiled generator returns what the whole one returns."""

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.inference.tiles import Tiled, spans, weights
from pipeline.models import build

SIZES = {"hidden_channels": 8, "num_layers": 2, "kernel_size": 3, "patch_size": 4}


def convlstm():
    torch.manual_seed(0)
    return build("convlstm", (3, 32, 32), 3, **SIZES).eval()


def test_spans_overlap_by_exactly_what_is_asked_and_the_last_is_cut():
    assert spans(64, 64, 32) == [(0, 64)]
    assert spans(20, 64, 32) == [(0, 20)]
    assert spans(65, 64, 32) == [(0, 64), (32, 65)]
    assert spans(128, 64, 32) == [(0, 64), (32, 96), (64, 128)]


@pytest.mark.parametrize("size", [65, 100, 128, 333])
@pytest.mark.parametrize("scale", [1, 4, 8])
def test_weights_of_all_tiles_add_up_to_one(size, scale):
    ranges = spans(size, 96, 32)
    total = torch.zeros(-(-size // scale))
    for index, (start, stop) in enumerate(ranges):
        total[start // scale : -(-stop // scale)] += weights(ranges, index, 32, scale)
    assert torch.allclose(total, torch.ones_like(total))


def test_a_tile_counts_nothing_near_its_own_border():
    ranges = spans(128, 64, 32)
    assert weights(ranges, 1, 32, 1)[:8].max() == 0
    assert weights(ranges, 1, 32, 1)[-8:].max() == 0
    assert weights(ranges, 0, 32, 1)[0] == 1


@pytest.mark.parametrize("size", [(160, 224), (70, 131), (40, 200)])
def test_tiles_return_what_the_whole_frame_returns_however_long_the_video(size):
    model = convlstm()
    frames = torch.rand(1, 12, 3, *size) * 2 - 1
    with torch.no_grad():
        whole, state = model(frames)
        tiled, tiled_state = Tiled(model, tile=96, overlap=32)(frames)
    assert (whole - tiled).abs().max() < 1 / 255  # half a level of 8 bits: invisible in a difference image
    for part, other in zip(
        torch.utils._pytree.tree_leaves(state), torch.utils._pytree.tree_leaves(tiled_state), strict=True
    ):
        assert part.shape == other.shape


def test_one_call_is_as_many_calls_of_one_frame():
    model = Tiled(convlstm(), tile=64, overlap=32)
    frames = torch.rand(2, 3, 3, 96, 80) * 2 - 1
    with torch.no_grad():
        together, _ = model(frames)
        state, apart = None, []
        for t in range(3):
            output, state = model(frames[:, t : t + 1], state)
            apart.append(output)
    assert torch.allclose(together, torch.cat(apart, dim=1), atol=1e-6)


def test_a_frame_that_fits_is_not_cut():
    model = convlstm()
    frames = torch.rand(1, 2, 3, 50, 60) * 2 - 1
    with torch.no_grad():
        assert torch.equal(model(frames[:, :1])[0], Tiled(model, tile=64, overlap=32)(frames[:, :1])[0])


@pytest.mark.parametrize(("tile", "overlap"), [(60, 32), (64, 20), (64, 64), (64, 0)])
def test_tiles_that_cannot_be_blended_are_refused(tile, overlap):
    with pytest.raises(ModelError, match=f"tiles of {tile} pixels with an overlap of {overlap}"):
        Tiled(convlstm(), tile=tile, overlap=overlap)


def test_a_generator_for_one_size_of_frame_is_refused():
    model = build("lstm", (1, 128, 128), 1, hidden_size=4, num_layers=1)
    with pytest.raises(ModelError, match="cannot be tiled"):
        Tiled(model, tile=64, overlap=32)(torch.zeros(1, 1, 1, 128, 128))
