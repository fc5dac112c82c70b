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
    """Turns the tasks' losses and gradients into factors on their losses, for the gradient on the encoder.

    In a step: ``measures``, then ``observe`` if that was true, ``factors``, and ``learn`` at the end.
    """

    interval = 50
    """Steps between two measurements. A balancer that uses only losses measures too, though rarely: only so can the record of a run show
    that one task dominates the others."""
    MOMENTUM = 0.5
    """Share of the old value in a running mean after a new measurement."""

    def __init__(self, settings: Any, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        """Takes the arguments of ``build``; all balancers use the weights."""
        self.weights = dict(weights)
        self._norms: dict[str, float] = {}
        self._cosines: dict[str, float] = {}

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Whether this step measures each task's encoder gradient, which costs one backward pass for each task."""
        return len(self.weights) > 1 and step % self.interval == 0

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Use the gradients measured in a step: products of the tasks in it, in their order. Products that overflowed under loss scaling
        are ignored, and so is a norm of 0, which does not show the scale of a loss."""
        sizes = np.sqrt(np.diag(products))
        for task, size in zip(tasks, sizes.tolist(), strict=True):
            if 0 < size < math.inf:
                self._average(self._norms, task, size)
        for i, j in itertools.combinations(range(len(tasks)), 2):
            if 0 < (scale := float(sizes[i] * sizes[j])) < math.inf:
                self._average(self._cosines, pair(tasks[i], tasks[j]), float(products[i, j]) / scale)

    @abstractmethod
    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """The factor on each task's loss, for a step with these tasks; for one with all tasks if none are named."""

    def learn(self, losses: Mapping[str, float]) -> None:  # noqa: B027 - not all use losses
        """Use a step's losses, all finite, at its end; tasks absent from the step are absent here."""

    def norms(self) -> dict[str, float]:
        """The running gradient norms of the tasks measured so far, by task."""
        return dict(self._norms)

    def cosines(self) -> dict[str, float]:
        """The running cosines of the tasks' gradients, by ``pair``."""
        return dict(self._cosines)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must contain."""
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
    """Inner products of gradients, with the loss scale divided out. The host waits for the device once.

    Args:
        gradients: for each task one tensor a parameter.
        scale: loss scale in them.
    """
    count = len(gradients)
    pairs = list(itertools.combinations_with_replacement(range(count), 2))
    products = torch.stack([_product(gradients[i], gradients[j]) for i, j in pairs]).tolist()
    result = np.zeros((count, count))
    for (i, j), product in zip(pairs, products, strict=True):
        result[i, j] = result[j, i] = product / scale**2
    return result


def _product(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.dot(a.flatten(), b.flatten()) for a, b in zip(first, second, strict=True)]).double().sum()
