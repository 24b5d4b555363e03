import hashlib
import logging
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.ingest.cache import ContentCache, _sealed
from pipeline.runtime.files import write_bytes
from tests.damage import flip_bit

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
    assert f"lock: waiting for process {other.pid} (python -c" in caplog.text


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with ContentCache(tmp_path).lock():
                pass
    assert caplog.text == ""


def test_recorded_outcomes_are_those_of_one_recipe_and_a_torn_line_costs_only_itself(tmp_path):
    cache = ContentCache(tmp_path)
    cache.record("old", "a", {"status": "skipped"}, "")
    cache.record("new", "a", {"status": "ok"}, "x")
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"key": "new", "sha2')
    cache.record("new", "b", {"status": "damaged"}, "y")
    assert cache.recorded("new") == {"a": ({"status": "ok"}, "x"), "b": ({"status": "damaged"}, "y")}
    cache.clear_records()
    assert cache.recorded("new") == {}


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_bit_in_what_is_recorded_costs_work_and_changes_no_result(tmp_path, seed):
    cache = ContentCache(tmp_path / "cache")
    with cache.lock():
        pass
    video = tmp_path / "a.mp4"
    video.write_bytes(b"content")
    expected = {video: hashlib.sha256(b"content").hexdigest()}
    cache.record("r", "a", {"status": "ok"}, "x")
    known = [getattr(video.stat(), name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")]
    write_bytes(tmp_path / "cache/videos.json", _sealed({str(video): [known, expected[video]]}))
    for name in ("videos.json", "journal.jsonl"):
        flip_bit(tmp_path / "cache" / name, random.Random(seed))
    assert cache.hashes([video], "videos") == expected
    assert cache.recorded("r") in ({}, {"a": ({"status": "ok"}, "x")})
