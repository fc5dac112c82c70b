"""How much each task weighs on the shared encoder.

Losses of unlike tasks have gradients of unlike size. Summed as they are, the largest one takes the step: the global clip and the
optimiser's shared second moments leave next to nothing of the others, and nothing says so. Heads are no matter of balance: each
gets the plain gradient of its own loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any


class Balancer(ABC):
    """Turns what is known of the tasks' gradients into factors on their losses, as the encoder sees them."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Weights by task, as set in ``tasks.<task>.weight``."""
        self.weights = dict(weights)

    @abstractmethod
    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Whether this step must tell the tasks' encoder gradients apart, which costs a backward pass a task."""

    @abstractmethod
    def observe(self, norms: Mapping[str, float]) -> None:
        """Take note of the norms of encoder gradients measured in a step, by task; tasks absent from the step are absent here."""

    @abstractmethod
    def factors(self) -> dict[str, float]:
        """The factor on each task's loss."""

    def norms(self) -> dict[str, float]:
        """The running gradient norms, by task, of those seen so far."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - a balancer without state has nothing to load
        """Go on from a checkpoint."""


class Static(Balancer):
    """The plain weighted sum of the losses."""

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Never."""
        return False

    def observe(self, norms: Mapping[str, float]) -> None:
        """Nothing to note."""

    def factors(self) -> dict[str, float]:
        """The weights."""
        return dict(self.weights)


class GradientNorm(Balancer):
    """Every task's gradient on the encoder gets the same norm, times its weight: the mean of all tasks' norms.

    Norms change slowly, so they are measured in every ``INTERVAL``-th step only and in between carried on as a running mean.
    """

    INTERVAL = 20
    MOMENTUM = 0.5
    """Share of the running mean that a new measurement leaves in place."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights)
        self._norms: dict[str, float] = {}

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Every ``INTERVAL``-th step, and the first one of each task. A lone task has nothing to be balanced with."""
        return len(self.weights) > 1 and (step % self.INTERVAL == 0 or any(task not in self._norms for task in tasks))

    def observe(self, norms: Mapping[str, float]) -> None:
        """Move the running means. A norm of 0 says nothing of the scale of a loss, and is passed over."""
        for task, norm in norms.items():
            if norm > 0:
                before = self._norms.get(task, norm)
                self._norms[task] = self.MOMENTUM * before + (1 - self.MOMENTUM) * norm

    def factors(self) -> dict[str, float]:
        """weight × mean norm / own norm; the plain weight of a task not seen yet."""
        mean = sum(self._norms.values()) / max(len(self._norms), 1)
        return {task: weight * mean / self._norms[task] if task in self._norms else weight for task, weight in self.weights.items()}

    def norms(self) -> dict[str, float]:
        """The running means."""
        return dict(self._norms)

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return {"norms": dict(self._norms)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the running means."""
        self._norms = dict(state["norms"])


BALANCERS: dict[str, type[Balancer]] = {"static": Static, "gradient_norm": GradientNorm}
"""``train.balancing`` to the class that does it."""
