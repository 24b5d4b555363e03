"""The optimizers: Adam for every weight, or Muon for the matrices and Adam for the rest."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.model_params import OptimizerName
from pipeline.training.muon import Muon

LARGEST_LR = 1e36  # beyond it Muon's factor for wide matrices is no float32, and torch raises before weights are inf


class Optimizer:
    """Several optimizers as if they were one, with a learning rate that changes as training goes.

    `adam` is Adam (Kingma & Ba 2015) for all. `muon` (Jordan et al. 2024) replaces a matrix's momentum by the nearest
    matrix whose singular values are about equal, so that a direction which few examples need is learnt as fast as one
    which all do; what is not a matrix remains Adam's.

    Matrices shrink by the share lr · weight_decay at each step (Loshchilov & Hutter 2019). Without that Muon makes them
    grow as long as training lasts, and a step changes ever less of what they do: a model that was trained for long
    learns nothing new.
    """

    def __init__(
        self, name: OptimizerName, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float = 0.0
    ) -> None:
        self.base_lr = lr
        mixing = [parameter for parameter in parameters if name == "muon" and is_matrix(parameter)]
        # Muon takes only what has two dimensions: the same memory, viewed as a matrix
        self.matrices = [(parameter, nn.Parameter(as_matrix(parameter.detach(), parameter))) for parameter in mixing]
        assert all(parameter.data_ptr() == matrix.data_ptr() for parameter, matrix in self.matrices), "a copy"
        mixing_ids = {id(parameter) for parameter in mixing}
        others = [parameter for parameter in parameters if id(parameter) not in mixing_ids]
        self.parts: list[torch.optim.Optimizer] = []
        if others:
            groups = [
                {"params": [p for p in others if is_matrix(p)], "weight_decay": weight_decay},
                {"params": [p for p in others if not is_matrix(p)], "weight_decay": 0.0},
            ]
            self.parts.append(torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, fused=True))
        if mixing:
            matrices = [matrix for _, matrix in self.matrices]
            self.parts.append(Muon(matrices, lr, weight_decay=weight_decay))

    def scale_lr(self, factor: float) -> None:
        """Go on at `factor` times the learning rate that this began with."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = min(LARGEST_LR, factor * self.base_lr)

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        lr: float = self.parts[0].param_groups[0]["lr"]
        return lr

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
    """Whether each output of `weight` mixes several inputs: not so in a bias, nor in a depthwise convolution."""
    return weight.ndim >= 2 and weight.shape[1] > 1


def as_matrix(values: Tensor, weight: Tensor) -> Tensor:
    """`values`, in the shape of `weight` (out, …), as a matrix (out, in), columns in the order of the weight's memory.

    It is a view if `values` is the weight itself.
    """
    if weight.ndim == 4 and not weight.is_contiguous():
        values = values.permute(0, 2, 3, 1)  # channels-last
    return values.flatten(1)
