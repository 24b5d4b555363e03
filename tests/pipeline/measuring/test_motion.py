"""How much moves."""

import numpy as np
import pytest

from pipeline.data.frames import FrameStore
from pipeline.measuring.motion import motion


def texture(num_frames, speed, size):
    """A smooth texture that goes right by `speed` pixels a frame: (T, size, size, 1)."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    moments = [
        np.sin((x - speed * t) / 9) + np.sin(y / 7) + np.sin((x - speed * t + y) / 17) for t in range(num_frames)
    ]
    return np.round(40 * np.stack(moments) + 127)[..., None].astype(np.uint8)


@pytest.mark.parametrize(("speed", "size"), [(0, 64), (2, 64), (4, 600)])
def test_a_texture_moves_by_its_speed_in_pixels_of_the_stored_frames(make_store, speed, size):
    store = FrameStore(make_store({"a": texture(6, speed, size)}))
    assert motion(store, ["a"])["a"] == pytest.approx(speed, abs=0.25 + speed * 0.15)


def test_a_single_frame_has_no_motion_and_small_pictures_are_no_trouble(make_store):
    store = FrameStore(make_store({"one": texture(1, 0, 8), "two": texture(2, 0, 8)}))
    assert motion(store, ["one", "two"]) == {"two": pytest.approx(0, abs=0.05)}
