"""GradNorm."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np

from mtl.config import GradNormBalancing
from mtl.training.balancing.base import Gramian
from mtl.training.balancing.learned import Learned


class GradNorm(Learned):
    """Weights learned so that tasks that lag behind have larger gradients (Chen et al. 2018).

    The weights w minimise Σ |w·norm − mean(w·norm)·lag^alpha| by an Adam of their own, means fixed, and keep their sum. A lag is a loss
    over the mean of all losses of the step: losses are normalised, so the loss of a constant predictor, which the paper allows in
    place of the first one, is 1 for all. Norms are those of the whole encoder, where the paper takes one layer.
    """

    START = 1.0
    LEAST = 0.001
    """Of a weight."""

    def __init__(self, settings: GradNormBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        super().__init__(settings, weights, groups)
        self.interval = settings.interval
        self._alpha = settings.alpha
        self._fresh: dict[str, float] = {}

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Keep the norms of this very step for ``learn``."""
        super().observe(tasks, products)
        squares = dict(zip(tasks, np.diag(products).tolist(), strict=True))
        # An overflow under loss scaling says nothing of the gradients: the weights wait for the next measurement. Of a gradient of 0
        # no weight makes another one: its task stands aside.
        finite = all(map(math.isfinite, squares.values()))
        self._fresh = {task: math.sqrt(square) for task, square in squares.items() if finite and square > 0}

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """weight × learnt weight."""
        return {task: weight * self._learnt[task].item() for task, weight in self.weights.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Move the weights of the tasks measured in this step; those of the others stand still, and so does the sum."""
        norms, self._fresh = self._fresh, {}
        mean_loss = sum(losses.values()) / max(len(losses), 1)
        if len(norms) < 2 or not mean_loss > 0:
            return
        pulls = {task: self._learnt[task].item() * norm for task, norm in norms.items()}
        mean = sum(pulls.values()) / len(pulls)
        total = sum(self._learnt[task].item() for task in norms)
        excesses = {task: pulls[task] - mean * (losses[task] / mean_loss) ** self._alpha for task in norms}
        self._move({task: float((excess > 0) - (excess < 0)) * norms[task] for task, excess in excesses.items()})
        moved = {task: max(self._learnt[task].item(), self.LEAST) for task in norms}
        for task, value in moved.items():
            self._learnt[task].data.fill_(value * total / sum(moved.values()))
