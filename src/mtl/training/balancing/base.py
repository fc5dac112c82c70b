"""What all balancers have in common, and the plain sum."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Gramian = npt.NDArray[np.float64]
"""Inner products of the tasks' gradients on the encoder, ``[tasks, tasks]``."""


class Balancer(ABC):
    """Turns what is known of the tasks' losses and gradients into factors on their losses, as the encoder sees them.

    In a step: ``measures``, then ``observe`` if it said so, ``factors``, and once all is done ``learn``.
    """

    interval = 50
    """Steps between two measurements. One that goes by losses alone measures too, though seldom: only so can the record of a run show
    a task that is dominated by the others."""
    MOMENTUM = 0.5
    """Share of a running mean that a new measurement leaves in place."""

    def __init__(self, settings: Any, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        """Of the arguments of ``build``, all need the weights."""
        self.weights = dict(weights)
        self._norms: dict[str, float] = {}
        self._cosines: dict[str, float] = {}

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Whether this step must tell the tasks' encoder gradients apart, which costs a backward pass a task."""
        return len(self.weights) > 1 and step % self.interval == 0

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Take note of the gradients measured in a step: of the tasks in it, in their order. Products may overflow under loss scaling;
        they are then no number to go by. Nor is a norm of 0, which says nothing of the scale of a loss."""
        sizes = np.sqrt(np.diag(products))
        for task, size in zip(tasks, sizes.tolist(), strict=True):
            if 0 < size < math.inf:
                self._average(self._norms, task, size)
        for i, j in itertools.combinations(range(len(tasks)), 2):
            if 0 < (scale := float(sizes[i] * sizes[j])) < math.inf:
                self._average(self._cosines, pair(tasks[i], tasks[j]), float(products[i, j]) / scale)

    @abstractmethod
    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """The factor on each task's loss, for a step that has these tasks, or all."""

    def learn(self, losses: Mapping[str, float]) -> None:  # noqa: B027 - not all go by losses
        """Take note of a step's losses, all finite, at its end; tasks absent from the step are absent here."""

    def norms(self) -> dict[str, float]:
        """The running gradient norms, by task, of those seen so far."""
        return dict(self._norms)

    def cosines(self) -> dict[str, float]:
        """The running cosines of the tasks' gradients, by ``pair``."""
        return dict(self._cosines)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {"norms": dict(self._norms), "cosines": dict(self._cosines)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._norms, self._cosines = dict(state["norms"]), dict(state["cosines"])

    def _average(self, means: dict[str, float], key: str, value: float) -> None:
        means[key] = self.MOMENTUM * means.get(key, value) + (1 - self.MOMENTUM) * value


class Static(Balancer):
    """The plain weighted sum of the losses."""

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """The weights."""
        return dict(self.weights)


def pair(first: str, second: str) -> str:
    """The name of two tasks, ``a|b``, whatever their order."""
    return "|".join(sorted((first, second)))


def gramian(gradients: Sequence[Sequence[Tensor]], scale: float) -> Gramian:
    """Inner products of gradients, of each the parts of all parameters, that were multiplied by a loss scale; one wait for the device."""
    count = len(gradients)
    pairs = list(itertools.combinations_with_replacement(range(count), 2))
    products = torch.stack([_product(gradients[i], gradients[j]) for i, j in pairs]).tolist()
    found = np.zeros((count, count))
    for (i, j), product in zip(pairs, products, strict=True):
        found[i, j] = found[j, i] = product / scale**2
    return found


def _product(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.dot(a.flatten(), b.flatten()) for a, b in zip(first, second, strict=True)]).double().sum()
