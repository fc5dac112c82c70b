"""Makes balancers by their settings, and products of gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from mtl.config import Balancing
from mtl.training.balancing import Balancer, build


@pytest.fixture
def make() -> Callable[..., Balancer]:
    """Makes a balancer: ``make("gradnorm", alpha=1)``, of tasks a and b of different datasets with weight 1, unless said otherwise."""

    def made(kind: str, weights: Mapping[str, float] | None = None, groups: Mapping[str, str] | None = None, **options: Any) -> Balancer:
        weights = weights or {"a": 1.0, "b": 1.0}
        return build(TypeAdapter(Balancing).validate_python({"type": kind} | options), weights, groups or {task: task for task in weights})

    return made


@pytest.fixture
def products() -> Callable[..., np.ndarray]:
    """Products of orthogonal gradients of these norms."""
    return lambda *norms: np.diag(np.square(norms))
