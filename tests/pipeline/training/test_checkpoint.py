"""A checkpoint is whole, ours and undamaged, or as good as not there; its key is all that a result depends on."""

import json
import os
import random

import pytest
import torch
from safetensors.torch import save_file

from pipeline.training import checkpoint as module
from pipeline.training.checkpoint import STATE, CheckpointError, CheckpointFile, loaded_sources
from tests.damage import flip_bit

CPU = torch.device("cpu")
FLIPS = 60


def some_state():
    """Every kind of value that a training saves."""
    weight = torch.rand(3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    return {
        "weights": {"w": weight, "half": torch.ones(3, dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
        "random": torch.get_rng_state(),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "progress": {"step": 2, "best": None, "history": [{"loss": 1 / 3, "val": float("inf")}], "name": "é"},
    }


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return one == other and type(one) is type(other)


def test_a_state_comes_back_and_the_last_one_counts(tmp_path):
    checkpoint = CheckpointFile(tmp_path, "key")
    assert checkpoint.load(CPU) is None
    for step in (1, 2):
        checkpoint.save({"step": step, "weights": {"w": torch.full((2,), float(step))}, "history": [{"loss": 0.5}]})
    loaded = checkpoint.load(CPU)
    assert loaded["step"] == 2
    assert loaded["weights"]["w"].tolist() == [2, 2]
    assert loaded["history"] == [{"loss": 0.5}]
    assert [path.name for path in (tmp_path / "key").iterdir()] == [STATE]


def test_every_value_comes_back_as_it_was_with_its_type_and_order_in_memory(tmp_path):
    checkpoint = CheckpointFile(tmp_path, "key")
    state = some_state()
    checkpoint.save(state)
    assert equal(checkpoint.load(CPU), state)
    first = checkpoint.path.read_bytes()
    checkpoint.save(checkpoint.load(CPU))
    assert checkpoint.path.read_bytes() == first


def test_values_that_share_memory_or_have_gaps_are_saved_one_by_one(tmp_path):
    checkpoint = CheckpointFile(tmp_path, "key")
    whole = torch.arange(12.0).reshape(3, 4)
    checkpoint.save({"a": whole, "b": whole, "row": whole[1], "column": whole[:, 1], "wide": whole[:1].expand(2, 4)})
    loaded = checkpoint.load(CPU)
    assert loaded["row"].tolist() == [4, 5, 6, 7]
    assert loaded["column"].tolist() == [1, 5, 9]
    assert loaded["wide"].tolist() == [[0, 1, 2, 3]] * 2
    loaded["a"].zero_()
    assert loaded["b"].tolist() == whole.tolist()


def test_another_key_is_another_checkpoint(tmp_path):
    CheckpointFile(tmp_path, "a").save({"step": 1})
    assert CheckpointFile(tmp_path, "b").load(CPU) is None


@pytest.mark.parametrize("seed", range(FLIPS))
def test_a_flipped_bit_anywhere_begins_anew_and_says_so(tmp_path, caplog, seed):
    checkpoint = CheckpointFile(tmp_path, "key")
    checkpoint.save(some_state())
    flip_bit(checkpoint.path, random.Random(seed))
    loaded = checkpoint.load(CPU)
    if loaded is not None:  # the blanks that end a header, and the like
        assert equal(loaded, some_state())
        return
    assert f"{checkpoint.path}: is " in caplog.text
    assert caplog.text.rstrip().endswith("training begins anew")
    assert len(caplog.records) == 1
    with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
        checkpoint.check()


def test_a_file_that_is_no_checkpoint_begins_anew(tmp_path, caplog):
    checkpoint = CheckpointFile(tmp_path, "key")
    checkpoint.save({"step": 1})
    for content in (b"", b"nonsense", checkpoint.path.read_bytes()[:100]):
        checkpoint.path.write_bytes(content)
        assert checkpoint.load(CPU) is None
    save_file({"step": torch.ones(1)}, checkpoint.path)  # one that can be read and is not ours
    assert checkpoint.load(CPU) is None
    save_file({"0": torch.ones(1)}, checkpoint.path, {"checkpoint": json.dumps({"state": 1})})
    assert checkpoint.load(CPU) is None
    checkpoint.path.unlink()
    checkpoint.path.mkdir()
    assert checkpoint.load(CPU) is None
    assert caplog.text.count("training begins anew") == 6


@pytest.mark.parametrize("what", ["key", "format_version", "torch"])
def test_a_sound_state_of_another_training_form_or_release_begins_anew(tmp_path, caplog, monkeypatch, what):
    other = {"key": "other", "format_version": 0, "torch": "1.0"}[what]
    original = module._written_by
    with monkeypatch.context() as patch:
        patch.setattr(module, "_written_by", lambda key: original(key) | {what: other})
        CheckpointFile(tmp_path, "key").save({"step": 1})
    assert CheckpointFile(tmp_path, "key").load(CPU) is None
    assert f"is of another training (its {what} is {other}, not " in caplog.text
    CheckpointFile(tmp_path, "key").check()


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for age, key in ((50, "a"), (40, "b"), (30, "c"), (20, "d")):
        CheckpointFile(tmp_path, key).save({"step": 1})
        os.utime(tmp_path / key / STATE, (1e9 - age, 1e9 - age))
    (tmp_path / f"b/.{STATE}.part").write_bytes(b"of a process that was killed as it wrote")
    CheckpointFile(tmp_path, "e").save({"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d", "e"]


def test_a_save_that_was_cut_off_is_removed_in_its_turn(tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / f"cut/.{STATE}.part").write_bytes(b"half")
    os.utime(tmp_path / "cut", (1e9, 1e9))
    for age, key in ((20, "a"), (10, "b")):
        CheckpointFile(tmp_path, key).save({"step": 1})
        os.utime(tmp_path / key / STATE, (2e9 - age, 2e9 - age))
    CheckpointFile(tmp_path, "c").save({"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_the_code_that_is_loaded_counts():
    names = [path.name for path in loaded_sources()]
    assert "checkpoint.py" in names
    assert names == [path.name for path in sorted(loaded_sources())]
