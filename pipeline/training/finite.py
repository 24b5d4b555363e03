"""Stops a training whose loss or gradients are no numbers any more, at the step where that happened."""

from collections import deque

import torch
from torch import Tensor

from pipeline.errors import ModelError


class FiniteCheck:
    """Looks at scalars of every step; a GPU is never waited for, so there the error may come a few steps late.

    On the processor it comes at once, before anything is done with the number. On a GPU a flag is copied while the next
    steps are queued, and read once it has arrived. `remedy` is what to change.
    """

    def __init__(self, device: torch.device, remedy: str) -> None:
        self.waits = device.type == "cpu"  # there is nothing to wait for
        self.remedy = remedy
        self._pending: deque[tuple[int, str, Tensor, torch.Event | None]] = deque()

    def see(self, step: int, name: str, value: Tensor) -> None:
        """Look at `value`, a scalar called `name`, of `step` (counted from 1); raises ModelError if it is no number."""
        finite = value.detach().isfinite()
        event = None
        if not self.waits:
            finite = finite.to("cpu", non_blocking=True)
            event = torch.Event(value.device.type)
            event.record()
        self._pending.append((step, name, finite, event))
        while self._pending and (self.waits or self._arrived()):
            self._read()

    def finish(self) -> None:
        """Look at all that is still on its way: before weights are measured or saved."""
        while self._pending:
            event = self._pending[0][3]
            if event is not None:
                event.synchronize()
            self._read()

    def _arrived(self) -> bool:
        event = self._pending[0][3]
        return event is None or event.query()

    def _read(self) -> None:
        step, name, finite, _ = self._pending.popleft()
        if not finite:
            self._pending.clear()
            raise self.error(step, f"the {name} is not a number")

    def error(self, step: int, what: str) -> ModelError:
        """What is raised where `what` is wrong at `step`."""
        return ModelError(f"{what} at step {step} of training; {self.remedy}")
