"""The losses of training: of pixels, as a weighted sum, and of an adversary that judges motion."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.metrics import ssim

EPSILON = 1e-5  # added to a clip's loss before its logarithm: less than half a level of 255 is no error


@dataclass(frozen=True)
class PixelLoss:
    """Weights of the losses by which predicted frames are compared with the truth; the value is their weighted sum."""

    l1: float  # mean absolute error
    l2: float  # mean squared error
    gradient: float  # gradient difference: edges where the truth has edges (Mathieu et al. 2016, eq. 6, exponent 1)
    ssim: float  # 1 - structural similarity
    temporal: float  # squared change of the error from one frame to the next: what metrics.flicker measures
    log: bool  # the logarithm of each clip's sum: a decibel is worth as much in an easy clip as in a hard one

    def __call__(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """The loss, a scalar; both are (B, T, C, H, W) in [-1, 1]."""
        if not self.log:
            return self._sum(predicted, truth)
        sums = [self._sum(*pair) for pair in zip(predicted.split(1), truth.split(1), strict=True)]
        return (torch.stack(sums) + EPSILON).log().mean()

    def _sum(self, predicted: Tensor, truth: Tensor) -> Tensor:
        loss = predicted.new_zeros(())
        if self.l1:
            loss = loss + self.l1 * (predicted - truth).abs().mean()
        if self.l2:
            loss = loss + self.l2 * (predicted - truth).square().mean()
        if self.gradient:
            loss = loss + self.gradient * _gradient_difference(predicted, truth)
        if self.ssim:
            loss = loss + self.ssim * (1 - ssim(predicted, truth).mean())
        if self.temporal and predicted.shape[1] > 1:
            loss = loss + self.temporal * (predicted - truth).diff(dim=1).square().mean()
        return loss


def _gradient_difference(predicted: Tensor, truth: Tensor) -> Tensor:
    """| |∂truth| - |∂predicted| | of neighbouring pixels, down and across, mean."""
    total = predicted.new_zeros(())
    for dim in (-2, -1):
        total = total + (truth.diff(dim=dim).abs() - predicted.diff(dim=dim).abs()).abs().mean()
    return total


class Adversary:
    """A discriminator that learns to tell predicted motion from real (Goodfellow et al. 2014).

    Hinge losses (Lim & Ye 2017): the discriminator's is max(0, 1 - D(real)) + max(0, 1 + D(fake)), the generator's
    -D(fake) and feature matching (Salimans et al. 2016). A fake clip is the last `context` true frames before the first
    judged frame and the predicted frames from there on, so that what is judged is how motion goes on. Everywhere here
    `predicted` and `truth` are (B, T, C, H, W), and `first_judged` is an index of T.
    """

    def __init__(self, discriminator: nn.Module, *, context: int, lr: float) -> None:
        self.discriminator, self.context = discriminator, context
        # β₁ of a half: the opponent moves, so old gradients mislead (Radford et al. 2016)
        self.optimizer = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999), fused=True)

    def loss(self, predicted: Tensor, truth: Tensor, first_judged: int) -> Tensor:
        """The generator's loss, a scalar."""
        self.discriminator.requires_grad_(False)
        scores, fake_features = self.discriminator(self._joined(predicted, truth, first_judged))
        with torch.no_grad():
            _, real_features = self.discriminator(self._joined(truth, truth, first_judged))
        self.discriminator.requires_grad_(True)
        pairs = zip(fake_features, real_features, strict=True)
        matching = torch.stack([(fake - real).abs().mean() for fake, real in pairs]).mean()
        return matching - scores.mean()

    def learn(self, predicted: Tensor, truth: Tensor, first_judged: int, weight: float) -> None:
        """Add `weight` times the gradients of the discriminator's own loss to its parameters'."""
        (weight * self.own_loss(predicted, truth, first_judged)).backward()

    def own_loss(self, predicted: Tensor, truth: Tensor, first_judged: int) -> Tensor:
        """The discriminator's loss, a scalar, on the same frames as the generator's."""
        real_scores, _ = self.discriminator(self._joined(truth, truth, first_judged))
        fake_scores, _ = self.discriminator(self._joined(predicted.detach(), truth, first_judged))
        return torch.relu(1 - real_scores).mean() + torch.relu(1 + fake_scores).mean()

    def step(self) -> None:
        """Use the gradients that `learn` added up, and forget them."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where state_dict left off."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _joined(self, frames: Tensor, truth: Tensor, first_judged: int) -> Tensor:
        """Up to `context` true frames before the first judged one, then `frames` from there on."""
        start = max(0, first_judged - self.context)
        return torch.cat([truth[:, start:first_judged], frames[:, first_judged:]], dim=1)
