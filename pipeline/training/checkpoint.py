"""Lets a killed training go on: its whole state in one file, keyed by all that the result depends on.

DVC removes the outputs of a stage before it runs, so the checkpoint lies beside them, in `.train/`.
"""

import logging
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.runtime.files import replacing

logger = logging.getLogger(__name__)
KEPT_CHECKPOINTS = 3  # so that one may go back and forth between parameters; older ones are removed


class CheckpointFile:
    """One training's checkpoint on the disk: whole or not there, never half."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / key / "state.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings, nested), then remove the oldest checkpoints beside it."""
        with replacing(self.path) as part:
            torch.save(state, part)
        # by age, then by name: a tie must not depend on the order of a listing
        newest = sorted(self.path.parents[1].glob("*/state.pt"), key=lambda path: (-path.stat().st_mtime, str(path)))
        for path in newest[KEPT_CHECKPOINTS:]:
            shutil.rmtree(path.parent)  # with what a killed process left in it

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


def loaded_sources() -> list[Path]:
    """The files of this package that the process has imported, sorted: the code that makes the result."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"]
    return sorted({Path(module.__file__) for module in modules if module.__file__ is not None})
