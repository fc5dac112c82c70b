"""Balancing: how large each task's gradient share on the shared encoder is.

Losses of different tasks have gradients of different size. In a plain sum the largest one can dominate: after clipping, and with the
optimiser's shared second moments, next to nothing is left of the others, and no error shows it. Heads need no balancing: each gets the
unweighted gradient of its own loss.
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
"""``train.balancing`` to its class."""


def build(settings: Balancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> Balancer:
    """The balancer of a run. A single task needs none: its loss gets its plain weight.

    Args:
        weights: by task, as set in ``tasks.<task>.weight``.
        groups: by task, equal for tasks that learn from the same datasets.
    """
    return (BALANCERS[settings.type] if len(weights) > 1 else Static)(settings, weights, groups)
