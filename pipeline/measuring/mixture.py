"""Predictors weighed against each other, clip by clip, by how well each continues what is known of the clip."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

STEPS = 10  # weights are tenths
PRIOR = 0.05  # of the least error, for each unit of squared distance between the weights and the favoured ones
Continue = Callable[[Tensor, int], Tensor]  # context (B, T, C, H, W), horizon -> (B, horizon, C, H, W)


def mixture(predictors: Sequence[Continue], context: Tensor, horizon: int) -> Tensor:
    """The weighed mean of what `predictors` make of `context` (B, T, C, H, W): (B, horizon, C, H, W).

    Each is shown the first half of the context, T >= 4, and continues it over the second, which is known: the weights
    of a clip, none negative and 1 in all, are those whose mean has the least squared error there, and a little nearer
    to the last of `predictors`, because a few frames are no proof. So a model that does not suit a clip does not spoil
    it; what is to be predicted is not looked at.
    """
    num_known = context.shape[1] // 2
    known = [predictor(context[:, :num_known], context.shape[1] - num_known) for predictor in predictors]
    errors = torch.stack([(frames - context[:, num_known:]).flatten(1) for frames in known], dim=1)  # (B, P, N)
    products = (errors @ errors.mT).float()  # (B, P, P)
    candidates = _shares(len(predictors)).to(products)  # (G, P)
    squared = torch.einsum("gi,bij,gj->bg", candidates, products, candidates)
    favoured = torch.zeros(len(predictors)).to(products)
    favoured[-1] = 1
    least = products.diagonal(dim1=1, dim2=2).amin(dim=1, keepdim=True)
    away = (candidates - favoured).square().sum(dim=1)
    weights = candidates[(squared + PRIOR * least * away).argmin(dim=1)]  # (B, P)
    predicted = torch.stack([predictor(context, horizon) for predictor in predictors], dim=1)
    return (predicted * weights[:, :, None, None, None, None]).sum(dim=1)


def _shares(count: int) -> Tensor:
    """Every way to share 1 among `count` in steps of 1 / STEPS: (G, count)."""
    axes = [torch.arange(STEPS + 1)] * count
    grid = torch.cartesian_prod(*axes).reshape(-1, count)
    return grid[grid.sum(dim=1) == STEPS] / STEPS
