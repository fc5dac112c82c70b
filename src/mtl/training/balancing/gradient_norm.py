"""Equal gradient norms."""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mtl.config import GradientNormBalancing
from mtl.training.balancing.base import Balancer, Gramian, pair


class GradientNorm(Balancer):
    """Every task's gradient on the encoder gets the same norm, times its weight: the mean of all tasks' norms.

    Norms change slowly, so they are measured only in every ``interval``-th step; running means serve the steps between.
    """

    LOSS_MOMENTUM = 0.9
    """Share of the old value in the running mean of a loss after a new one."""
    LEAST_LAG = 0.01
    """Smallest lag of a task: with a loss of 0 it must keep some gradient."""

    def __init__(self, settings: GradientNormBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        super().__init__(settings, weights, groups)
        self.interval = settings.interval
        self._rate = settings.rate
        self._groups = dict(groups) if settings.by == "dataset" else {task: task for task in weights}
        self._losses: dict[str, float] = {}
        self._measured: set[str] = set()
        """Tasks whose norm was measured at least once, including norms of 0."""

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Every ``interval``-th step, and the first one of each task."""
        return super().measures(step, tasks) or any(task not in self._measured for task in tasks)

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Also remember the tasks whose norm was finite."""
        super().observe(tasks, products)
        self._measured.update(task for task, square in zip(tasks, np.diag(products).tolist(), strict=True) if math.isfinite(square))

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """weight × lag × group factor × mean norm / own norm; a task without a norm has its plain weight."""
        present = self._norms.keys() if tasks is None else self._norms.keys() & set(tasks)
        mean = sum(self._norms.values()) / max(len(self._norms), 1)
        shares = self._gradient_shares()
        return {
            task: shares[task] * self._group_factor(task, shares, present) * mean / self._norms[task] if task in self._norms else weight
            for task, weight in self.weights.items()
        }

    def learn(self, losses: Mapping[str, float]) -> None:
        """Move the running means of the losses."""
        for task, loss in losses.items():
            self._losses[task] = self.LOSS_MOMENTUM * self._losses.get(task, loss) + (1 - self.LOSS_MOMENTUM) * loss

    def _gradient_shares(self) -> dict[str, float]:
        """The target norm of each task's gradient, in units of the mean norm: its weight, times its lag to the power of the rate.

        A lag is a loss over the mean of all tasks' losses. It takes the place of the "inverse training rate" of GradNorm (Chen et
        al. 2018): losses are normalised, so each of them starts near 1.
        """
        mean = sum(self._losses.values()) / max(len(self._losses), 1)
        if not self._rate or not mean > 0:
            return dict(self.weights)
        lags = {task: max(loss / mean, self.LEAST_LAG) for task, loss in self._losses.items()}
        return {task: weight * lags.get(task, 1.0) ** self._rate for task, weight in self.weights.items()}

    def _group_factor(self, task: str, shares: Mapping[str, float], present: Collection[str]) -> float:
        """Factor on the gradient shares of a task's group, of the tasks present, that makes the norm of their sum the mean of the shares.

        Gradients of tasks on the same texts tend to agree, and then add up to more than one task's. Gradients that conflict are treated
        as orthogonal: otherwise their small sum would be scaled up.
        """
        group = [other for other in self._norms if other in present and self._groups[other] == self._groups[task]]
        if len(group) < 2:
            return 1.0
        square = sum(shares[a] * shares[b] * self._agreement(a, b) for a in group for b in group)
        return sum(shares[other] for other in group) / len(group) / math.sqrt(square)

    def _agreement(self, first: str, second: str) -> float:
        """The running cosine of two tasks' gradients, 0 where they conflict or have no measurement."""
        return 1.0 if first == second else max(self._cosines.get(pair(first, second), 0.0), 0.0)

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return super().state_dict() | {"losses": dict(self._losses), "measured": sorted(self._measured)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the running means."""
        super().load_state_dict(state)
        self._losses, self._measured = dict(state["losses"]), set(state["measured"])
