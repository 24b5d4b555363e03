"""What changes as training goes: learning rate and sampling, as functions of the progress p in [0, 1].

Progress is steps done of steps planned, or minutes spent of the budget, whichever is further: the same schedule fits
both and always ends at its end.
"""

import math

from pipeline.params import Sampling, Schedule

TEACHING = 0.75  # of a curriculum: before what is fed begins to change


def learning_rate_factor(schedule: Schedule, progress: float, warmup: float) -> float:
    """What the recipe's learning rate is multiplied with.

    `constant` is 1 throughout. `cosine` rises from 0 over the first `warmup` of training, then falls to 0 (Loshchilov &
    Hutter 2017, eq. 5). `one_cycle` rises over the first 30 % from 1/25 along a cosine, then falls to 0 (Smith 2018).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "one_cycle":
        if progress < 0.3:
            return 1 - (1 - 1 / 25) * _half_cosine(progress / 0.3)
        return _half_cosine((progress - 0.3) / 0.7)
    if progress < warmup:
        return progress / warmup
    return _half_cosine((progress - warmup) / (1 - warmup))


def truth_probabilities(sampling: Sampling, progress: float) -> tuple[float, float]:
    """The probabilities that a horizon step and a context step are fed the truth (rollout.teacher_forcing_mask).

    `teacher` is the truth throughout, `free` the model's own output beyond the context. `scheduled` goes from the first
    to the second over the first half of training (Bengio et al. 2015, linear decay). `reverse` does so from a half, and
    withholds half the context at first (Wang et al. 2022, section 3.4).
    """
    rising = min(1.0, 2 * progress)
    return {
        "teacher": (1.0, 1.0),
        "free": (0.0, 1.0),
        "scheduled": (1 - rising, 1.0),
        "reverse": (0.5 * (1 - rising), 0.5 + 0.5 * rising),
    }[sampling]


def frames_shown(context: int, horizon: int, share: float, progress: float) -> int:
    """How many inputs of a clip are the truth whatever the sampling, of context + horizon - 1.

    All, which is teacher forcing, for three quarters of `share`, then evenly fewer, and one, as without a curriculum,
    from `share` of training on: the next frame, of all steps at once, teaches what motion is at a part of the price,
    and from frames that are not blurred; what errors fed back do to it is for later (Bengio et al. 2009, curriculum
    learning).
    """
    if progress >= share:
        return 1
    grown = max(0.0, progress / share - TEACHING) / (1 - TEACHING)
    return context + horizon - 1 - math.floor((horizon - 1) * grown)


def _half_cosine(x: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, x))))
