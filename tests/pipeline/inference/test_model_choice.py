"""Which model a command takes."""

import shutil

import pytest

from pipeline import model_versions
from pipeline.errors import ModelError
from pipeline.inference.model_choice import choose_model_dir


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
