"""What balancing costs: the time of the steps as they are, over the time that plain ones would take.

A step is ``separate``, with a backward pass for each task, or ``plain``, with one for all tasks. Balancers that want separate passes in
every step have no plain ones to compare with, so a plain pass is timed beside a few steps and thrown away.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mtl.training.balancing import Balancer

TRIALS = range(1, 4)
"""Steps beside which a plain backward pass is timed, if the balancer wants a pass for each task in every step."""


@dataclass(slots=True)
class Cost:
    """Steps of one kind."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


def needs_trial(balancer: Balancer, step: int) -> bool:
    """Whether to time a plain backward pass beside this step."""
    return balancer.interval == 1 and len(balancer.weights) > 1 and step in TRIALS


def charge(costs: dict[str, Cost], kind: str, tokens: int, seconds: float) -> None:
    """Add a step to those of its kind."""
    cost = costs.setdefault(kind, Cost())
    cost.steps += 1
    cost.tokens += tokens
    cost.seconds += seconds


def balance_cost(balancer: Balancer, costs: Mapping[str, Cost]) -> float | None:
    """Time for each token over that of plain steps; ``None`` for a single task or where no step was plain."""
    if len(balancer.weights) == 1 or "plain" not in costs:
        return None
    # Trials stand beside steps that are counted as what they were.
    own = costs if balancer.interval > 1 else {"separate": costs["separate"]}
    per_token = sum(cost.seconds for cost in own.values()) / sum(cost.tokens for cost in own.values())
    return per_token / (costs["plain"].seconds / costs["plain"].tokens)
