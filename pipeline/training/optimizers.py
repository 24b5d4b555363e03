"""What makes gradients into steps: Adam for every weight, or Muon for the matrices and Adam for the rest."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.params import OptimizerName


class Optimizer:
    """Steps on `parameters` at a learning rate that changes as training goes; of several optimizers, as if of one.

    `adam` is Adam (Kingma & Ba 2015) for all. `muon` (Jordan et al. 2024) makes of a matrix's averaged gradient the
    nearest one whose singular values are alike, so that a direction of which few examples speak is learnt as fast as
    one of which all do; what is not a matrix remains Adam's.
    """

    def __init__(self, name: OptimizerName, parameters: Sequence[nn.Parameter], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        hidden = [parameter for parameter in parameters if name == "muon" and is_matrix(parameter)]
        # torch's Muon takes only what has two dimensions: the same memory, seen so
        self.matrices = [(parameter, nn.Parameter(as_matrix(parameter.detach(), parameter))) for parameter in hidden]
        assert all(parameter.data_ptr() == matrix.data_ptr() for parameter, matrix in self.matrices), "a copy"
        chosen = {id(parameter) for parameter in hidden}
        others = [parameter for parameter in parameters if id(parameter) not in chosen]
        self.parts: list[torch.optim.Optimizer] = []
        if others:
            self.parts.append(torch.optim.Adam(others, lr=learning_rate, fused=True))
        if hidden:
            matrices = [matrix for _, matrix in self.matrices]
            # a learning rate is then what it is for Adam: about the change of each weight (Liu et al. 2025, section 2)
            self.parts.append(
                torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
            )

    def set_rate(self, factor: float) -> None:
        """Go on at `factor` times the recipe's learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = factor * self.learning_rate

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        rate: float = self.parts[0].param_groups[0]["lr"]
        return rate

    def step(self) -> None:
        """Use the gradients, and forget them."""
        for parameter, matrix in self.matrices:
            matrix.data = as_matrix(parameter.data, parameter)
            matrix.grad = None if parameter.grad is None else as_matrix(parameter.grad, parameter)
            parameter.grad = None
        for part in self.parts:
            part.step()
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where state_dict left off."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def is_matrix(weight: Tensor) -> bool:
    """Whether a row of `weight` mixes several inputs: not so in a bias, nor in a depthwise convolution."""
    return weight.ndim >= 2 and weight.shape[1] > 1


def as_matrix(values: Tensor, weight: Tensor) -> Tensor:
    """`values`, one for each of `weight` (out, …), as a matrix with a row for every output, its columns in the order
    of the weight's memory; of the same memory if `values` is the weight itself.
    """
    if weight.ndim == 4 and not weight.is_contiguous():
        values = values.permute(0, 2, 3, 1)  # channels-last
    return values.flatten(1)
