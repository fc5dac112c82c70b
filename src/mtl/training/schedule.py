"""The learning rate over a run: pure functions of the number of updates made."""

import math
from collections.abc import Callable

from mtl.training.plan import rounded_up

SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: (1 - math.cos(math.pi * left)) / 2,
    "constant": lambda left: 1.0,
}
"""``train.schedule`` to the factor on the learning rate, as a function of the share of updates after the warm-up that is left, 1 to 0."""


def rate_factor(schedule: str, update: int, updates: int, warmup: float) -> float:
    """Factor on the learning rate of an update: a linear rise to 1, then the schedule, short of its end: no update has rate 0.

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
