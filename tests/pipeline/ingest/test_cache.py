import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from pipeline.ingest.cache import ContentCache

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from pipeline.ingest.cache import ContentCache
with ContentCache(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(1000)
"""


def test_a_run_waits_for_another_and_says_so_and_a_killed_one_lets_go(tmp_path, caplog):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        (tmp_path / "parts/half.npy").write_bytes(b"x")
        killer = threading.Timer(0.5, other.kill)
        killer.start()
        with caplog.at_level(logging.INFO), ContentCache(tmp_path).lock():
            assert other.wait() < 0
            assert list((tmp_path / "parts").iterdir()) == []
    assert "another run is extracting into this store: waiting for it" in caplog.text


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with ContentCache(tmp_path).lock():
                pass
    assert caplog.text == ""


def test_recorded_outcomes_are_those_of_one_recipe_and_a_torn_line_costs_only_itself(tmp_path):
    cache = ContentCache(tmp_path)
    cache.record("old", "a", {"status": "skipped"})
    cache.record("new", "a", {"status": "ok"})
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"key": "new", "sha2')
    cache.record("new", "b", {"status": "damaged"})
    assert cache.recorded("new") == {"a": {"status": "ok"}, "b": {"status": "damaged"}}
    cache.clear_records()
    assert cache.recorded("new") == {}
