"""One flow at a time works in a workspace."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from flows.prefect_dvc import workspace_lock
from pipeline.runtime import locks
from tests.flows.conftest import ROOT

HOLDER = """
from flows.prefect_dvc import workspace_lock
with workspace_lock.locked():
    print('held', flush=True)
    input()
"""


def test_one_flow_at_a_time_works_in_a_folder_and_one_that_is_killed_lets_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Timeout):
            FileLock(Path(".dvc/tmp/workspace.lock"), timeout=0).acquire()
        holder.kill()
    with workspace_lock.locked(), pytest.raises(Timeout):
        FileLock(workspace_lock.LOCK, timeout=0).acquire()


def test_one_that_waits_says_for_whom(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(locks, "QUIET_SECONDS", 0.01)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        timer = threading.Timer(0.5, holder.communicate, [""])
        timer.start()
        with workspace_lock.locked():
            timer.join()
    waited = f".dvc/tmp/workspace.lock: waiting for process {holder.pid} (python -c {HOLDER})"
    assert [record.getMessage() for record in caplog.records] == [waited]
    assert sorted(path.name for path in Path(".dvc/tmp").iterdir()) in ([], ["workspace.lock"])
