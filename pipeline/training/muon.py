"""Muon (Jordan et al. 2024), in the number format that the processor is good at."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.runtime.devices import autocast_dtype

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)  # of x, x³ and x⁵: the steepest at zero that stay near one
NUM_ITERATIONS = 5
EPS = 1e-7


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov's momentum whose every step is made a matrix with singular values of about one.

    For matrices (out, in). A learning rate is what it is for Adam, about the change of each weight (Liu et al. 2025,
    section 2), and matrices shrink by the share lr · weight_decay at each step, decoupled.

    As torch.optim.Muon with `adjust_lr_fn="match_rms_adamw"`, to the bit where that is fast. torch's multiplies in
    bfloat16 everywhere; on a processor without such instructions (AVX2) that takes ten times as long as float32 and was
    two fifths of a training step, so there it is float32.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, *, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        device = self.param_groups[0]["params"][0].device
        self.dtype = autocast_dtype("auto", device) or torch.float32  # of the products

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change the parameters that have a gradient."""
        assert closure is None, "not supported"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)

    def _step(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state, gradient = self.state[parameter], parameter.grad
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalized(gradient.lerp(average, group["momentum"]), self.dtype)
        lr = group["lr"]
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.add_(update, alpha=-lr * 0.2 * max(parameter.shape) ** 0.5)


def orthogonalized(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """About U Vᵀ of a matrix U S Vᵀ, singular values between 0.5 and 1.5, by the iteration of Newton and Schulz.

    It is computed, and returned, in `dtype`.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide.to(dtype)
    x = x / x.norm().clamp(min=EPS)  # so that no singular value is above one
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrix else x.T
