"""The paired percentile bootstrap over test rows (Efron & Tibshirani 1993, chapter 13): equal rows are resampled equally.

A resample is a vector of weights: how often each test row is drawn. Metrics that are functions of sums over rows then cost one
matrix product for all resamples together.

For intervals, the scores of the resamples are moved so that their mean is the score itself. A metric that is not linear in the rows is
biased under resampling: macro-F1 most of all, because rare classes are missing from many resamples. Differences that are zero stay zero:
where the predictions for few rows differ, many resamples have none of them, and show no difference.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mtl import plugins
from mtl.tasks.text_scores import Weighted

Array = npt.NDArray[np.float64]
MAX_CELLS = 1 << 22
"""Largest number of weights in memory at once (32 MiB), whatever the size of the test split."""

ROUNDING = 1e-12
"""Differences below it come from the order of sums."""


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


def draws(
    task_type: str,
    gold: Sequence[str],
    prediction: Sequence[str],
    blocks: Iterable[Array],
    metric: str | None = None,
    measured: Mapping[str, Weighted] = MappingProxyType({}),
) -> tuple[dict[str, float], dict[str, Array]]:
    """The metrics of a task on its rows, and on every resample of them: ``{metric: [resamples]}``. A resample that defines none has that of
    all rows.

    Args:
        task_type: its name in ``params.yaml``.
        gold: gold labels ``[rows]``, in the format of the predictions file.
        prediction: predictions ``[rows]``, in the same format.
        blocks: weights ``[n, rows]`` from ``resample``.
        metric: name of the task's main metric; the default one of its type if not given.
        measured: further metrics, which need more than labels and predictions, as functions of row weights.
    """
    type_ = plugins.task_type(task_type)
    main = type_.metric(metric)
    every_row = np.ones((1, len(gold)))
    scores = type_.scores(gold, prediction, main) | {name: float(function(every_row)[0]) for name, function in measured.items()}
    functions = {**type_.resampled(gold, prediction, main), **measured}
    values: dict[str, list[Array]] = {name: [] for name in functions}
    for weights in blocks:
        for name, function in functions.items():
            values[name].append(function(weights))
    found = {name: np.concatenate(parts) for name, parts in values.items()}
    return scores, {name: np.where(np.isnan(drawn), scores[name], drawn) for name, drawn in found.items()}


def centred(values: Array, score: float) -> Array:
    """Scores or differences of resamples, moved by how far their mean is from that of all rows; zeros stay."""
    return np.where(np.abs(values) < ROUNDING, 0.0, values + (score - values.mean()))


def interval_about(score: float, values: Array, confidence: float, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """The interval of a score or difference on all rows, from those of the resamples."""
    return interval(centred(values, score), confidence, low, high)


def interval(values: Array, confidence: float, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """The central interval that contains the share ``confidence`` of the values, cut at the least and the most that they can be."""
    tail = (1 - confidence) / 2
    ends = np.clip(np.quantile(values, [tail, 1 - tail]), low, high)
    return float(ends[0]), float(ends[1])
