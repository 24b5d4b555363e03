"""Displacement fields lead back to where a value is read; many of them in a row are one."""

import numpy as np

from pipeline.inference import motion


def everywhere(x, y, size=(6, 8)):
    return np.full((*size, 2), (x, y), np.float32)


def test_a_field_says_where_a_pixel_is_read_and_the_border_goes_on():
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    moved = motion.moved(image, everywhere(1, -1, (3, 4)))
    assert moved[..., 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7]]
    assert motion.moved(image, everywhere(0.5, 0, (3, 4)))[0, 0, 0] == 0.5


def test_what_moved_for_two_frames_is_followed_back_to_the_first():
    first, second = everywhere(1, 0), everywhere(0, 2)
    np.testing.assert_allclose(motion.followed(first, second), everywhere(1, 2))
    # a place that came from the right half by `second` moved before as things do there
    first[:, 4:] = (3, 0)
    assert motion.followed(first, everywhere(2, 0))[0, 2].tolist() == [5, 0]


def test_what_moves_evenly_moves_on_as_it_did():
    np.testing.assert_allclose(motion.carried_on(everywhere(1.5, -0.5)), everywhere(1.5, -0.5), atol=1e-6)


def test_what_moves_takes_its_motion_along():
    flow = np.zeros((20, 60, 2), np.float32)
    flow[:, 10:30] = (-4, 0)  # it comes from the left, so it goes to the right
    gone = motion.carried_on(flow)[10, :, 0]
    assert gone[10] > -2.5  # its rear has left
    assert gone[20] < -3.9


def test_a_field_of_larger_pictures_counts_their_pixels():
    field = motion.resized_field(everywhere(1, 2, (4, 5)), (8, 15))
    np.testing.assert_allclose(field, everywhere(3, 4, (8, 15)))
