"""Which model a command takes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import model_dir, model_versions
from pipeline.errors import ModelError
from pipeline.inference.model_choice import choose_model_dir, choose_model_for
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


def saved(project: Path, **changes) -> Path:
    card = card_of(changes.pop("channels", 1), **changes)
    model_dir.save(project / "data/model", card.build(), card)
    return project / "data/model"


def test_a_model_that_is_named_is_taken_whatever_else_there_is(tiny, tmp_path):
    assert choose_model_dir(tiny.model, tmp_path) == (tiny.model, "as asked")


def test_the_champion_comes_before_the_model_that_was_trained_last(tiny, tmp_path):
    with pytest.raises(ModelError, match=r"data/model: no such directory, and no champion"):
        choose_model_dir(None, tmp_path)
    shutil.copytree(tiny.model, tmp_path / "data/model")
    assert choose_model_dir(None, tmp_path) == (tmp_path / "data/model", "trained last; there is no champion")
    models = tmp_path / "models"
    model_versions.activate(model_versions.store(tiny.model, {}, models=models), models)
    assert choose_model_dir(None, tmp_path) == (models / "champion", "the champion, v1.0.0")


def test_a_champion_that_is_lost_does_not_pass_for_none(tiny, tmp_path):
    shutil.copytree(tiny.model, tmp_path / "data/model")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/champion").symlink_to("v1.0.0")
    with pytest.raises(ModelError, match="which is not there"):
        choose_model_dir(None, tmp_path)


def test_without_a_model_of_ones_own_the_pretrained_one_continues(tmp_path, video):
    chosen, reason = choose_model_for(video("red"), None, tmp_path)
    assert chosen == PRETRAINED
    assert f"there is no model in {tmp_path / 'data/model'}" in reason


def test_a_model_of_gray_frames_continues_gray_videos_only(tmp_path, video):
    own = saved(tmp_path)
    assert choose_model_for(video("gray"), None, tmp_path)[0] == own
    chosen, reason = choose_model_for(video("red"), None, tmp_path)
    assert chosen == PRETRAINED
    assert "has only seen gray frames" in reason


def test_a_model_in_colour_continues_any(tmp_path, video):
    own = saved(tmp_path, channels=3)
    assert choose_model_for(video("red"), None, tmp_path)[0] == own


def test_one_that_translates_continues_none(tmp_path, video):
    saved(tmp_path, channels=3, task="translate", translation=DENOISE)
    chosen, reason = choose_model_for(video("red"), None, tmp_path)
    assert chosen == PRETRAINED
    assert "is made to translate" in reason


def test_what_is_asked_for_continues(tmp_path, video):
    own = saved(tmp_path)
    assert choose_model_for(video("gray"), Path("pretrained"), tmp_path) == (PRETRAINED, "as asked")
    assert choose_model_for(video("red"), own, tmp_path / "none") == (own, "as asked")


def test_a_damaged_model_is_not_passed_over(tmp_path, video):
    own = saved(tmp_path)
    (own / "model.json").write_text("{}")
    assert choose_model_for(video("red"), None, tmp_path)[0] == own
