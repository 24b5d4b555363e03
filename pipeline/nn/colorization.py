"""Any generator as one that paints colour alone, and leaves brightness as it was fed."""

from typing import Any

from torch import Tensor, nn

from pipeline.data.color import luma
from pipeline.nn import rollout
from pipeline.nn.layers import clamp


class Coloring(nn.Module):
    """`model` with the same contract, whose output gets the brightness of the frame that it was fed.

    Where a translation leaves brightness as it is, that is known and need not be learnt. Frames that come out are RGB.
    """

    takes_fed_back = True  # and passes it on

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor, state: Any = None, fed_back: Tensor | None = None) -> tuple[Tensor, Any]:
        """Frames (B, T, C, H, W) in [-1, 1] to frames (B, T, 3, H, W) and state, as pipeline.models says."""
        outputs, state = rollout.call(self.model, frames, state, fed_back)
        # channels beyond the frame's own are noise
        missing = luma((frames[:, :, :3] - outputs).flatten(0, 1)).unflatten(0, outputs.shape[:2])
        return clamp(outputs + missing), state

    def auxiliary_loss(self) -> Tensor | None:
        """That of the model within, if it has one."""
        return rollout.auxiliary_loss(self.model)
