"""The paired percentile bootstrap over test rows (Efron & Tibshirani 1993, chapter 13): equal rows are resampled equally.

A resample is a vector of weights: how often each test row is drawn. Metrics that are functions of sums over rows then cost one
matrix product for all resamples together.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mtl import plugins

Array = npt.NDArray[np.float64]
MAX_CELLS = 1 << 22
"""Largest number of weights in memory at once (32 MiB), whatever the size of the test split."""


def generator(*names: str) -> np.random.Generator:
    """A generator seeded only by names, so no result depends on earlier computations."""
    digest = hashlib.blake2b("\x1f".join(names).encode(errors="surrogatepass"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def resample(keys: Sequence[str], resamples: int) -> Iterator[Array]:
    """Blocks ``[≤ resamples, rows]`` of how often each row is drawn. They depend only on the rows' keys.

    So tasks and runs with the same test rows share their resamples, which pairs them.
    """
    rows = len(keys)
    rng = generator("rows", *keys)
    size = max(1, MAX_CELLS // rows)
    for start in range(0, resamples, size):
        yield rng.multinomial(rows, np.full(rows, 1 / rows), size=min(size, resamples - start)).astype(np.float64)


def draws(task_type: str, gold: Sequence[str], prediction: Sequence[str], blocks: Iterable[Array]) -> dict[str, Array]:
    """Every metric of a task type on every resample: ``{metric: [resamples]}``.

    Args:
        task_type: its name in ``params.yaml``.
        gold: gold labels ``[rows]``, in the format of the predictions file.
        prediction: predictions ``[rows]``, in the same format.
        blocks: weights ``[n, rows]`` from ``resample``.
    """
    metrics = plugins.task_type(task_type).weighted(gold, prediction)
    values: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in blocks:
        for name, metric in metrics.items():
            values[name].append(metric(weights))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def interval(values: Array, confidence: float) -> tuple[float, float]:
    """The central interval that contains the share ``confidence`` of the values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
