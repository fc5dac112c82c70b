"""Which rows are trained on when: pure functions of seed, epoch and row lengths, so a position in the data is one integer.

A step holds rows of every data set, each in proportion to its size. The plan knows nothing of the tasks of a run: a run of one
task alone drops the rows of the other data sets from the same steps, and so gets the same number of updates, each with the same
rows of its task, as the joint run.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed from anything that names what it is for: equal parts, equal seed, on any machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def steps_per_epoch(lengths: npt.NDArray[np.integer], batch_tokens: int) -> int:
    """Optimiser steps in one pass over rows of these lengths (pieces)."""
    return max(1, round(int(lengths.sum()) / batch_tokens))


def total_steps(lengths: npt.NDArray[np.integer], batch_tokens: int, epochs: float) -> int:
    """Optimiser steps of a whole run."""
    return max(1, math.ceil(epochs * steps_per_epoch(lengths, batch_tokens)))


def plan(seed: int, epoch: int, lengths: npt.NDArray[np.integer], groups: npt.NDArray[np.integer], steps: int) -> list[Rows]:
    """Deal all rows out to the steps of one epoch, each row once.

    Every group is shuffled by itself and cut where its running sum of pieces passes the k-th part of its total: so each step holds
    the same share of each group, and about the same number of pieces.

    Args:
        lengths: ``[rows]``, pieces of each row.
        groups: ``[rows]``, the data set that each row belongs to.
        steps: number of steps to deal to.
    """
    step = np.zeros(len(lengths), dtype=np.int64)
    order = np.zeros(len(lengths), dtype=np.int64)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = np.random.default_rng(seed_of("plan", seed, epoch, int(group))).permutation(rows)
        pieces = lengths[rows].astype(np.int64)
        # The middle of a row decides, so that a long row falls where most of it lies.
        middle = np.cumsum(pieces) - (pieces + 1) // 2
        step[rows] = np.minimum(middle * steps // max(int(pieces.sum()), 1), steps - 1)
        order[rows] = np.arange(len(rows))
    arranged = np.lexsort((order, groups, step))
    return np.split(arranged, np.searchsorted(step[arranged], np.arange(1, steps)))


def variant(seed: int, epoch: int, row: str, variants: int, share: float) -> int | None:
    """Which of its augmented variants a row is shown as in an epoch; ``None`` for the row as it was written.

    Args:
        row: id of the row, unique over all data sets.
        variants: how many it has.
        share: chance of a variant.
    """
    if not variants:
        return None
    chance, choice = divmod(seed_of("variant", seed, epoch, row), 1 << 31)
    return choice % variants if chance < share * (1 << 32) else None


def micro_batches(lengths: npt.NDArray[np.integer], limit: int, overhead: int, *, packed: bool = False) -> list[Rows]:
    """Cut rows into micro-batches of like length: the cheapest cut of the length-sorted rows, found by dynamic programming.

    The cost of a micro-batch is its size plus ``overhead`` for starting one.

    Args:
        lengths: ``[rows]``, pieces of each row, at least 1.
        limit: largest size; only a single row that is longer may exceed it.
        overhead: cost of one more micro-batch, in pieces.
        packed: sizes are those of the rows, since padding is not computed; else rows × longest.

    Returns:
        Indices into ``lengths``, longest rows first, so that a lack of memory shows at once.
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
    batches, i = [], len(ends)
    while i:
        batches.append(order[starts[source[i]] : ends[i - 1]])
        i = int(source[i])
    return batches


def _ends(sizes: Rows, limit: int) -> Rows:
    """Where sorted rows may be cut: after each run of one length, and inside it so that every part fits the limit twice over."""
    ends: list[int] = []
    for size, stop in zip(*_runs(sizes), strict=True):
        start = ends[-1] if ends else 0
        ends += range(start + max(1, limit // (2 * size)), stop, max(1, limit // (2 * size)))
        ends.append(stop)
    return np.array(ends, dtype=np.int64)


def _runs(sizes: Rows) -> tuple[Sequence[int], Sequence[int]]:
    """The distinct values of a sorted array, and the end of each one's run."""
    values, counts = np.unique(sizes, return_counts=True)
    return values.tolist(), np.cumsum(counts).tolist()
