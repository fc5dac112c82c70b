"""How much each task weighs on the shared encoder.

Losses of unlike tasks have gradients of unlike size. Summed as they are, the largest one takes the step: the clip of what is shared and the
optimiser's shared second moments leave next to nothing of the others, and nothing says so. Heads are no matter of balance: each
gets the plain gradient of its own loss.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from mtl.config import Balancing
from mtl.training.balancing.aggregation import Aggregation
from mtl.training.balancing.base import Balancer, Static, gramian, pair
from mtl.training.balancing.gradient_norm import GradientNorm
from mtl.training.balancing.gradnorm import GradNorm
from mtl.training.balancing.losses import DynamicWeightAverage, Uncertainty

__all__ = ["BALANCERS", "Balancer", "Static", "build", "gramian", "pair"]

BALANCERS: dict[str, Callable[[Any, Mapping[str, float], Mapping[str, Hashable]], Balancer]] = {
    "static": Static,
    "gradient_norm": GradientNorm,
    "uncertainty": Uncertainty,
    "dwa": DynamicWeightAverage,
    "gradnorm": GradNorm,
    **dict.fromkeys(("pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"), Aggregation),
}
"""``train.balancing`` to the class that does it."""


def build(settings: Balancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> Balancer:
    """The balancer of a run; a lone task has nothing to be balanced with.

    Args:
        weights: by task, as set in ``tasks.<task>.weight``.
        groups: by task, equal for tasks that learn from the same datasets.
    """
    return (BALANCERS[settings.type] if len(weights) > 1 else Static)(settings, weights, groups)
