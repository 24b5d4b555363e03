"""The EMA of a generator's weights, which is often better than the last weights (Polyak & Juditsky 1992)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """Exponential moving average of `parameters`; `decay` in [0, 1) is the share of the old value that each step keeps.

    With a decay of 0 nothing is stored, and the weights stand for their EMA.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [parameter.detach().clone() for parameter in parameters] if decay else []

    def update(self, step: int) -> None:
        """Take in the weights after `step`, counted from 0."""
        if self.values:
            # as in the usual recipe, short at first: early weights are not worth remembering
            decay = min(self.decay, (1 + step) / (10 + step))
            get_ema_multi_avg_fn(decay)(self.values, [parameter.detach() for parameter in self.parameters], None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The EMA stands where the weights are, for as long as the context lasts."""
        self._swap()
        yield
        self._swap()

    def load(self, values: Sequence[Tensor]) -> None:
        """Go on from `values`, one per parameter."""
        for own, value in zip(self.values, values, strict=True):
            own.copy_(value)

    def _swap(self) -> None:
        for parameter, value in zip(self.parameters, self.values, strict=bool(self.values)):
            parameter.data, value.data = value.data, parameter.data
