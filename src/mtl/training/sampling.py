"""The share of each dataset in every step, and how many passes over it that comes to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.config import AnnealedSampling, FixedSampling, Sampling, TemperatureSampling

Passes = npt.NDArray[np.float64]
"""Passes over a dataset that lie before each step of a run, and behind the last, ``[steps + 1]``."""


def passes(sampling: Sampling, sizes: Mapping[str, int], epoch_steps: int, steps: int) -> dict[str, Passes] | None:
    """The passes over each dataset, to the end of the last epoch; ``None`` where each takes exactly one an epoch.

    Args:
        sizes: subwords of each dataset.
        epoch_steps: steps that train on as many subwords as all datasets have together.
        steps: steps of the run.
    """
    if sampling.type == "proportional":
        return None
    step_size = sum(sizes.values()) / epoch_steps
    whole = -(-steps // epoch_steps) * epoch_steps
    # Constant shares are multiplied, not added up step by step: sums of many small numbers drift.
    if not isinstance(sampling, AnnealedSampling):
        shares = _normalised(_constant(sampling, sizes))
        return {name: np.arange(whole + 1) * (shares[name] * step_size / size) for name, size in sizes.items()}
    powers = 1 - (1 - sampling.end) * np.minimum(np.arange(whole) / max(steps - 1, 1), 1)
    each = _normalised({name: float(size) ** powers for name, size in sizes.items()})
    return {name: np.concatenate([[0.0], np.cumsum(each[name] * step_size / size)]) for name, size in sizes.items()}


def _constant(sampling: Sampling, sizes: Mapping[str, int]) -> dict[str, float]:
    """Constant shares, up to a common factor."""
    if isinstance(sampling, FixedSampling):
        return {name: sampling.shares[name] for name in sizes}
    power = 1 / sampling.temperature if isinstance(sampling, TemperatureSampling) else 0.0
    return {name: float(size**power) for name, size in sizes.items()}


def _normalised(shares: Mapping[str, Any]) -> dict[str, Any]:
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}
