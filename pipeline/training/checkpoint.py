"""Lets a killed training go on: its whole state in one file, keyed by all that the result depends on.

DVC removes the outputs of a stage before it runs, so the checkpoint lies beside them, in `.train/`. It is a safetensors
file: tensors as arrays, all else as JSON in its metadata, with a content hash over both. Nothing is pickled.
"""

import hashlib
import json
import logging
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.runtime.files import replacing

logger = logging.getLogger(__name__)
STATE = "state.safetensors"
CARD = "checkpoint"  # its metadata
FORMAT_VERSION = 1
KEPT_CHECKPOINTS = 3  # so that one may go back and forth between parameters; older ones are removed


class CheckpointError(PipelineError):
    """A checkpoint is damaged, or not one that this training can go on from."""


class CheckpointFile:
    """One training's checkpoint on the disk: whole or not there, never half."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / key / STATE
        self.key = key

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings, nested), then remove the oldest checkpoints beside it."""
        arrays: list[Tensor] = []
        card = _written_by(self.key) | {"state": _encode(state, arrays)}
        card["sha256"] = _content_hash(card, arrays)
        with replacing(self.path) as part:
            # under one name, because safetensors writes several in any order
            save_file({str(number): array for number, array in enumerate(_apart(arrays))}, part, {CARD: _json(card)})
        self._remove_oldest()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last, None where there is none; one that cannot be used is as good as none."""
        if not self.path.exists():
            return None
        try:
            return self._read(device)
        except CheckpointError as error:
            logger.warning("%s: training begins anew", error)
            return None

    def check(self) -> None:
        """Raises CheckpointError where the file is damaged; one of another version of the code is sound."""
        self._open()

    def _read(self, device: torch.device) -> dict[str, Any]:
        card, arrays = self._open()
        expected = _written_by(self.key)
        if different := [name for name in expected if card[name] != expected[name]]:
            raise CheckpointError(
                f"{self.path}: is of another training (its {different[0]} is {card[different[0]]}, "
                f"not {expected[different[0]]})"
            )
        return _decode(card["state"], [array.to(device, copy=True) for array in arrays])

    def _open(self) -> tuple[dict[str, Any], list[Tensor]]:
        """The card and the arrays, whose content hash is right; CheckpointError where it is not, or there is none."""
        try:
            if not self.path.is_file():
                raise CheckpointError(f"{self.path}: is no file")
            with safe_open(self.path, "pt") as file:
                card = json.loads((file.metadata() or {}).get(CARD, "null"))
                arrays = [file.get_tensor(str(number)) for number in range(len(file.keys()))]
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        except (SafetensorError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path}: is damaged ({' '.join(str(error).split())[:100]})") from error
        if not isinstance(card, dict) or not {*_written_by(""), "state", "sha256"} <= card.keys():
            raise CheckpointError(f"{self.path}: is no checkpoint of a training")
        if card.pop("sha256") != _content_hash(card, arrays):
            raise CheckpointError(f"{self.path}: is damaged (its content hash differs)")
        return card, arrays

    def _remove_oldest(self) -> None:
        def age(folder: Path) -> tuple[float, str]:
            # of a save that was cut off there is the folder alone; by name: a tie must not depend on a listing's order
            state = folder / STATE
            return -(state if state.exists() else folder).stat().st_mtime, folder.name

        others = [path for path in self.path.parents[1].iterdir() if path.is_dir() and path != self.path.parent]
        for folder in sorted(others, key=age)[KEPT_CHECKPOINTS - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)  # with what a killed process left in it


def _written_by(key: str) -> dict[str, Any]:
    """What must be the same for a state to be of use: its form, the training, and the optimizers' release."""
    return {"format_version": FORMAT_VERSION, "key": key, "torch": str(torch.__version__)}


def _json(card: dict[str, Any]) -> str:
    return json.dumps(card, sort_keys=True)


def _content_hash(card: dict[str, Any], arrays: list[Tensor]) -> str:
    total = hashlib.sha256(_json(card).encode())
    for array in arrays:
        total.update(f"{array.dtype}{array.numel()}:".encode())
        total.update(array.view(torch.uint8).numpy().data)
    return total.hexdigest()


def _apart(arrays: list[Tensor]) -> Iterator[Tensor]:
    """The arrays, none of which shares memory with another: safetensors refuses that."""
    seen: set[int] = set()
    for array in arrays:
        memory = array.untyped_storage().data_ptr()
        yield array.clone() if memory in seen else array
        seen.add(memory)


def _encode(value: Any, arrays: list[Tensor]) -> Any:
    """`value` as JSON, its tensors as numbers of `arrays`, to which they are appended flat."""
    if isinstance(value, Tensor):
        # in the order of their memory, which optimizers rely on: channels-last weights have channels-last moments
        stride = value.stride() if _is_dense(value) else torch.empty(value.shape, device="meta").stride()
        flat = (
            value.detach().as_strided((value.numel(),), (1,))
            if _is_dense(value)
            else value.detach().contiguous().flatten()
        )
        arrays.append(flat.cpu())
        return {"tensor": len(arrays) - 1, "shape": list(value.shape), "stride": list(stride)}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    assert value is None or type(value) in (bool, int, float, str), f"{type(value)} in the state of a training"
    return value


def _decode(value: Any, arrays: list[Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return arrays[value["tensor"]].as_strided(value["shape"], value["stride"])
    if "dict" in value:
        return {key: _decode(item, arrays) for key, item in value["dict"]}
    ((kind, items),) = value.items()
    return {"list": list, "tuple": tuple}[kind](_decode(item, arrays) for item in items)


def _is_dense(tensor: Tensor) -> bool:
    """Whether the values of `tensor` fill one stretch of memory, in whatever order of its axes."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return math.prod(tensor.shape) > 0


def loaded_sources() -> list[Path]:
    """The files of this package that the process has imported, sorted: the code that makes the result."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"]
    return sorted({Path(module.__file__) for module in modules if module.__file__ is not None})
