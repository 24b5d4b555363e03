"""How far back a generator learns: the norm of the gradient of the last loss w.r.t. each earlier state."""

import torch
from torch import Tensor, nn

from pipeline.nn.rollout import auxiliary_loss, tensors


def gradient_norms(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """‖∂loss_T/∂h_t‖ for states 1, 2, … T - 1 steps back, (T - 1,), mean over the clips; teacher-forced, in float32.

    `inputs` and `targets` are (B, T, C, H, W) in [-1, 1]. loss_T is the squared error of the last output alone, so all
    that reaches an earlier state came through the recurrence; one step back is the state handed to the last call.
    All tensors of a state count (an LSTM's h and c, every layer). A plain RNN's norms vanish or explode with the steps;
    the constant error carousel of an LSTM was made against that (Hochreiter & Schmidhuber 1997, sections 3 and 4).

    The model is left as it was found: its mode, no gradients, and no auxiliary loss of these calls.
    """
    state = None
    states: list[list[Tensor]] = []
    training = model.training
    model.train()  # cuDNN's recurrent kernels have no backward in evaluation mode
    with torch.enable_grad():
        for t in range(inputs.shape[1]):
            output, state = model(inputs[:, t : t + 1], state)
            # a state may keep frames as they were fed: no gradient goes into those
            states.append([part for part in tensors(state) if part.requires_grad])
        loss = (output[:, 0] - targets[:, -1]).square().mean(dim=(1, 2, 3)).sum()  # a sum: clips do not share it
        flat = [part for parts in states[:-1] for part in parts]
        gradients = torch.autograd.grad(loss, flat, allow_unused=True)
    model.train(training)
    auxiliary_loss(model)  # asked, it is forgotten; left there, the first step of training would go through it again
    norms, position = [], 0
    for parts in states[:-1]:
        squares = torch.zeros(inputs.shape[0], dtype=torch.float64, device=inputs.device)  # tiny ones, squared
        for gradient in gradients[position : position + len(parts)]:
            if gradient is not None:  # None: a part of the state that no later output reads
                squares = squares + gradient.double().flatten(1).square().sum(dim=1)
        position += len(parts)
        norms.append(squares.sqrt().mean())
    return torch.stack(norms[::-1])
