"""The learning rate's way through a run: pure functions of the number of updates made."""

import math
from collections.abc import Callable

from mtl.training.plan import rounded_up

SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: (1 - math.cos(math.pi * left)) / 2,
    "constant": lambda left: 1.0,
}
"""``train.schedule`` to the factor on the learning rate where that share, 1 to 0, of what follows the warm-up is left."""


def rate_factor(schedule: str, update: int, updates: int, warmup: float) -> float:
    """Factor on the learning rate of an update: a linear rise to 1, then the way of the schedule, whose very end is never reached.

    Args:
        schedule: a key of ``SCHEDULES``.
        update: number of the update, from 0.
        updates: those of the whole run.
        warmup: share of them in which the factor rises.
    """
    rise = rounded_up(warmup * updates)
    if update < rise:
        return (update + 1) / rise
    return SCHEDULES[schedule](max(0.0, (updates - update) / max(updates - rise, 1)))
