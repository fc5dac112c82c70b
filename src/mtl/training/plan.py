"""Which rows are trained on when: pure functions of seed, epoch and row lengths, so a position in the data is one integer.

A step holds rows of every dataset, each in proportion to its size or as ``sampling`` says. The plan does not depend on the tasks of a
run. A single-task run drops the rows of the other datasets from the same steps: it gets as many updates as the joint run, each with
the same rows of its task.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtl.model.micro_batches import Rows
from mtl.seeds import seed_of


def steps_per_epoch(lengths: npt.NDArray[np.integer], batch_tokens: int) -> int:
    """Optimiser steps in one pass over rows of these lengths (subwords)."""
    return max(1, round(int(lengths.sum()) / batch_tokens))


def total_steps(lengths: npt.NDArray[np.integer], batch_tokens: int, epochs: float) -> int:
    """Optimiser steps of a whole run."""
    return max(1, rounded_up(epochs * steps_per_epoch(lengths, batch_tokens)))


def rounded_up(number: float) -> int:
    """The next whole number, with rounding errors ignored: 0.07 of 100 is 7, though the product is a little more."""
    return math.ceil(round(number, 9))


class PlannedStep(NamedTuple):
    """The rows of one step."""

    rows: Rows
    passes: Rows
    """For each row the number of its dataset's pass, from 0: it tells the turns of a row apart."""


class Epoch(Sequence[PlannedStep]):
    """The rows of each step of an epoch."""

    def __init__(self, rows: Rows, passes: Rows, starts: Rows) -> None:
        self._rows, self._passes, self._starts = rows, passes, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, step: Any) -> Any:
        if not -len(self) <= step < len(self):
            raise IndexError(step)
        part = slice(*self._starts[[step % len(self), step % len(self) + 1]])
        return PlannedStep(self._rows[part], self._passes[part])


class RunPlan:
    """The rows of each step of a run."""

    def __init__(
        self,
        seed: int,
        lengths: npt.NDArray[np.integer],
        groups: npt.NDArray[np.integer],
        epoch_steps: int,
        steps: int,
        passes: Mapping[int, npt.NDArray[np.float64]] | None = None,
    ) -> None:
        """Plan so many steps, ``epoch_steps`` of them an epoch; see ``plan_epoch`` for the other arguments."""
        self.seed = seed
        self.lengths = lengths
        self.groups = groups
        self.epoch_steps = epoch_steps
        self.steps = steps
        self.passes = passes
        self._epoch: tuple[int, Sequence[PlannedStep]] = (-1, [])

    def __getitem__(self, step: int) -> PlannedStep:
        epoch, index = divmod(step, self.epoch_steps)
        if self._epoch[0] != epoch:
            self._epoch = (-1, [])  # with many rows, one epoch in memory is enough
            self._epoch = (epoch, plan_epoch(self.seed, epoch, self.lengths, self.groups, self.epoch_steps, self.passes))
        return self._epoch[1][index]

    def times_assigned(self, steps: int) -> Rows:
        """How often each row is in the first ``steps`` steps, ``[rows]``."""
        times = np.zeros(len(self.groups), dtype=np.int32)
        for step in range(steps):
            np.add.at(times, self[step].rows, 1)
        return times


def plan_epoch(
    seed: int,
    epoch: int,
    lengths: npt.NDArray[np.integer],
    groups: npt.NDArray[np.integer],
    steps: int,
    passes: Mapping[int, npt.NDArray[np.float64]] | None = None,
) -> Epoch:
    """Assign rows to the steps of one epoch.

    Training goes through every group in passes. Each pass is shuffled by itself and cut by the running sum of its subwords: so each step
    gets its share of each group, and about the same number of subwords. A finished pass is followed by another one, in a new order; a
    pass that is unfinished at the end of an epoch continues in the next.

    Args:
        lengths: ``[rows]``, subwords of each row.
        groups: ``[rows]``, the dataset that each row belongs to; -1 for a row that is not assigned.
        steps: number of steps.
        passes: for each group how many passes lie before each step of the run (see ``sampling.passes``); without it, each row once.
    """
    # With many rows these arrays are the largest of a run, hence the small integers and the work in place.
    assigned = [(np.zeros(0, dtype=np.int32),) * 3]
    for group in np.unique(groups[groups >= 0]).tolist():
        members = np.flatnonzero(groups == group).astype(np.int32)
        own = None if passes is None else passes[group][epoch * steps : (epoch + 1) * steps + 1]
        first, last = (epoch, epoch) if own is None else (int(own[0]), int(own[-1]))
        for number in range(first, last + 1):
            rows = np.random.default_rng(seed_of("plan", seed, number, group)).permutation(members)
            step = _steps(lengths[rows], number, steps, own)
            if own is not None:
                inside = (step >= 0) & (step < steps)
                step, rows = step[inside], rows[inside]
            assigned.append((step, rows, np.full(len(step), number, dtype=np.int32)))
    step, rows, numbers = (np.concatenate(column) for column in zip(*assigned, strict=True))
    del assigned
    order = np.argsort(step, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(step, minlength=steps))])
    return Epoch(rows[order], numbers[order], starts)


def _steps(lengths: npt.NDArray[np.integer], number: int, steps: int, passes: npt.NDArray[np.float64] | None) -> npt.NDArray[np.int32]:
    """The step of the epoch that each row of a pass falls in, ``[rows]``; outside of ``0 … steps-1`` where the pass goes beyond it."""
    middle = np.cumsum(lengths, dtype=np.int64)
    total = int(middle[-1])
    # The middle of a row decides, so that a long row falls where most of it lies.
    middle -= (lengths + 1) // 2
    if passes is not None:
        return (np.searchsorted(passes, number + middle / max(total, 1), side="right") - 1).astype(np.int32)
    middle *= steps
    middle //= max(total, 1)
    return np.minimum(middle, steps - 1, out=middle).astype(np.int32)


def variant(seed: int, number: int, row: str, variants: int, share: float) -> int | None:
    """Which of its augmented variants takes the place of an original row in a pass; ``None`` for the original row itself.

    Args:
        number: of the pass over the row's dataset.
        row: id of the row, unique over all datasets.
        variants: how many it has.
        share: chance of a variant.
    """
    if not variants:
        return None
    chance, choice = divmod(seed_of("variant", seed, number, row), 1 << 31)
    return choice % variants if chance < share * (1 << 32) else None
