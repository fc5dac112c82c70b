"""Base of the balancers that learn one number for each task."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch

from mtl.config import GradNormBalancing, UncertaintyBalancing
from mtl.training.balancing.base import Balancer


class Learned(Balancer):
    """A balancer with one number for each task, learned by a separate Adam."""

    START: float
    """First value of each number."""

    def __init__(
        self, settings: UncertaintyBalancing | GradNormBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]
    ) -> None:
        super().__init__(settings, weights, groups)
        self._learned = {task: torch.full((), self.START, dtype=torch.float64, requires_grad=True) for task in weights}
        self._adam = torch.optim.Adam(list(self._learned.values()), lr=settings.learning_rate)

    def _move(self, gradients: Mapping[str, float]) -> None:
        """One step of Adam; tasks without a gradient are skipped."""
        for task, number in self._learned.items():
            number.grad = torch.tensor(gradients[task], dtype=torch.float64) if task in gradients else None
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Numbers and their optimiser."""
        values = {task: number.item() for task, number in self._learned.items()}
        return super().state_dict() | {"learned": values, "adam": self._adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore numbers and optimiser."""
        super().load_state_dict(state)
        for task, value in state["learned"].items():
            self._learned[task].data.fill_(value)
        self._adam.load_state_dict(state["adam"])
