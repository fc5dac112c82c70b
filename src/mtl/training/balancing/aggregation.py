"""Aggregation of the tasks' gradients on the encoder, computed from the small matrix of their inner products.

Most weightings are TorchJD's. UPGrad and Nash-MTL are solved here: TorchJD solves them with quadprog and ECOS, which are under the GPL.
Each solver takes the products ``[tasks, tasks]``, with mean square norm 1, and the weights ``[tasks]``. It returns the factor on each
gradient, ``[tasks]``: about 1 for gradients that do not conflict.
"""

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mtl.config import Balancing, CagradBalancing
from mtl.training.balancing.base import Balancer, Gramian

Vector = npt.NDArray[np.float64]
Solver = Callable[[Gramian, Vector], Vector]


class Aggregation(Balancer):
    """A combination of the gradients of the tasks in a step, computed anew in every step."""

    interval = 1

    def __init__(self, settings: Balancing, weights: Mapping[str, float], groups: Mapping[str, Hashable]) -> None:
        super().__init__(settings, weights, groups)
        self._solve = SOLVERS[settings.type](settings)
        self._factors = dict(weights)

    def observe(self, tasks: Sequence[str], products: Gramian) -> None:
        """Solve for the factors. If gradients overflowed under loss scaling, the step will be skipped, and the plain weights serve."""
        super().observe(tasks, products)
        self._factors = dict(self.weights)
        nonzero = [i for i in range(len(tasks)) if products[i, i] > 0]
        if nonzero and np.isfinite(products).all():
            part = products[np.ix_(nonzero, nonzero)]
            weights = np.array([self.weights[tasks[i]] for i in nonzero])
            factors = self._solve(part * len(nonzero) / np.trace(part), weights)
            self._factors |= {tasks[i]: factor for i, factor in zip(nonzero, factors.tolist(), strict=True)}

    def factors(self, tasks: Collection[str] | None = None) -> dict[str, float]:
        """The solution of this step."""
        return dict(self._factors)

    def state_dict(self) -> dict[str, Any]:
        """The last solution, for the record."""
        return super().state_dict() | {"factors": dict(self._factors)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the last solution."""
        super().load_state_dict(state)
        self._factors = dict(state["factors"])


def upgrad(products: Gramian, weights: Vector) -> Vector:
    """Each gradient, times its weight, projected onto the cone of directions that conflict with none, and summed (UPGrad: Quinton & Rey
    2024).

    The projection of Σ uᵢgᵢ is Σ vᵢgᵢ with the v ≥ u of least norm: a non-negative least squares problem in v − u.
    """
    from scipy.optimize import nnls  # takes most of a second to import

    values, vectors = np.linalg.eigh(products)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    projected: Vector = sum((u + nnls(root, -root @ u)[0] for u in np.diag(weights)), np.zeros(len(weights)))
    return projected


def nash_mtl(products: Gramian, weights: Vector) -> Vector:
    """The Nash bargain (Nash-MTL: Navon et al. 2022), in which task i has bargaining power wᵢ: the a > 0 with aᵢ(Ga)ᵢ = wᵢ.

    That a is the minimum of ½a'Ga − Σ wᵢ log aᵢ, which is strictly convex and, for powers of at least 1, self-concordant: Newton's
    method with the damped step 1 / (1 + decrement) converges from any start. It runs on gradients of norm 1, with 1e-6 added to the
    diagonal, which bounds the solution where gradients cancel each other.
    """
    least, norms = float(weights.min()), np.sqrt(np.diag(products))
    powers = weights / least
    matrix = products / np.outer(norms, norms) + 1e-6 * np.eye(len(weights))
    a = np.sqrt(powers)
    for _ in range(200):
        slope = matrix @ a - powers / a
        step = np.linalg.solve(matrix + np.diag(powers / a**2), slope)
        decrement = math.sqrt(max(float(slope @ step), 0.0))
        a = a - step / (1 + decrement if decrement > 0.25 else 1)
        if decrement < 1e-9:
            break
    return a * math.sqrt(least) / norms


def _weighting(name: str, **options: Any) -> Callable[[Gramian], Vector]:
    """One of TorchJD's weightings, by its class. TorchJD is imported late, since it loads cvxpy, which takes seconds."""
    from torchjd import aggregation

    weighting = getattr(aggregation, name)(**options)
    return lambda products: np.asarray(weighting(torch.from_numpy(products)), dtype=np.float64)


def _pcgrad(settings: Balancing) -> Solver:
    solve = _weighting("PCGradWeighting")
    return lambda products, weights: weights * solve(products * np.outer(weights, weights))


def _cagrad(settings: Balancing) -> Solver:
    assert isinstance(settings, CagradBalancing)
    solve = _weighting("CAGradWeighting", c=settings.c)
    # TorchJD starts from the mean of the gradients; the other solvers here start from the sum.
    return lambda products, weights: len(weights) * weights * solve(products * np.outer(weights, weights))


def _mgda(settings: Balancing) -> Solver:
    solve = _weighting("MGDAWeighting")
    return lambda products, weights: len(weights) * solve(products)


def _imtl_g(settings: Balancing) -> Solver:
    solve = _weighting("IMTLGWeighting")
    return lambda products, weights: len(weights) * solve(products)


def _aligned_mtl(settings: Balancing) -> Solver:
    return lambda products, weights: _weighting("AlignedMTLWeighting", pref_vector=torch.from_numpy(weights))(products)


SOLVERS: dict[str, Callable[[Balancing], Solver]] = {
    "pcgrad": _pcgrad,
    "mgda": _mgda,
    "cagrad": _cagrad,
    "imtl_g": _imtl_g,
    "aligned_mtl": _aligned_mtl,
    "upgrad": lambda settings: upgrad,
    "nash_mtl": lambda settings: nash_mtl,
}
"""``train.balancing`` to the function that makes its solver."""
