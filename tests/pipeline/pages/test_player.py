"""What the player is given: every moment of every panel is a tile of a sprite."""

import numpy as np
import pytest
from PIL import Image

from pipeline.pages import player
from pipeline.pages.contact_sheet import Clip
from pipeline.pages.player import NOTHING, clip_film, rollout_film, write_film


def frames(*levels, size=(8, 8)):
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, *size, 1), np.uint8)


@pytest.fixture
def clip():
    return Clip("a.mp4[0:5]", frames(10, 11), frames(20, 21, 22), frames(25, 26, 27))


def shown(folder, film):
    """The level in the middle of every panel at every moment, None where it is empty."""
    sprites = [np.asarray(Image.open(folder / name).convert("RGB")) for name in film["sprites"]]
    rows = []
    for panel in film["panels"]:
        row = []
        for tile in panel["tiles"]:
            if tile == NOTHING:
                row.append(None)
                continue
            place = tile % film["perSprite"]
            y = place // film["columns"] * film["height"] + film["height"] // 2
            x = place % film["columns"] * film["width"] + film["width"] // 2
            row.append(int(sprites[tile // film["perSprite"]][y, x, 0]))
        rows.append(row)
    return rows


def test_context_truth_and_prediction_are_shown_in_step(clip, tmp_path):
    film = write_film(tmp_path, clip_film(clip, "clip_00", "worst", "MSE 1"), 8.0)
    context, truth, predicted, error = shown(tmp_path, film)
    assert context == [10, 11, 11, 11, 11]  # its last frame stays
    assert truth == [None, None, 20, 21, 22]
    assert predicted == [None, None, 25, 26, 27]
    assert error[:2] == [None, None]
    assert max(error[2:]) < 30  # 5 of 255 is near the dark end
    assert (film["frames"], film["context"], film["horizon"], film["fps"]) == (5, 2, 3, 8.0)
    assert (film["title"], film["detail"], film["name"], film["video"]) == (
        *("worst", "MSE 1", "a.mp4[0:5]", "clip_00.mp4"),
    )
    assert [panel["label"] for panel in film["panels"]] == ["context", "truth", "prediction", "error"]
    assert [panel["generated"] for panel in film["panels"]] == [False, False, True, False]


def test_a_translation_has_source_and_result_from_the_first_frame_on(tmp_path):
    clip = Clip("a", frames(1, 2), frames(3, 4), frames(5, 6), aligned=True)
    film = write_film(tmp_path, clip_film(clip, "clip_00", "", ""), 8.0)
    assert shown(tmp_path, film)[:3] == [[1, 2], [3, 4], [5, 6]]
    assert (film["context"], film["verb"]) == (0, "translated")


def test_a_rollout_has_a_panel_per_clip_and_goes_on_beyond_the_horizon(clip, tmp_path):
    film = write_film(tmp_path, rollout_film([clip, clip], [frames(30, 31, 32, 33)] * 2, "rollout", 3), 8.0)
    assert shown(tmp_path, film) == [[10, 11, 30, 31, 32, 33]] * 2
    assert (film["frames"], film["horizon"]) == (6, 3)


def test_long_films_are_cut_into_sprites_that_a_browser_can_hold(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(player, "MOST_PIXELS", 8 * 8 * 32)
    long = Clip("long", frames(*range(10)), frames(*range(10, 40)), frames(*range(50, 80)))
    film = write_film(tmp_path, clip_film(long, "clip_00", "", ""), 8.0)
    assert len(film["sprites"]) == 4  # 10 + 3 * 30 tiles, 32 in each
    assert shown(tmp_path, film)[2] == [None] * 10 + list(range(50, 80))
    for name in film["sprites"]:
        width, height = Image.open(tmp_path / name).size
        assert width * height <= 8 * 8 * 32


def test_large_frames_are_shrunk_and_small_ones_keep_every_pixel(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3), np.uint8)
    film = write_film(tmp_path, clip_film(Clip("a", noise, noise, noise), "small", "", ""), 8.0)
    sprite = np.asarray(Image.open(tmp_path / film["sprites"][0]).convert("RGB"))
    assert np.array_equal(sprite[:12, :16], noise[0])
    large = frames(100, size=(450, 1000))
    film = write_film(tmp_path, clip_film(Clip("a", large, large, large), "large", "", ""), 8.0)
    assert (film["width"], film["height"]) == (player.MOST_SIDE, round(450 * player.MOST_SIDE / 1000))
    assert shown(tmp_path, film)[0] == [pytest.approx(100, abs=2)] * 2
