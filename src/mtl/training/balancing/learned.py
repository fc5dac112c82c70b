"""What balancers have in common that learn a number a task."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch

from mtl.config import GradNormBalancing, UncertaintyBalancing
from mtl.training.balancing.base import Balancer


class Learned(Balancer):
    """A balancer with a number for each task, which an Adam of its own moves."""

    START: float
    """Of each number."""

    def __init__(
        self, settings: UncertaintyBalancing | GradNormBalancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]
    ) -> None:
        super().__init__(settings, weights, groups)
        self._learnt = {task: torch.full((), self.START, dtype=torch.float64, requires_grad=True) for task in weights}
        self._adam = torch.optim.Adam(list(self._learnt.values()), lr=settings.learning_rate)

    def _move(self, gradients: Mapping[str, float]) -> None:
        """One step of Adam; it passes over tasks without a gradient."""
        for task, number in self._learnt.items():
            number.grad = torch.tensor(gradients[task], dtype=torch.float64) if task in gradients else None
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Numbers and their optimiser."""
        values = {task: number.item() for task, number in self._learnt.items()}
        return super().state_dict() | {"learnt": values, "adam": self._adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore numbers and optimiser."""
        super().load_state_dict(state)
        for task, value in state["learnt"].items():
            self._learnt[task].data.fill_(value)
        self._adam.load_state_dict(state["adam"])
