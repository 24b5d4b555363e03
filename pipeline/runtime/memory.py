"""How much memory a run will take, said before it is taken: a run that cannot fit ends at once, with what to change."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from pipeline.errors import ModelError

GIB = 2**30
# times what tensors hold: the allocator and the convolution library take more. Measured: 1.1 to 1.9
OVERHEAD = 1.7
# of control groups, which bound containers: the files of the limit and of the current use
LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def estimate(work: Callable[[], Any]) -> int:
    """Bytes at the peak of `work`, a call of a generator and maybe its backward pass, without taking or computing them.

    `work` runs on tensors that have shapes and no content. Tensors that existed before are not counted. A generator
    that looks at what is in a tensor can be followed only so far: then the peak until there, which is too little, is
    returned.
    """
    peak = _Peak()
    with FakeTensorMode(allow_non_fake_inputs=True), peak, suppress(DataDependentOutputException):
        work()
    return int(peak.most * OVERHEAD)


def available(device: torch.device) -> int:
    """Bytes that this process could still take on `device`, within the limits of its container."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    for limit, used in LIMITS:
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            free = min(free, int(text) - int(used.read_text()))
    return free


def check(what: str, needed: int, free: int, remedy: str) -> None:
    """Raises ModelError where `needed` bytes are more than are `free`: one line that says what to change."""
    if needed > free:
        raise ModelError(
            f"{what} needs about {needed / GIB:.1f} GiB of memory, {free / GIB:.1f} GiB are free; lower {remedy}"
        )


class _Peak(TorchDispatchMode):
    """Adds up the storages of the tensors that operations return, as long as something holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.total = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        if self.total > self.most:  # only now does it matter which are gone
            self.held = {key: item for key, item in self.held.items() if not item[0].expired()}
            self.total = sum(size for _, size in self.held.values())
            self.most = max(self.most, self.total)
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        reference, size = self.held.get(storage._cdata, (None, 0))
        if reference is None or reference.expired():
            self.held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            self.total += storage.nbytes() - size
