"""Tests of pipeline/model_dir.py: a directory is a whole model or refused in one line."""

import json
from pathlib import Path

import pytest
import torch

from pipeline import model_dir
from pipeline.errors import ModelError
from pipeline.model_dir import ModelCard

CARD = ModelCard(
    name="rnn",
    sizes={"hidden_size": 3, "num_layers": 1, "nonlinearity": "tanh"},
    frame_shape=(1, 4, 4),
    out_channels=1,
    noise_channels=0,
    task="predict",
    context=2,
    horizon=3,
    data="abc",
    metrics={"val_mse": 1.5},
)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model_dir.save(tmp_path / "model", CARD.build(), CARD)
    return tmp_path / "model"


def edit(model: Path, **fields):
    """Change a card as one who knows how its checksum is made."""
    path = model / "model.json"
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps(content | {"card_sha256": model_dir.card_checksum(content)}))


def test_a_model_comes_back_as_it_was_saved(saved):
    model, card = model_dir.load(saved)
    torch.manual_seed(0)
    expected = CARD.build().state_dict()
    assert card == CARD
    assert not model.training
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_same_model_is_the_same_bytes_and_nothing_else_is_left(saved, tmp_path):
    model, card = model_dir.load(saved)
    model_dir.save(tmp_path / "again", model, card)
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_noise_channels_are_joined_to_the_frame():
    model = CARD.model_copy(update={"noise_channels": 2}).build()
    assert model(torch.zeros(1, 1, 3, 4, 4))[0].shape == (1, 1, 1, 4, 4)


def test_a_directory_without_a_model_says_so_and_one_that_is_missing_what_to_run(tmp_path):
    with pytest.raises(ModelError, match=r": holds no model: there is no model\.json in it$"):
        model_dir.load(tmp_path)
    with pytest.raises(ModelError, match=r"none: no such directory; `dvc repro train` leaves a model in data/model$"):
        model_dir.load(tmp_path / "none")


def test_a_newer_format_is_refused_by_its_number(saved):
    edit(saved, format_version=2)
    with pytest.raises(ModelError, match="is format 2, this foreframe reads up to 1; update foreframe"):
        model_dir.load(saved)


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "rnn"}'])
def test_a_card_that_is_none_is_refused(saved, content):
    (saved / "model.json").write_text(content)
    with pytest.raises(ModelError, match=r"model\.json: is"):
        model_dir.load(saved)


def test_a_card_with_an_unknown_key_names_it(saved):
    edit(saved, surprise=1)
    with pytest.raises(ModelError, match="surprise"):
        model_dir.load_card(saved)


@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_weights_that_are_not_whole_are_refused(saved, damage):
    path = saved / "model.safetensors"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: (is not the file|cannot be read)"):
        model_dir.load(saved)


def test_weights_of_another_shape_are_refused(saved):
    edit(saved, sizes=CARD.sizes | {"hidden_size": 4})
    with pytest.raises(ModelError, match="does not fit the rnn of this foreframe"):
        model_dir.load(saved)
