"""Lets a killed training go on: its whole state in one file, keyed by all that the result depends on.

DVC removes the outputs of a stage before it runs, so the state lies beside them, in `.train/`.
"""

import hashlib
import logging
import pickle
import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from pipeline.runtime.files import write_bytes

logger = logging.getLogger(__name__)
KEPT_STATES = 3  # so that one may go back and forth between parameters; older ones are removed
SAMPLED_BYTES = 1 << 16


class CheckpointFile:
    """One training's state on the disk: whole or not there, never half."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / key / "state.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings, nested), then remove the oldest states beside it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        torch.save(state, content)
        write_bytes(self.path, content.getvalue())
        # by age, then by name: a tie must not depend on the order of a listing
        others = sorted(self.path.parents[1].glob("*/state.pt"), key=lambda path: (-path.stat().st_mtime, str(path)))
        for path in others[KEPT_STATES:]:
            path.unlink()
            path.parent.rmdir()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last, None where there is none; one that cannot be read is as good as none."""
        try:
            # weights_only: tensors and plain values, no code, whoever wrote the file
            return torch.load(self.path, map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            logger.warning("%s cannot be read (%s): training begins anew", self.path, type(error).__name__)
            return None


def fingerprint(values: Iterable[str], files: Iterable[Path]) -> str:
    """A hash of `values` and of the content of `files`, in their order.

    Of a file its size, its beginning and its end count: arrays may be many gigabytes, and a change that leaves all
    three is not made by a stage of ours.
    """
    digest = hashlib.sha256()
    for value in values:
        digest.update(f"{len(value)}:{value}".encode())
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLED_BYTES))
            if size > SAMPLED_BYTES:
                file.seek(-min(size - SAMPLED_BYTES, SAMPLED_BYTES), 2)
                digest.update(file.read())
    return digest.hexdigest()


def loaded_sources() -> list[Path]:
    """The files of this package that the process has imported, sorted: the code that makes the result."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"]
    return sorted({Path(module.__file__) for module in modules if module.__file__ is not None})
