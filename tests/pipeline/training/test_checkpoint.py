"""A checkpoint is whole or not there, and its key is all that a result depends on."""

import os

import torch

from pipeline.training.checkpoint import CheckpointFile, loaded_sources

CPU = torch.device("cpu")


def test_a_state_comes_back_and_the_last_one_counts(tmp_path):
    checkpoint = CheckpointFile(tmp_path, "key")
    assert checkpoint.load(CPU) is None
    for step in (1, 2):
        checkpoint.save({"step": step, "weights": {"w": torch.full((2,), float(step))}, "history": [{"loss": 0.5}]})
    loaded = checkpoint.load(CPU)
    assert loaded["step"] == 2
    assert loaded["weights"]["w"].tolist() == [2, 2]
    assert loaded["history"] == [{"loss": 0.5}]
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["state.pt"]


def test_another_key_is_another_checkpoint(tmp_path):
    CheckpointFile(tmp_path, "a").save({"step": 1})
    assert CheckpointFile(tmp_path, "b").load(CPU) is None


def test_a_file_that_is_no_checkpoint_begins_anew(tmp_path, caplog):
    checkpoint = CheckpointFile(tmp_path, "key")
    checkpoint.save({"step": 1})
    for content in (b"", b"nonsense", checkpoint.path.read_bytes()[:100]):
        checkpoint.path.write_bytes(content)
        assert checkpoint.load(CPU) is None
    assert "training begins anew" in caplog.text


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for age, key in ((50, "a"), (40, "b"), (30, "c"), (20, "d")):
        CheckpointFile(tmp_path, key).save({"step": 1})
        os.utime(tmp_path / key / "state.pt", (1e9 - age, 1e9 - age))
    (tmp_path / "b/.state.pt.part").write_bytes(b"of a process that was killed as it wrote")
    CheckpointFile(tmp_path, "e").save({"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d", "e"]


def test_the_code_that_is_loaded_counts():
    names = [path.name for path in loaded_sources()]
    assert "checkpoint.py" in names
    assert names == [path.name for path in sorted(loaded_sources())]
