"""The learning rate's way through a run."""

import math


def warmup_linear(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate of the update with this number (from 0): a linear rise, then a linear fall that ends just above 0.

    Args:
        step: updates made so far.
        steps: updates of the whole run.
        warmup: share of them in which the factor rises to 1.
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return max(0.0, (steps - step) / max(steps - rise, 1))
