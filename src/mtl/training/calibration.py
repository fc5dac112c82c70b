"""The temperature of each task's confidences, fitted on the validation rows with the weights that are kept."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtl.model.decisions import decisions as decisions_of
from mtl.model.device import Precision
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.model.prediction import BATCH_TOKENS
from mtl.training.feed import Data

FEWEST = 20
"""Decisions without which a task keeps temperature 1."""
LEAST, MOST = 0.05, 20.0
"""Bounds of a temperature."""

Logits = npt.NDArray[np.float64]


def fit_temperatures(model: Model, data: Data, precision: Precision, limit: int | None) -> None:
    """Set the temperature in the state of each task that has one, by one pass over the validation rows.

    Args:
        limit: largest size of a batch in subwords, where the device's memory is short.
    """
    labels = {name: data.validation.labels[name] for name, task in model.tasks.items() if task.has_temperature}
    if not labels:
        return
    usual = BATCH_TOKENS[precision.device.type]
    parts: dict[str, list[tuple[Logits, Rows]]] = {name: [] for name in labels}
    for name, part in decisions_of(model, data.validation.encoded, labels, precision, batch_tokens=min(usual, limit or usual)):
        parts[name].append((part.logits, part.right))
    for name, own in parts.items():
        model.tasks[name].state["temperature"] = temperature(own)


def temperature(decisions: Sequence[tuple[Logits, Rows]]) -> float:
    """The temperature of the lowest cross-entropy of the decisions (Guo et al. 2017, "On calibration of modern neural networks"), within
    ``LEAST`` and ``MOST``; 1 where there are fewer than ``FEWEST``.

    The right choice counts as probable by ``(n + 1) / (n + 2)``, as in Platt (1999): a few decisions that are all right must not make a
    model certain.

    Args:
        decisions: logits ``[decisions, choices]``, minus infinity for a choice that a decision does not have, and the places of the right
            choices; in any number of parts.
    """
    parts = [_shifted(logits, right) for logits, right in decisions if len(right)]
    count = sum(len(expected) for _, expected in parts)
    if count < FEWEST:
        return 1.0
    share = 1 / (count + 2)

    def slope(inverse: float) -> float:
        """Of the cross-entropy by the inverse of the temperature, in which it is convex."""
        return sum(_slope(logits, right, inverse, share) for logits, right in parts)

    low, high = 1 / MOST, 1 / LEAST
    if slope(low) >= 0:
        return MOST if slope(high) > 0 else 1.0  # logits that are all the same have no slope
    if slope(high) <= 0:
        return LEAST
    from scipy.optimize import brentq  # takes most of a second to import

    return float(1 / brentq(slope, low, high, xtol=1e-9))


def _shifted(logits: Logits, right: Rows) -> tuple[Logits, Logits]:
    """Logits with the highest of each decision at 0, and that of the right choice."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted, shifted[np.arange(len(right)), right]


def _slope(logits: Logits, right: Logits, inverse: float, share: float) -> float:
    """The expected logit by the model less that by the labels, of which ``share`` is spread over all choices; summed over decisions."""
    there = np.isfinite(logits)
    finite = np.where(there, logits, 0.0)
    weights = np.where(there, np.exp(inverse * finite), 0.0)
    expected = (weights * finite).sum(axis=1) / weights.sum(axis=1)
    labelled = (1 - share) * right + share * finite.sum(axis=1) / there.sum(axis=1)
    return float((expected - labelled).sum())
