"""The weights that come along can be made anew: scenes move, photographs are there, a small training runs through."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline import model_dir
from pipeline.errors import ParamsError, PipelineError
from pipeline.pretrain import photographs
from pipeline.pretrain.compose import compose
from pipeline.pretrain.params import load_params
from pipeline.pretrain.paths import path
from pipeline.pretrain.pretrain import pretrain
from pipeline.pretrain.scenes import scene
from pipeline.pretrain.textures import outline

PARAMS = Path(photographs.__file__).parent / "params.yaml"
PICTURES = [np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)]


@pytest.fixture
def params(tmp_path):
    """The shipped parameters, made small."""
    raw = YAML(typ="safe").load(PARAMS)
    raw["compose"] |= {"train_scenes": 6, "val_scenes": 2, "num_frames": 6, "size": 24}
    raw["pretrain"] |= {"context": 3, "steps": 3, "batch_size": 2, "crop": 16}
    raw["pretrain"]["sizes"] |= {"hidden_channels": 8}
    YAML().dump(raw, tmp_path / "params.yaml")
    return load_params(tmp_path / "params.yaml")


def test_a_scene_is_the_same_for_the_same_seed_and_another_for_another():
    one, again, other = (scene(np.random.default_rng(seed), PICTURES, 5, 32) for seed in (7, 7, 8))
    assert one.shape == (5, 32, 32, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_most_scenes_move_and_some_hardly():
    scenes = [scene(np.random.default_rng(seed), PICTURES, 6, 32) for seed in range(40)]
    changes = np.array([np.abs(np.diff(frames.astype(float), axis=0)).mean() for frames in scenes])
    assert (changes > 0.2).mean() > 0.7
    assert (changes < 2).any()


def test_motions_begin_at_nothing_and_stay_finite():
    for seed in range(60):
        motion = path(np.random.default_rng(seed), 20)
        assert motion.shape == (20,)
        assert np.isfinite(motion).all()
        assert abs(motion[0]) < 1e-9


def test_outlines_cover_a_part_of_their_square():
    shares = [outline(np.random.default_rng(seed), 40).mean() for seed in range(40)]
    assert min(shares) > 0.01
    assert max(shares) < 0.9


def test_the_scenes_are_composed_trained_on_and_written_as_a_model(params, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.pretrain.compose.photographs", lambda: PICTURES)
    compose(tmp_path / "scenes", compose=params.compose)
    assert np.load(tmp_path / "scenes/train.npy").shape == (6, 6, 24, 24, 3)
    pretrain(tmp_path / "scenes", tmp_path / "model", pretrain=params.pretrain)
    _, card = model_dir.load(tmp_path / "model")
    assert (card.context, card.horizon, card.frame_shape) == (3, 3, (3, 24, 24))
    assert set(card.metrics) == {"val_mse", "val_ssim", "last_frame_mse"}


def test_the_photographs_of_a_package_that_is_installed_are_where_the_table_says(monkeypatch):
    monkeypatch.setattr(photographs, "PHOTOGRAPHS", {"scikit-image": photographs.PHOTOGRAPHS["scikit-image"]})
    assert all(picture.ndim == 3 and picture.shape[2] == 3 for picture in photographs.photographs())


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(photographs, "PHOTOGRAPHS", {"no-such-package": ["a.png"]})
    with pytest.raises(PipelineError, match=r"no-such-package: is not installed; pip install 'foreframe\[pretrain\]'"):
        photographs.photographs()


def test_a_wrong_parameter_is_named(tmp_path):
    raw = YAML(typ="safe").load(PARAMS)
    raw["pretrain"]["steps"] = 0
    YAML().dump(raw, tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match=r"pretrain\.steps"):
        load_params(tmp_path / "params.yaml")
