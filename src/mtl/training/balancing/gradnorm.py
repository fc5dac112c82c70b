"""GradNorm."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np

from mtl.config import GradNormBalancing
from mtl.training.balancing.base import Gramian
from mtl.training.balancing.learned import Learned


class GradNorm(Learned):
    """Weights learned so that tasks that lag behind get larger gradients (Chen et al. 2018).

    A separate Adam minimises Σ |w·norm − mean(w·norm)·lag^alpha| over the weights w, with means fixed; the sum of the weights is kept. A
    lag is a loss over the mean of all losses of the step. Losses are normalised, so the loss of a constant predictor, which the paper
    allows in place of the first loss, is 1 for all tasks. Norms are those of the whole encoder; the paper uses one layer.
    """

    START = 1.0
    LEAST = 0.001
    """Smallest weight."""

    def __init__(self, settings: GradNormBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        super().__init__(settings, weights, groups)
        self.interval = settings.interval
        self._alpha = settings.alpha
        self._fresh: dict[str, float] = {}

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Keep the norms of this step for ``learn``."""
        super().observe(tasks, products)
        squares = dict(zip(tasks, np.diag(products).tolist(), strict=True))
        # After an overflow under loss scaling the norms are unknown: the weights wait for the next measurement. A gradient of 0 stays 0
        # under any weight: its task is left out.
        finite = all(map(math.isfinite, squares.values()))
        self._fresh = {task: math.sqrt(square) for task, square in squares.items() if finite and square > 0}

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """weight × learned weight."""
        return {task: weight * self._learned[task].item() for task, weight in self.weights.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Move the weights of the tasks measured in this step; the other weights and the sum stay as they are."""
        norms, self._fresh = self._fresh, {}
        mean_loss = sum(losses.values()) / max(len(losses), 1)
        if len(norms) < 2 or not mean_loss > 0:
            return
        shares = {task: self._learned[task].item() * norm for task, norm in norms.items()}
        mean = sum(shares.values()) / len(shares)
        total = sum(self._learned[task].item() for task in norms)
        excesses = {task: shares[task] - mean * (losses[task] / mean_loss) ** self._alpha for task in norms}
        self._move({task: float((excess > 0) - (excess < 0)) * norms[task] for task, excess in excesses.items()})
        moved = {task: max(self._learned[task].item(), self.LEAST) for task in norms}
        for task, value in moved.items():
            self._learned[task].data.fill_(value * total / sum(moved.values()))
