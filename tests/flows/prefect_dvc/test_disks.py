"""Disks that take nothing more are named with what to do, once each."""

import subprocess
from contextlib import contextmanager

import pytest

from flows.prefect_dvc import disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes; only root can mount it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder):
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


def test_a_disk_is_named_once_as_long_as_it_takes_nothing(small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    (small_disk / ".dvc/cache").mkdir(parents=True)
    assert disks.refusals(small_disk) == []
    (small_disk / "ballast").write_bytes(bytes(2_000_000))
    said = f"{small_disk}: No space left on device; free some space there, then run it again"
    assert disks.refusals(small_disk) == [said]
    (small_disk / "ballast").unlink()
    assert disks.refusals(small_disk) == []
    with read_only(small_disk):
        (line,) = disks.refusals(small_disk)
    assert line.startswith(f"{small_disk}: Read-only file system; it can only be read there")
