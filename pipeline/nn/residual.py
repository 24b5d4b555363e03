"""Any generator as one that changes the frame it is fed, rather than painting it anew."""

from typing import Any

from torch import Tensor, nn

from pipeline.nn import rollout


class Residual(nn.Module):
    """`model` with the same contract, whose output is added to the input (He et al. 2016; Zhang et al. 2017).

    Where source and target are much alike, only the difference is left to learn, and an untrained network is near
    the identity. The sum is cut off at [-1, 1].
    """

    takes_fed_back = True  # and passes it on

    def __init__(self, model: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.model, self.out_channels = model, out_channels

    def forward(self, frames: Tensor, state: Any = None, fed_back: Tensor | None = None) -> tuple[Tensor, Any]:
        """Frames (B, T, C, H, W) in [-1, 1] to frames (B, T, out_channels, H, W) and state, as pipeline.models says."""
        change, state = rollout.call(self.model, frames, state, fed_back)
        # channels beyond the frame's own are noise
        return (frames[:, :, : self.out_channels] + change).clamp(-1, 1), state

    def auxiliary_loss(self) -> Tensor | None:
        """That of the model within, if it has one; unasked, it would keep every graph of the training."""
        return rollout.auxiliary_loss(self.model)
