"""Tests of pipeline/devices.py."""

import torch

from pipeline.devices import accelerator, autocast_dtype, device_of


def test_precision_is_the_processors_or_the_one_asked_for():
    cpu = torch.device("cpu")
    assert autocast_dtype("float32", cpu) is None
    assert autocast_dtype("bf16", cpu) is torch.bfloat16
    has = torch.cpu.get_capabilities()
    expected = torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else None
    assert autocast_dtype("auto", cpu) is expected


def test_without_a_gpu_the_device_is_the_processor_by_its_one_name():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device_of(accelerator()).type == expected
    if expected == "cpu":
        assert device_of(accelerator()) == torch.device("cpu")
