"""Clips drawn for people: which frame is where, when."""

import numpy as np
import pytest

from pipeline.pages.contact_sheet import Clip, comparison, long_rollout, preview, sheet
from pipeline.pages.panels import EMPTY, GENERATED


def frames(*levels):
    """Even gray frames (T, 8, 8, 1)."""
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)


@pytest.fixture
def clip():
    """Context at 10, 11, truth at 20, 21, 22, prediction at 25, 26, 27."""
    return Clip("a.mp4[0:5]", frames(10, 11), frames(20, 21, 22), frames(25, 26, 27))


@pytest.fixture
def translated():
    """Source at 10, 11, 12, truth at 20, 21, 22, prediction at 25, 26, 27."""
    return Clip("a.mp4[0:3]", frames(10, 11, 12), frames(20, 21, 22), frames(25, 26, 27), aligned=True)


def at_panels(picture, count=4):
    """The colour in the middle of each of the 16-pixel panels in the row that begins below title and labels."""
    y = picture.shape[0] - 12 - 5 - 12 - 8
    return [picture[y, 12 + number * 28 + 8].tolist() for number in range(count)]


def test_a_comparison_shows_context_then_truth_prediction_and_error(clip):
    pictures = list(comparison(clip, 2))
    assert len(pictures) == 5
    assert len({picture.shape for picture in pictures}) == 1
    assert at_panels(pictures[0]) == [[10] * 3, *[list(EMPTY)] * 3]
    context, truth, predicted, error = at_panels(pictures[4])
    assert (context, truth, predicted) == ([11] * 3, [22] * 3, [27] * 3)
    assert max(error) < 30  # 5 of 255 is near the dark end


def test_a_long_rollout_goes_on_beyond_the_truth(clip):
    pictures = list(long_rollout([clip.inputs] * 2, [frames(*range(25, 30))] * 2, 3, 2))
    assert [at_panels(picture, 2) for picture in pictures] == [
        [[level] * 3] * 2 for level in (10, 11, 25, 26, 27, 28, 29)
    ]


def test_a_preview_has_the_truth_over_the_prediction(clip):
    pictures = list(preview([clip], 2))
    assert len(pictures) == 5
    x = pictures[0].shape[1] - 12 - 8
    assert [picture[12 + 8, x, 0] for picture in pictures] == [10, 11, 20, 21, 22]
    assert [picture[12 + 16 + 12 + 8, x, 0] for picture in pictures] == [10, 11, 25, 26, 27]


def test_a_sheet_has_a_framed_prediction_for_each_step(clip):
    picture = sheet([clip, clip], 2)
    assert picture.shape[0] % 2 == 0
    half = picture[: picture.shape[0] // 2]
    assert np.array_equal(half, picture[picture.shape[0] // 2 :])
    assert (half == GENERATED).all(axis=-1).sum() == 3 * (22 * 22 - 16 * 16)
    assert (half == 27).all(axis=-1).sum() == 16 * 16


def test_a_sheet_of_many_steps_is_thinned_out():
    many = np.zeros((40, 8, 8, 1), np.uint8)
    wide = sheet([Clip("a", many, many, many)], 2)
    assert (wide == GENERATED).all(axis=-1).sum() == 10 * (22 * 22 - 16 * 16)


def test_a_translation_plays_source_and_target_together(translated):
    pictures = list(comparison(translated, 2))
    assert len(pictures) == 3
    assert [at_panels(picture, 3) for picture in pictures] == [
        [[10 + t] * 3, [20 + t] * 3, [25 + t] * 3] for t in range(3)
    ]


def test_a_preview_of_a_translation_has_the_source_over_the_result(translated):
    pictures = list(preview([translated], 2))
    x = pictures[0].shape[1] - 12 - 8
    assert [picture[12 + 8, x, 0] for picture in pictures] == [10, 11, 12]
    assert [picture[12 + 16 + 12 + 8, x, 0] for picture in pictures] == [25, 26, 27]


def test_a_sheet_of_a_translation_has_the_source_above(translated):
    picture = sheet([translated], 2)
    for level in (10, 11, 12, 20, 21, 22, 25, 26, 27):
        assert (picture == level).all(axis=-1).sum() == 16 * 16
    assert np.argwhere((picture == 10).all(axis=-1))[0, 0] < np.argwhere((picture == 20).all(axis=-1))[0, 0]
    assert np.argwhere((picture == 10).all(axis=-1))[0, 1] == np.argwhere((picture == 25).all(axis=-1))[0, 1]
