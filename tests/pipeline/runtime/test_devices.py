"""Tests of pipeline/runtime/devices.py."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.runtime.devices import accelerator, autocast_dtype, device_of


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, None),
        ({"neon": True}, None),  # another architecture, which does not name them
    ],
)
def test_precision_is_the_processors_or_the_one_asked_for(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    cpu = torch.device("cpu")
    assert autocast_dtype("auto", cpu) is dtype
    assert autocast_dtype("float32", cpu) is None
    assert autocast_dtype("bf16", cpu) is torch.bfloat16


def test_a_processor_that_is_told_to_play_a_lesser_one_has_no_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert autocast_dtype("auto", torch.device("cpu")) is None


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, None)])
def test_precision_is_the_gpus_where_there_is_one(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: pytest.fail("asked the processor"))
    assert autocast_dtype("auto", torch.device("cuda")) is dtype


def test_the_processor_knows_the_instructions_by_the_names_that_are_asked_for():
    if platform.machine() == "x86_64":
        assert {"avx512_bf16", "amx_bf16"} <= torch.cpu.get_capabilities().keys()


def test_without_a_gpu_the_device_is_the_processor_by_its_one_name():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device_of(accelerator()).type == expected
    if expected == "cpu":
        assert device_of(accelerator()) == torch.device("cpu")


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.parametrize("setting", [None, "0"])
def test_large_tensors_lie_on_huge_pages_unless_a_person_says_no(setting):
    script = (
        "import re, torch, pipeline.stages.train; from pipeline.runtime.devices import huge_pages; huge_pages(); "
        "tensor = torch.ones(2**25); "  # 128 MiB
        "print(re.search(r'AnonHugePages: *([0-9]+)', open('/proc/self/smaps_rollup').read())[1])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if setting is None else {"THP_MEM_ALLOC_ENABLE": setting}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # a system has them always, never, or where a program asks (madvise)
    mode = HUGE.read_text().partition("[")[2].partition("]")[0] if HUGE.exists() else "never"
    wanted = mode == "always" or (mode == "madvise" and setting is None)
    assert (int(result.stdout) > 2**16) == wanted  # kB


def test_freed_memory_that_is_kept_need_not_be_got_again():
    code = """
import resource, sys, torch
from pipeline.runtime.devices import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)  # 64 MiB: more than what the C library keeps by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    usual, kept = (
        int(subprocess.run([sys.executable, "-c", code, how], check=True, capture_output=True, text=True).stdout)
        for how in ("usual", "kept")
    )
    if hasattr(ctypes.CDLL(None), "mallopt"):
        assert kept < 0.8 * usual  # an aligned block does not always fit where one was
    else:
        assert kept <= 1.1 * usual


@pytest.mark.parametrize(("own", "expected"), [(None, "1000"), ("7", "7")])
def test_threads_that_wait_give_their_core_away_unless_a_person_says_otherwise(own, expected):
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if own is not None:
        environment["GOMP_SPINCOUNT"] = own
    code = "import pipeline.runtime.devices, os; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_the_package_is_imported_before_torch_is_loaded():
    """Later the setting would be read no more."""
    code = "import sys, pipeline; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
