"""Who waits for a lock is told who holds it."""

import os

from pipeline.runtime import locks


def test_the_note_of_a_holder_that_was_killed_names_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "NOTE_SECONDS", 0.1)
    path = tmp_path / "lock"
    assert locks.holder(path) == "another process"
    (tmp_path / "lock.holder").write_text(f"{2**22 + 1} (gone)")  # more than Linux's largest number
    assert locks.holder(path) == "another process"


def test_a_holder_is_named_as_long_as_it_holds(tmp_path):
    path = tmp_path / "lock"
    with locks.held(path, who="a run"):
        assert locks.holder(path) == f"process {os.getpid()} (a run)"
    assert not (tmp_path / "lock.holder").exists()
