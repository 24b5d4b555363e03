"""Which model continues a video: the one that is named, one's own where it suits, else the one that comes along."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import model_dir
from pipeline.inference.choice import choose_model_dir
from pipeline.model_dir import PRETRAINED
from pipeline.video import write_video
from tests.pipeline.training.test_start import DENOISE, card_of


@pytest.fixture
def video(tmp_path):
    """A video of one colour, of which gray and red are named."""

    def make(colour: str) -> Path:
        path = tmp_path / f"{colour}.mp4"
        picture = np.full((32, 32, 3), {"gray": (90, 90, 90), "red": (200, 20, 20)}[colour], np.uint8)
        write_video(path, [picture] * 4, 10.0)
        return path

    return make


def saved(folder: Path, **changes) -> Path:
    card = card_of(changes.pop("channels", 1), **changes)
    model_dir.save(folder, card.build(), card)
    return folder


def test_without_a_model_of_ones_own_the_pretrained_one_is_taken(tmp_path, video):
    chosen, reason = choose_model_dir(None, tmp_path / "data/model", video("red"))
    assert chosen == PRETRAINED
    assert reason == f"there is no model in {tmp_path / 'data/model'}"


def test_a_model_of_gray_frames_continues_gray_videos_only(tmp_path, video):
    own = saved(tmp_path / "model")
    assert choose_model_dir(None, own, video("gray")) == (own, "")
    chosen, reason = choose_model_dir(None, own, video("red"))
    assert chosen == PRETRAINED
    assert "has only seen gray frames" in reason


def test_a_model_in_colour_continues_any(tmp_path, video):
    own = saved(tmp_path / "model", channels=3)
    assert choose_model_dir(None, own, video("red")) == (own, "")


def test_one_that_translates_continues_none(tmp_path, video):
    own = saved(tmp_path / "model", channels=3, task="translate", translation=DENOISE)
    assert choose_model_dir(None, own, video("red")) == (PRETRAINED, f"{own} is made to translate")


def test_what_is_asked_for_is_taken(tmp_path, video):
    own = saved(tmp_path / "model")
    assert choose_model_dir(Path("pretrained"), own, video("gray")) == (PRETRAINED, "")
    assert choose_model_dir(own, tmp_path / "none", video("red")) == (own, "")


def test_a_damaged_model_is_not_passed_over(tmp_path, video):
    own = saved(tmp_path / "model")
    (own / "model.json").write_text("{}")
    assert choose_model_dir(None, own, video("red")) == (own, "")
