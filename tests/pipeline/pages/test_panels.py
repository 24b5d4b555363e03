"""Pictures composed of pictures: where the pixels land, and in which colours."""

import numpy as np
import pytest

from pipeline.pages.panels import (
    BACKGROUND,
    BAR,
    CONTEXT,
    EMPTY,
    GAP,
    GENERATED,
    HEADER,
    LABEL,
    Panel,
    absolute_error,
    empty,
    enlarge,
    grid,
    heat,
    stack,
)

WHITE = np.full((8, 10, 3), 255, np.uint8)


def test_a_pixel_becomes_a_square_and_gray_becomes_rgb():
    enlarged = enlarge(np.array([[[1], [2]]], np.uint8), 2)
    assert enlarged.shape == (2, 4, 3)
    assert enlarged[..., 0].tolist() == [[1, 1, 2, 2]] * 2
    assert enlarge(np.array([[[1, 2, 3]]], np.uint8), 1).tolist() == [[[1, 2, 3]]]


def test_heat_goes_from_black_to_bright_and_no_further():
    colors = heat(np.array([[0.0, 0.5, 1.0, 7.0]]))
    assert colors.shape == (1, 4, 3)
    assert colors[0, 0].tolist() == [0, 0, 4]  # the ends of the colour map "inferno"
    assert colors[0, 2].tolist() == colors[0, 3].tolist() == [252, 255, 164]


def test_an_error_is_a_mean_over_channels_without_wrapping_round():
    predicted, truth = np.array([[[0, 255, 51]]], np.uint8), np.array([[[255, 0, 51]]], np.uint8)
    assert absolute_error(predicted, truth).tolist() == [[pytest.approx(2 / 3)]]


def test_panels_lie_in_rows_with_gaps():
    picture = grid([[Panel(WHITE), Panel(None)], [Panel(None), Panel(WHITE)]], (8, 10))
    assert picture.shape == (3 * GAP + 16, 3 * GAP + 20, 3)
    white = np.argwhere((picture == 255).all(axis=-1))
    expected = np.zeros(picture.shape[:2], bool)
    expected[GAP : GAP + 8, GAP : GAP + 10] = True
    expected[2 * GAP + 8 : 2 * GAP + 16, 2 * GAP + 10 : 2 * GAP + 20] = True
    assert np.array_equal(white, np.argwhere(expected))
    assert (picture[~expected] == BACKGROUND).all()


def test_title_labels_names_and_bar_make_room():
    plain = grid([[Panel(WHITE)]], (8, 10))
    titled = grid([[Panel(WHITE)]], (8, 10), "t")
    labelled = grid([[Panel(WHITE, "l")]], (8, 10))
    named = grid([[Panel(WHITE)]], (8, 10), names=["truth"])
    barred = grid([[Panel(WHITE)]], (8, 10), progress=(0.5, 1.0))
    assert titled.shape[0] - plain.shape[0] == HEADER - GAP
    assert labelled.shape[0] - plain.shape[0] == LABEL
    assert named.shape[1] - plain.shape[1] > 2 * GAP
    assert barred.shape[0] - plain.shape[0] == BAR + GAP
    for picture in (titled, labelled, named):  # something is written, and not over the panel
        assert (picture != BACKGROUND).any(axis=-1).sum() > 8 * 10 + 3
        assert (picture == 255).all(axis=-1).sum() == 8 * 10


def test_an_edge_is_drawn_around_the_panel():
    picture = grid([[Panel(WHITE, edge=GENERATED)]], (8, 10))
    assert (picture == GENERATED).all(axis=-1).sum() == 14 * 16 - 8 * 10
    assert (picture[GAP : GAP + 8, GAP : GAP + 10] == 255).all()


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [(0.0, [EMPTY] * 4), (0.25, [CONTEXT, EMPTY, EMPTY, EMPTY]), (0.75, [CONTEXT, CONTEXT, GENERATED, EMPTY])],
)
def test_the_bar_tells_context_from_what_was_generated(elapsed, expected):
    wide = np.full((8, 400, 3), 255, np.uint8)
    picture = grid([[Panel(wide)]], (8, 400), progress=(0.5, elapsed))
    row = picture[-GAP - 1]
    assert [tuple(row[GAP + x]) for x in (50, 150, 250, 350)] == expected


def test_text_that_does_not_fit_is_cut_off():
    short = grid([[Panel(WHITE)]], (8, 60), "a")
    long = grid([[Panel(WHITE)]], (8, 60), "a" * 500)
    assert long.shape == short.shape
    assert (long[:, -GAP:] == BACKGROUND).all()


def test_an_empty_picture_and_a_stack():
    assert (empty((2, 3)) == EMPTY).all()
    assert stack([empty((2, 3)), empty((4, 3))]).shape == (6, 3, 3)
