"""Pictures are made to fit."""

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.shrinking import fitted, shrink
from pipeline.video import write_animation, write_png


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_a_small_picture_stays_and_a_large_one_keeps_its_shape():
    picture = noise(30, 20, 3)
    assert np.array_equal(shrink(picture, 30), picture)
    assert shrink(picture, 15).shape == (15, 10, 3)
    assert shrink(noise(2, 500, 3), 50).shape == (1, 50, 3)


def test_shrinking_takes_means():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[::2] = 200
    assert (shrink(picture, 2) == 100).all()


def test_what_fits_is_left_as_it_is(tmp_path):
    write_png(tmp_path / "a.png", noise(8, 8, 3))
    assert fitted(tmp_path / "a.png", 10_000) == ((tmp_path / "a.png").read_bytes(), "image/png")


@pytest.mark.parametrize("most_bytes", [30_000, 5_000, 2_000])
def test_a_picture_of_noise_is_made_to_fit(tmp_path, most_bytes):
    write_png(tmp_path / "a.png", noise(150, 200, 3))
    content, kind = fitted(tmp_path / "a.png", most_bytes)
    assert len(content) <= most_bytes < (tmp_path / "a.png").stat().st_size
    assert kind == "image/webp"


def test_an_animation_of_noise_is_made_to_fit_and_stays_one(tmp_path):
    write_animation(tmp_path / "a.webp", noise(130, 60, 80, 3), 10.0)
    content, kind = fitted(tmp_path / "a.webp", 100_000)
    assert (len(content) <= 100_000, kind) == (True, "image/webp")
    (tmp_path / "b.webp").write_bytes(content)
    with Image.open(tmp_path / "b.webp") as small:
        assert small.n_frames == 44  # every third, and each lasts three times as long
        small.load()
        assert small.info["duration"] == 300
