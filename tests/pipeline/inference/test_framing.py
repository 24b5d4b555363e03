"""Pictures of any shape as a generator saw them in training, and back."""

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.inference.framing import framing_for
from pipeline.model_dir import ModelCard

SIZES = {
    "lstm": {"hidden_size": 2, "num_layers": 1},
    "convlstm": {"hidden_channels": 2, "num_layers": 1, "kernel_size": 3, "patch_size": 2},
}


def card(name, fit, channels=1):
    return ModelCard(
        name=name,
        sizes=SIZES[name],
        frame_shape=(channels, 8, 8),
        out_channels=channels,
        noise_channels=0,
        task="predict",
        fit=fit,
        context=3,
        horizon=4,
        data="",
        metrics={},
    )


def columns(width):
    """A picture 16 pixels high, each column a grey of its own."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None] * 8, (16, width, 3)).copy()


def ranges(region):
    return [(part.start, part.stop) for part in region]


@pytest.mark.parametrize(
    ("fit", "frame", "smaller"), [("crop", (8, 14), (6, 10)), ("pad", (5, 8), (6, 10)), ("stretch", (8, 8), (6, 6))]
)
def test_a_convolutional_model_sees_the_whole_picture_at_the_scale_of_training(fit, frame, smaller):
    framing = framing_for(card("convlstm", fit), (16, 28))
    assert framing.frame_shape == (1, *frame)
    assert ranges(framing.visible) == [(0, 16), (0, 28)]
    assert framing_for(card("convlstm", fit), (16, 28), side=6).frame_shape[1:] == smaller


@pytest.mark.parametrize(
    ("fit", "visible", "content"),
    [
        ("crop", [(0, 16), (6, 22)], [(0, 8), (0, 8)]),
        ("pad", [(0, 16), (0, 28)], [(1, 6), (0, 8)]),
        ("stretch", [(0, 16), (0, 28)], [(0, 8), (0, 8)]),
    ],
)
def test_a_model_of_one_size_sees_what_it_saw_in_training(fit, visible, content):
    framing = framing_for(card("lstm", fit), (16, 28))
    assert framing.frame_shape == (1, 8, 8)
    assert ranges(framing.visible) == visible
    assert ranges(framing.content) == content
    with pytest.raises(ModelError, match="takes frames of 8x8 pixels only"):
        framing_for(card("lstm", fit), (16, 28), side=16)


def test_a_frame_is_the_part_that_is_seen_in_the_middle_of_black():
    picture = columns(28)
    cropped = framing_for(card("lstm", "crop"), (16, 28)).frame(picture)
    # every two columns become one: 6 and 7 the first, 48 and 56 levels
    assert cropped.shape == (1, 1, 8, 8)
    assert (cropped[0, 0, 0, 1:-1] + 1).mul(127.5).tolist() == pytest.approx([68, 84, 100, 116, 132, 148], abs=0.5)
    padded = framing_for(card("lstm", "pad"), (16, 28)).frame(picture)
    assert (padded[0, 0, [0, 6, 7]] == -1).all()
    assert (padded[0, 0, 1:6, 2:] > -1).all()


def test_what_is_not_seen_stays_as_it_was():
    framing = framing_for(card("lstm", "crop"), (16, 28))
    background = columns(28)
    picture = framing.picture(torch.ones(1, 1, 8, 8), background)
    assert (picture[:, 6:22] == 255).all()
    assert np.array_equal(picture[:, :6], background[:, :6])
    assert np.array_equal(picture[:, 22:], background[:, 22:])
    padded = framing_for(card("lstm", "pad"), (16, 28))
    frame = torch.full((1, 1, 8, 8), -1.0)
    frame[:, :, 1:6] = 1  # the border is left out again
    assert (padded.picture(frame, background) == 255).all()


def test_colour_becomes_brightness_for_a_gray_model_only():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 1] = 255
    gray = framing_for(card("lstm", "crop"), (8, 8)).frame(picture)
    assert gray.flatten().tolist() == pytest.approx([2 * 0.587 - 1] * 64, abs=1e-6)
    color = framing_for(card("lstm", "crop", channels=3), (8, 8))
    assert color.frame(picture)[0, :, 0, 0].tolist() == [-1.0, 1.0, -1.0]
    assert np.array_equal(color.picture(color.frame(picture), picture), picture)


def test_a_pattern_finer_than_the_pixels_becomes_gray_not_stripes():
    checks = np.indices((32, 32)).sum(axis=0) % 2 * 255
    picture = np.repeat(checks[..., None], 3, axis=-1).astype(np.uint8)
    assert framing_for(card("lstm", "crop"), (32, 32)).frame(picture).abs().max() < 0.2
