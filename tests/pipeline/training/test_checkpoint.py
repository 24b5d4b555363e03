"""A state is whole or not there, and its key is all that a result depends on."""

import os

import torch

from pipeline.training.checkpoint import SAMPLED_BYTES, CheckpointFile, fingerprint, loaded_sources

CPU = torch.device("cpu")


def test_a_state_comes_back_and_the_last_one_counts(tmp_path):
    state = CheckpointFile(tmp_path, "key")
    assert state.load(CPU) is None
    for step in (1, 2):
        state.save({"step": step, "weights": {"w": torch.full((2,), float(step))}, "history": [{"loss": 0.5}]})
    loaded = state.load(CPU)
    assert loaded["step"] == 2
    assert loaded["weights"]["w"].tolist() == [2, 2]
    assert loaded["history"] == [{"loss": 0.5}]
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["state.pt"]


def test_another_key_is_another_state(tmp_path):
    CheckpointFile(tmp_path, "a").save({"step": 1})
    assert CheckpointFile(tmp_path, "b").load(CPU) is None


def test_a_file_that_is_no_state_begins_anew(tmp_path, caplog):
    state = CheckpointFile(tmp_path, "key")
    state.save({"step": 1})
    for content in (b"", b"nonsense", state.path.read_bytes()[:100]):
        state.path.write_bytes(content)
        assert state.load(CPU) is None
    assert "training begins anew" in caplog.text


def test_only_the_newest_states_are_kept(tmp_path):
    for age, key in ((50, "a"), (40, "b"), (30, "c"), (20, "d")):
        CheckpointFile(tmp_path, key).save({"step": 1})
        os.utime(tmp_path / key / "state.pt", (1e9 - age, 1e9 - age))
    CheckpointFile(tmp_path, "e").save({"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d", "e"]


def test_a_fingerprint_knows_values_names_sizes_beginnings_and_ends(tmp_path):
    path = tmp_path / "array.npy"
    content = bytearray(3 * SAMPLED_BYTES)
    path.write_bytes(content)
    seen = {fingerprint(["a"], [path]), fingerprint(["b"], [path]), fingerprint(["a"], [])}
    for position in (0, len(content) - 1):
        changed = content.copy()
        changed[position] = 1
        path.write_bytes(changed)
        seen.add(fingerprint(["a"], [path]))
    path.write_bytes(bytes(content) + b"\0")
    seen.add(fingerprint(["a"], [path]))
    assert len(seen) == 6
    path.write_bytes(content)
    assert fingerprint(["a"], [path]) in seen


def test_values_do_not_run_into_each_other():
    assert fingerprint(["ab", "c"], []) != fingerprint(["a", "bc"], [])


def test_the_code_that_is_loaded_counts():
    names = [path.name for path in loaded_sources()]
    assert "checkpoint.py" in names
    assert names == [path.name for path in sorted(loaded_sources())]
