"""Where training runs and in what precision."""

import ctypes
import os
import sys
from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pipeline.errors import PipelineError, out_of_memory
from pipeline.runtime.cores import own_cores

# of mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD, bytes
MALLOC_OPTIONS = {-3: 2**30, -1: 2**31 - 1, -2: 2**26}


def best_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerator() -> Accelerator:
    """The device and the processes of this run: a GPU each, where there are any, else all on the processor.

    Precision is not its part, because it would fix that for the life of the process.
    """
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")


def device_of(process: Accelerator) -> torch.device:
    """The device of `process`; the processor is `cpu` in every process: recurrent kernels refuse `cpu:1`."""
    return process.device if process.device.type == "cuda" else torch.device(process.device.type)


def described(process: Accelerator) -> str:
    """The device and the number of processes, for people."""
    if process.device.type == "cuda":
        name = torch.cuda.get_device_name(process.device)
    else:
        threads = torch.get_num_threads()
        name = f"the processor, {threads} thread{'s' * (threads != 1)}"
    return name if process.num_processes == 1 else f"{name}, in each of {process.num_processes} processes"


def use_threads(threads: int | Literal["auto"]) -> int:
    """Have torch compute with so many threads, or with one for each of this process's cores; how many these are."""
    number = own_cores() if threads == "auto" else threads
    torch.set_num_threads(number)
    return number


def reduce(process: Accelerator, tensor: Tensor, reduction: Literal["sum", "mean"]) -> Tensor:
    """The sum or the mean of `tensor` over all processes; PipelineError where one of them is there no more."""
    try:
        return process.reduce(tensor, reduction=reduction)
    except RuntimeError as error:
        if process.num_processes == 1 or out_of_memory(error):
            raise
        raise _lost(process, error) from error


def are_alike(process: Accelerator, numbers: Sequence[int]) -> bool:
    """Whether `numbers` are the same in every process; PipelineError where one of them is there no more."""
    try:
        rows = process.gather(torch.tensor([numbers], dtype=torch.int64, device=process.device))
    except RuntimeError as error:
        raise _lost(process, error) from error
    return bool((rows == rows[0]).all())


def _lost(process: Accelerator, error: RuntimeError) -> PipelineError:
    # Gloo puts a place in its source in front, and advice behind
    reason = str(error).splitlines()[0].rpartition("] ")[2].partition(". ")[0]
    return PipelineError(
        f"another of the {process.num_processes} processes ended, so process {process.process_index} does ({reason}); "
        "start all of them again: they go on where the last checkpoint was"
    )


def average_gradients(process: Accelerator, parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Replace the gradients of `parameters`, and `loss`, by their means over all processes, in one message.

    Not DistributedDataParallel: a rollout calls the generator many times per step, which that is not made for.
    """
    if process.num_processes == 1:
        return
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([loss.flatten(), *(gradient.flatten() for gradient in gradients)])
    mean, *parts = reduce(process, flat, "mean").split([1, *(p.numel() for p in parameters)])
    loss.copy_(mean[0])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def on_processor(model: nn.Module) -> nn.Module:
    """`model` itself if it is on the processor, else a copy of it there."""
    elsewhere = any(weight.device.type != "cpu" for weight in model.parameters())
    return deepcopy(model).cpu() if elsewhere else model


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The lower precision that convolutions and products run in, None for float32 throughout.

    `auto` takes bfloat16 where the processor has instructions for it: elsewhere it is emulated, and slower. The answer
    depends on the machine alone (and on ATEN_CPU_CAPABILITY, by which a better one plays a lesser), never on a timing,
    so that a run can be repeated.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
        if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
            return None
        capabilities = torch.cpu.get_capabilities()
        return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else None
    return torch.bfloat16 if precision == "bf16" else None


def huge_pages() -> None:
    """Have large tensors put on pages of 2 MiB, where the system has such; to be called before the first tensor.

    Blocks above 32 MiB are given back to the system as soon as they are free. Taking them again, page by page of
    4 KiB, took more time at 1024 x 1024 pixels than all arithmetic. A person's own setting is left alone.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Where convolutions and products run in `dtype`; in float32 throughout for None."""
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def keep_freed_memory() -> None:
    """Tell the C library to keep what is freed for the next step, not to give it back to the system.

    A training step takes and frees the same large blocks again and again; getting each anew from the system, page by
    page, is 8 % of the default's step on 2 cores. Other C libraries than GNU's are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)
