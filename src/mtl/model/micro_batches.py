"""Rows of one step cut into micro-batches of similar length."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer]


def micro_batches(lengths: npt.NDArray[np.integer], limit: int, overhead: int, *, packed: bool = False) -> list[Rows]:
    """Cut rows into micro-batches of similar length: the cheapest cut of the length-sorted rows, by dynamic programming.

    The cost of a micro-batch is its size plus ``overhead`` for starting one.

    Args:
        lengths: ``[rows]``, subwords of each row, at least 1.
        limit: largest size; only a single row that is longer may exceed it.
        overhead: cost of one more micro-batch, in subwords.
        packed: whether padding is skipped: the size is then the sum of the lengths, else rows × longest.

    Returns:
        Indices into ``lengths``, longest rows first, so that a lack of memory is seen at once.
    """
    order = np.argsort(lengths, kind="stable")
    sizes = lengths[order].astype(np.int64)
    # Cutting between rows of equal length saves no padding: only the ends of runs, and of full micro-batches in long runs, count.
    ends = _ends(sizes, limit)
    starts = np.concatenate([[0], ends])
    total = np.concatenate([[0], np.cumsum(sizes)])
    cost = np.zeros(len(starts))
    source = np.zeros(len(starts), dtype=np.int64)
    for i, end in enumerate(ends, start=1):
        size = total[end] - total[starts[:i]] if packed else (end - starts[:i]) * sizes[end - 1]
        price = cost[:i] + size + overhead + np.where((size > limit) & (end - starts[:i] > 1), np.inf, 0)
        source[i] = int(price.argmin())
        cost[i] = price[source[i]]
    batches: list[Rows] = []
    i = len(ends)
    while i:
        batches.append(order[starts[source[i]] : ends[i - 1]])
        i = int(source[i])
    return batches


def _ends(sizes: Rows, limit: int) -> Rows:
    """Where sorted rows may be cut: after each run of equal lengths, and within it into parts of at most half the limit."""
    ends: list[int] = []
    for size, stop in zip(*_runs(sizes), strict=True):
        start = ends[-1] if ends else 0
        ends += range(start + max(1, limit // (2 * size)), stop, max(1, limit // (2 * size)))
        ends.append(stop)
    return np.array(ends, dtype=np.int64)


def _runs(sizes: Rows) -> tuple[Sequence[int], Sequence[int]]:
    """The distinct values of a sorted array, and where the run of each ends."""
    values, counts = np.unique(sizes, return_counts=True)
    return values.tolist(), np.cumsum(counts).tolist()
