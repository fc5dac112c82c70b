"""The percentile bootstrap over test rows (Efron & Tibshirani 1993, chapter 13), paired: equal rows are resampled equally.

A resample is a row of weights: how often each test row was drawn. Metrics that are functions of sums over rows then cost
one matrix product for all resamples together.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mtl.tasks import TASKS
from mtl.tasks.regression import numbers
from mtl.tasks.token_classification import micro

Array = npt.NDArray[np.float64]
MAX_CELLS = 1 << 22
"""Weights held at once (32 MiB), so that memory does not grow with the test split."""


def generator(*names: str) -> np.random.Generator:
    """A generator that depends on names only, so that no result depends on what was computed before it."""
    digest = hashlib.blake2b("\x1f".join(names).encode(errors="surrogatepass"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def resample(keys: Sequence[str], resamples: int) -> Iterator[Array]:
    """Blocks ``[≤ resamples, rows]`` of how often each row is drawn, a function of the rows' keys alone.

    Tasks and runs with the same test rows thus share their resamples, which is what pairs them.
    """
    rows = len(keys)
    draw = generator("rows", *keys)
    size = max(1, MAX_CELLS // rows)
    for start in range(0, resamples, size):
        yield draw.multinomial(rows, np.full(rows, 1 / rows), size=min(size, resamples - start)).astype(np.float64)


def draws(kind: str, gold: Sequence[str], prediction: Sequence[str], blocks: Iterable[Array]) -> dict[str, Array]:
    """Every metric of a task type on every resample: ``{metric: [resamples]}``.

    Args:
        kind: a task type of ``mtl.tasks.TASKS``.
        gold, prediction: ``[rows]`` in the form of the predictions file.
        blocks: weights ``[n, rows]`` from ``resample``.
    """
    task = TASKS[kind]
    counts = task.counts(gold, prediction)
    others = OTHERS[kind](gold, prediction, counts)
    found: dict[str, list[Array]] = {name: [] for name in (task.main_metric, *others)}
    for weights in blocks:
        found[task.main_metric].append(task.from_counts(weights @ counts))
        for name, metric in others.items():
            found[name].append(metric(weights))
    return {name: np.concatenate(values) for name, values in found.items()}


def interval(values: Array, confidence: float) -> tuple[float, float]:
    """The central interval that holds ``confidence`` of the resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


Metric = Callable[[Array], Array]
"""Weights ``[n, rows]`` to the metric ``[n]``."""


def _classification(gold: Sequence[str], prediction: Sequence[str], counts: Array) -> dict[str, Metric]:
    right = np.array([a == b for a, b in zip(gold, prediction, strict=True)], dtype=np.float64)
    return {"accuracy": lambda weights: weights @ right / len(right)}


def _token_classification(gold: Sequence[str], prediction: Sequence[str], counts: Array) -> dict[str, Metric]:
    return {
        "precision": lambda weights: micro(weights @ counts)[0],
        "recall": lambda weights: micro(weights @ counts)[1],
    }


def _regression(gold: Sequence[str], prediction: Sequence[str], counts: Array) -> dict[str, Metric]:
    x, y = numbers(gold), numbers(prediction)
    squared = (x - y) ** 2
    return {
        "spearman": lambda weights: _correlation(_ranks(x, weights), _ranks(y, weights), weights),
        "mse": lambda weights: weights @ squared / len(squared),
    }


OTHERS: dict[str, Callable[[Sequence[str], Sequence[str], Array], dict[str, Metric]]] = {
    "classification": _classification,
    "regression": _regression,
    "token_classification": _token_classification,
}
"""Task type to its metrics beside the main one."""


def _ranks(values: Array, weights: Array) -> Array:
    """Mid-ranks ``[n, rows]`` that each row's value has in each resample."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Array = (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]
    return ranks


def _correlation(x: Array, y: Array, weights: Array) -> Array:
    """Pearson's r of ``[n, rows]`` weighted by resample; 0 where a side does not vary."""
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
    result: Array = np.where(spread > 1e-9, (weights * x * y).sum(1) / np.maximum(spread, 1e-9), 0.0)
    return result
