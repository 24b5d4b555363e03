"""How many cores there are to use, with and without what only Linux says."""

import os

import pytest

from pipeline.runtime import cores


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 16 cores, 8 of them in the affinity, with an empty control group."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    return tmp_path


def test_the_affinity_bounds_the_cores(machine):
    assert cores.usable_cores() == 8


def test_without_affinity_as_on_macos_all_cores_count(machine, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores.usable_cores() == 16


@pytest.mark.parametrize(
    ("text", "expected"), [("200000 100000", 2), ("max 100000", 8), ("50000 100000", 1), ("9999999 100000", 8)]
)
def test_a_containers_quota_bounds_the_cores(machine, text, expected):
    (machine / "cpu.max").write_text(text)
    assert cores.usable_cores() == expected


def test_what_bounds_the_cores_is_told(machine):
    assert cores.core_limit() == (8.0, "by affinity")
    (machine / "cpu.max").write_text("50000 100000")
    assert cores.core_limit() == (0.5, "by the container's quota")


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 8)])
def test_so_does_one_of_the_first_kind_of_control_groups(machine, quota, expected):
    (machine / "cpu").mkdir()
    (machine / "cpu/cpu.cfs_quota_us").write_text(quota + "\n")
    (machine / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores.usable_cores() == expected


def test_processes_on_one_machine_share_its_cores(machine, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert cores.own_cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "30")
    assert cores.own_cores() == 1
