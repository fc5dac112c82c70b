"""Weights computed from losses; gradients are measured for the record only."""

import math
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from mtl.config import DwaBalancing
from mtl.training.balancing.base import Balancer
from mtl.training.balancing.learned import Learned


class Uncertainty(Learned):
    """Weights from learned variances (Kendall, Gal & Cipolla 2018).

    Each task has the logarithm s of a variance; a separate Adam minimises exp(-s)·loss + s. The paper's factors of 1/2 are left out: so
    weights start at 1, and Adam is invariant to such factors. Weights are bounded, unlike the paper's: a loss of 0, as of a task whose
    labels are all equal, would raise its weight without end.
    """

    START = 0.0
    MOST = 1000.0
    """Largest exp(-s)."""

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """weight × exp(-s)."""
        return {task: weight * math.exp(-self._learned[task].item()) for task, weight in self.weights.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        """One step of Adam; the variances of absent tasks are skipped."""
        self._move({task: 1 - math.exp(-self._learned[task].item()) * loss for task, loss in losses.items()})
        for number in self._learned.values():
            number.data.clamp_(min=-math.log(self.MOST))


class DynamicWeightAverage(Balancer):
    """Larger weights for tasks whose loss falls slowly (DWA: Liu, Johns & Davison 2019).

    A task's rate is its mean loss over the last ``interval`` steps divided by that over the ``interval`` before; weights are a softmax
    of rate / temperature, times the number of tasks. A task without two means yet has rate 1.
    """

    LEAST = 0.001
    """Smallest weight, as a share of the largest: when one loss jumps, the other tasks must keep some gradient."""

    def __init__(self, settings: DwaBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        super().__init__(settings, weights, groups)
        self._settings = settings
        self._steps = 0
        self._sums: dict[str, list[float]] = {}
        self._means: dict[str, list[float]] = {}

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """weight × number of tasks × softmax(rate / temperature)."""
        rates = {task: self._rate(task) for task in self.weights}
        highest = max(rates.values())
        powers = {task: max(math.exp((rate - highest) / self._settings.temperature), self.LEAST) for task, rate in rates.items()}
        total = sum(powers.values())
        return {task: weight * len(powers) * powers[task] / total for task, weight in self.weights.items()}

    def _rate(self, task: str) -> float:
        means = self._means.get(task, [])
        return means[1] / means[0] if len(means) == 2 and means[0] > 0 else 1.0

    def learn(self, losses: Mapping[str, float]) -> None:
        """Add up the losses; after ``interval`` steps, take the mean of each task that had some."""
        for task, loss in losses.items():
            total, count = self._sums.get(task, (0.0, 0))
            self._sums[task] = [total + loss, count + 1]
        self._steps += 1
        if self._steps % self._settings.interval == 0:
            for task, (total, count) in self._sums.items():
                self._means[task] = [*self._means.get(task, []), total / count][-2:]
            self._sums = {}

    def state_dict(self) -> dict[str, Any]:
        """The unfinished sums, and the last two means."""
        return super().state_dict() | {"steps": self._steps, "sums": dict(self._sums), "means": dict(self._means)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore sums and means."""
        super().load_state_dict(state)
        self._steps, self._sums, self._means = state["steps"], dict(state["sums"]), dict(state["means"])
