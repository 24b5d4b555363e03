"""Beside a running video a generator says what comes later; the network's own state goes on with the video."""

from itertools import islice

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.inference.generation import continuation
from pipeline.inference.live import Live, expected
from pipeline.model_dir import load
from tests.conftest import CONTEXT
from tests.pipeline.inference.test_full_resolution import Moving, card, energy, pan, texture

CPU = torch.device("cpu")


def live(model, model_card, pictures, ahead):
    return list(expected(model, model_card, iter(pictures), CPU, ahead=ahead))


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_small_video_is_expected_to_go_on_as_a_continuation_of_all_that_came_says(tiny, ahead):
    model, model_card = load(tiny.model)
    frames = np.repeat(np.load(tiny.frames / "test/0.mp4.npy"), 3, axis=-1)[:CONTEXT]
    made = live(model, model_card, frames, ahead)
    assert len(made) == CONTEXT
    *_, last = islice(continuation(model, model_card, list(frames), CPU), ahead)
    np.testing.assert_allclose(made[-1].astype(int), last, atol=1)


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_pan_goes_on_sharp_by_as_many_frames_as_asked(ahead):
    pictures = pan(12 + ahead)
    made = live(Moving((1.0, 0.0)), card(), pictures[:12], ahead)
    seen = slice(16, 192 - 8 * ahead - 16)
    error = np.abs(made[-1][16:-16, seen].astype(float) - pictures[11 + ahead][16:-16, seen]).mean()
    still = np.abs(pictures[11][16:-16, seen].astype(float) - pictures[11 + ahead][16:-16, seen]).mean()
    assert error < 0.3 * still
    assert energy(made[-1][:, seen]) > 0.8 * energy(pictures[-1][:, seen])


def test_a_model_that_is_wrong_is_believed_less_with_every_picture_that_comes():
    still = [texture(128, 192)] * 8
    made = live(Moving((3.0, -2.0)), card(), still, 1)
    changes = [np.abs(picture.astype(int) - still[0]).mean() for picture in made]
    assert changes[0] > 1  # nothing is known of it yet
    assert max(changes[1:]) < 0.1 * changes[0]


def test_warming_up_leaves_no_trace():
    pictures = pan(4)
    cold, warm = (Live(Moving((1.0, 0.0)), card(), (128, 192), CPU, ahead=2) for _ in range(2))
    warm.warm_up()
    for picture in pictures:
        assert np.array_equal(cold.expect(picture), warm.expect(picture))


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ModelError, match=r"a frame is \(64, 64, 3\), the first was \(128, 192, 3\)"):
        live(Moving((1.0, 0.0)), card(), [texture(128, 192), texture(64, 64)], 1)
