"""The percentile bootstrap over test rows (Efron & Tibshirani 1993, chapter 13), paired: equal rows are resampled equally.

A resample is a row of weights: how often each test row was drawn. Metrics that are functions of sums over rows then cost
one matrix product for all resamples together.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mtl import plugins

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


def draws(task_type: str, gold: Sequence[str], prediction: Sequence[str], blocks: Iterable[Array]) -> dict[str, Array]:
    """Every metric of a task type on every resample: ``{metric: [resamples]}``.

    Args:
        task_type: as ``params.yaml`` names it.
        gold, prediction: ``[rows]`` in the form of the predictions file.
        blocks: weights ``[n, rows]`` from ``resample``.
    """
    metrics = plugins.task_type(task_type).weighted(gold, prediction)
    values: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in blocks:
        for name, metric in metrics.items():
            values[name].append(metric(weights))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def interval(values: Array, confidence: float) -> tuple[float, float]:
    """The central interval that holds ``confidence`` of the resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
