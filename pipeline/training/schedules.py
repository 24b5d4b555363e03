"""What changes as training goes: learning rate and sampling, as functions of the fraction done, in [0, 1].

That is steps done of steps planned, or minutes spent of the budget, whichever is further: the same schedule fits both
and always ends at its end.
"""

import math

from pipeline.model_params import Sampling, Schedule

FORCED_SHARE = 0.75  # of a curriculum, during which every input is the truth


def lr_factor(schedule: Schedule, fraction_done: float, warmup: float) -> float:
    """The factor of the recipe's learning rate.

    `constant` is 1 throughout. `cosine` rises from 0 over the first `warmup` of training, then falls to 0 (Loshchilov &
    Hutter 2017, eq. 5). `one_cycle` rises over the first 30 % from 1/25 along a cosine, then falls to 0 (Smith 2018).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "one_cycle":
        if fraction_done < 0.3:
            return 1 - (1 - 1 / 25) * _half_cosine(fraction_done / 0.3)
        return _half_cosine((fraction_done - 0.3) / 0.7)
    if fraction_done < warmup:
        return fraction_done / warmup
    return _half_cosine((fraction_done - warmup) / (1 - warmup))


def teacher_forcing_probabilities(sampling: Sampling, fraction_done: float) -> tuple[float, float]:
    """Probabilities of teacher forcing at a horizon step and at a context step (for rollout.teacher_forcing_mask).

    `teacher` feeds the truth throughout, `free` the model's own output beyond the context. `scheduled` goes from the
    first to the second over the first half of training (Bengio et al. 2015, linear decay). `reverse` does so from
    a half, and withholds half the context at first (Wang et al. 2022, section 3.4).
    """
    rising = min(1.0, 2 * fraction_done)
    return {
        "teacher": (1.0, 1.0),
        "free": (0.0, 1.0),
        "scheduled": (1 - rising, 1.0),
        "reverse": (0.5 * (1 - rising), 0.5 + 0.5 * rising),
    }[sampling]


def num_forced_inputs(context: int, horizon: int, share: float, fraction_done: float) -> int:
    """How many of the first of a clip's context + horizon - 1 inputs are the truth whatever the sampling.

    Curriculum learning (Bengio et al. 2009): all of them for three quarters of `share`, then evenly fewer, and one, as
    without a curriculum, from `share` of training on. Teacher forcing predicts the next frame at all steps in one call,
    which teaches what motion is at a part of the price, and from frames that are not blurred; how to bear its own
    errors is what a model learns later.
    """
    if fraction_done >= share:
        return 1
    grown = max(0.0, fraction_done / share - FORCED_SHARE) / (1 - FORCED_SHARE)
    return context + horizon - 1 - math.floor((horizon - 1) * grown)


def _half_cosine(x: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, x))))
