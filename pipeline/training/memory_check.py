"""How much memory a training will take, said before it is taken."""

import logging

import torch

from pipeline.runtime import memory
from pipeline.runtime.devices import autocast
from pipeline.training.batches import Batches
from pipeline.training.objective import Objective
from pipeline.training.validation import Validation

logger = logging.getLogger(__name__)


def check_memory(objective: Objective, batches: Batches, validation: Validation) -> None:
    """Log how much memory a step will take; raises ModelError, with what to lower, where so much is not free."""
    # gradients, Adam's two moments, the best weights, the EMA, and one to spare
    needed_beside = 6 * sum(weight.nbytes for weight in objective.model.parameters() if weight.requires_grad)
    remedy = "the recipe's batch_size, train.crop, train.bptt_steps or train.recompute_steps"
    if objective.adversary is not None:
        needed_beside += 3 * sum(weight.nbytes for weight in objective.adversary.discriminator.parameters())
        remedy = f"train.adversary.channels, {remedy}"
    free = memory.available(objective.device)
    needed = memory.estimate(lambda: _largest_segment(objective.on_processor(), batches)) + needed_beside
    logger.info("about %.2f GiB of memory per step, %.1f GiB are free", needed / memory.GIB, free / memory.GIB)
    memory.check("a training step", needed, free, remedy)
    remedy = "the recipe's batch_size, or the clips' frames (extract.size, tensorize.horizon)"
    memory.check("validation", validation.peak_bytes(objective.model) + needed_beside, free, remedy)


def _largest_segment(objective: Objective, batches: Batches) -> None:
    """What takes the most memory of all that a step does, on grey frames and without changing anything."""
    train = objective.train
    batch, num_inputs, *frame_shape = batches.largest_piece()
    length = min(train.bptt_steps or num_inputs, num_inputs)
    inputs = torch.zeros((batch, length, *frame_shape), device=objective.device)
    noise = inputs.new_zeros(batch, train.noise_channels) if train.noise_channels else None
    # all of a segment is judged, but where the clip is one segment: then all after the context
    first_judged = objective.first_judged if length == num_inputs else 0
    loss, outputs, _ = objective.loss(inputs, inputs, None, first_judged=first_judged, noise=noise)
    weights = [weight for weight in objective.model.parameters() if weight.requires_grad]
    torch.autograd.grad(loss, weights, allow_unused=True)
    if objective.adversary is not None:
        with autocast(objective.device, objective.dtype):
            own_loss = objective.adversary.own_loss(outputs, inputs, first_judged)
        torch.autograd.grad(own_loss, list(objective.adversary.discriminator.parameters()))
