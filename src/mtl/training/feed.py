"""The feed of a run: which rows each step trains on, as micro-batches.

plan ─► original rows ─► sampled variants ─► micro-batches

Rows without labels have a plan of their own, so that those with labels are the same with and without them (see ``consistency.py``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mtl.config import Train
from mtl.encoders import Encoded
from mtl.encoders.store import Stored
from mtl.model.batch import Batch
from mtl.model.joining import Counts
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.training.columns import Groups, Mask, Strings
from mtl.training.consistency import PairBatch, Unlabelled
from mtl.training.corpus import Corpus, labelled_batch
from mtl.training.distributed import Processes
from mtl.training.plan import RunPlan, steps_per_epoch, total_steps, variant
from mtl.training.sampling import passes
from mtl.training.texts import Tokens


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from. Rows ``0 … n-1`` of ``train`` are the original rows; their augmented variants follow."""

    train: Corpus[Stored]
    ids: Strings
    """Of the n original rows, unique over all datasets."""
    groups: Rows
    """The dataset of each original row, ``[n]``, as its place in ``datasets``."""
    datasets: Sequence[str]
    planned: Mask
    """Whether an original row has a label of any task of the settings, ``[n]``: the plan assigns these, whatever the run's tasks."""
    labelled: Mask
    """Whether an original row has a label of a task of this run, ``[n]``."""
    variants: Groups
    """For each original row the places of its variants in ``train``."""
    share: float
    """Chance of sampling a variant of a row that has some."""
    validation: Corpus[Encoded]
    validation_counts: Counts
    """Tokens of each validation row."""
    validation_texts: Tokens
    """The tokens themselves, in their files: what tasks quote from."""
    counted: Mask | None = None
    """Mask of the original rows whose subword count sets the number of steps, ``[n]``; ``planned`` if it is ``None``."""
    unlabelled: Unlabelled | None = None
    """Rows without labels, if some task of the run learns from such."""

    def has_label(self, task: str) -> Mask:
        """Whether each original row has a label of a task, ``[n]``."""
        return self.train.labels[task].known[: len(self.ids)]

    def sources(self, tasks: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """The datasets whose original rows have a label of each task."""
        return {task: tuple(np.unique(self.groups[self.has_label(task)]).tolist()) for task in tasks}


def plan_run(data: Data, settings: Train, seed: int) -> RunPlan:
    """The plan of a run.

    It covers the original rows of all datasets. So every run of the same settings has the same number of steps, augmented or not, joint
    or single-task: only then does a comparison of two runs compare what it claims to compare.
    """
    lengths = data.train.lengths[: len(data.groups)]
    groups = np.where(data.planned, data.groups, -1)
    epoch_steps = steps_per_epoch(lengths[data.planned], settings.batch_tokens)
    counted = data.planned if data.counted is None else data.counted
    steps = total_steps(lengths[counted], settings.batch_tokens, settings.epochs)
    sizes = {group: int(lengths[groups == group].sum()) for group in np.unique(data.groups[data.planned]).tolist()}
    by_name = passes(settings.sampling, {data.datasets[group]: size for group, size in sizes.items()}, epoch_steps, steps)
    by_group = None if by_name is None else {group: by_name[data.datasets[group]] for group in sizes}
    return RunPlan(seed, lengths, groups, epoch_steps, steps, by_group)


def plan_unlabelled(data: Data, settings: Train, seed: int) -> RunPlan | None:
    """The plan of the rows without labels, of as many steps; None if there are none."""
    if data.unlabelled is None:
        return None
    lengths, tokens = data.train.lengths[: len(data.groups)], round(settings.unlabelled * settings.batch_tokens)
    return data.unlabelled.plan(lengths, tokens, plan_run(data, settings, seed).steps, seed)


@dataclass(frozen=True, slots=True)
class StepRows:
    """Rows of one step. If a task does not use the sampled variant, its original row is added for that task; all ``[rows]``."""

    rows: Rows
    """Places in ``Data.train``."""
    beside: Rows
    """The variant that an added original row stands beside; -1 for all other rows."""
    originals: Rows
    """The original row of each."""
    unlabelled: tuple[Rows, Rows]
    """The original rows without labels, and a variant of each, ``[pairs]``."""
    done: float
    """The share of the run's steps before this one."""


@dataclass(frozen=True, slots=True)
class StepBatches:
    """The micro-batches of one step that this process computes."""

    batches: list[Batch]
    labelled: dict[str, int]
    """Labelled items of the whole step by task, in all processes together."""
    pairs: list[PairBatch] = field(default_factory=list)
    """Rows without labels and their variants."""
    compared: dict[str, int] = field(default_factory=dict)
    """Items of the pairs of the whole step by task, in all processes together."""
    done: float = 1.0
    """See ``StepRows``."""

    @property
    def tasks(self) -> set[str]:
        """The tasks that learn something in this step."""
        return {task for counts in (self.labelled, self.compared) for task, count in counts.items() if count}

    @property
    def parts(self) -> list[Batch]:
        """All micro-batches, those of pairs apart."""
        return [*self.batches, *(part for pair in self.pairs for part in (pair.originals, pair.variants))]


class Feed:
    """Serves the rows of each step: only rows that some task still learns from."""

    def __init__(
        self, model: Model, data: Data, plan: RunPlan, limit: int | None, processes: Processes, unlabelled: RunPlan | None = None
    ) -> None:
        """``unlabelled`` is the plan of the rows without labels, if there are some."""
        self.model = model
        self.data = data
        self.plan = plan
        self.unlabelled = unlabelled
        self.processes = processes
        self.lengths = data.train.lengths
        self.limit = limit
        """Largest micro-batch in subwords; ``None`` for what suits the device."""
        self.overhead: int | None = None
        """Cost of one more micro-batch in subwords; ``None`` for what suits the device."""
        self.tasks = dict(model.tasks)
        """The tasks that have not stopped."""
        self._learned = data.labelled

    def leave_out(self, stopped: Iterable[str]) -> None:
        """Go on without these tasks. Rows that only they learn from would be computed for nothing."""
        if not stopped:
            return
        self.tasks = {name: task for name, task in self.model.tasks.items() if name not in stopped}
        self._learned = np.zeros(len(self.data.ids), dtype=np.bool_)
        for name in self.tasks:
            self._learned |= self.data.has_label(name)

    def rows(self, step: int) -> StepRows:
        """The rows of a step."""
        planned = self.plan[step]
        learned = self._learned[planned.rows]
        originals, numbers = planned.rows[learned], planned.passes[learned]
        sampled = [self._sample(number, row) for number, row in zip(numbers.tolist(), originals.tolist(), strict=True)]
        rows, beside, originals = self._with_originals(np.array(sampled, dtype=np.int64), originals)
        return StepRows(rows, beside, originals, self._pairs(step), step / self.plan.steps)

    def _pairs(self, step: int) -> tuple[Rows, Rows]:
        """The rows without labels of a step, and a variant of each."""
        if self.unlabelled is None or self.data.unlabelled is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return self.data.unlabelled.pairs(self.unlabelled, step, self.data.ids, list(self.tasks))

    def _sample(self, number: int, row: int) -> int:
        """The original row itself, or the variant that takes its place in this pass."""
        variants = self.data.variants[row]
        chosen = variant(self.plan.seed, number, self.data.ids[row], len(variants), self.data.share)
        return int(row if chosen is None else variants[chosen])

    def _with_originals(self, sampled: Rows, originals: Rows) -> tuple[Rows, Rows, Rows]:
        """Add the original row of each variant that some task does not use though it uses the original row; see ``StepRows``."""
        unused = np.zeros(len(sampled), dtype=np.bool_)
        for name in self.tasks:
            known = self.data.train.labels[name].known
            unused |= known[originals] & ~known[sampled]
        added = originals[unused]
        beside = np.concatenate([np.full(len(sampled), -1), sampled[unused]])
        return np.concatenate([sampled, added]), beside, np.concatenate([originals, added])

    def _written(self, rows: Rows) -> Rows:
        """Target subwords of each row, which a decoder computes beside those of the source."""
        labels = {name: self.data.train.labels[name] for name, task in self.tasks.items() if task.writes}
        written = [self.tasks[name].target_lengths([column[row] for row in rows]) for name, column in labels.items()]
        total: Rows = np.sum([np.zeros(len(rows), dtype=np.int64), *written], axis=0)
        return total

    def tasks_in(self, step: StepRows) -> list[str]:
        """The tasks that learn something in a step."""
        return [name for name in self.tasks if self.data.train.labels[name].known[step.rows].any() or self._compares(name, step)]

    def _compares(self, task: str, step: StepRows) -> bool:
        return self.data.unlabelled is not None and bool(np.any(self.data.unlabelled.compares(task, *step.unlabelled)))

    def batches(self, step: StepRows, *, apart: bool) -> StepBatches:
        """This process's share of a step, sorted by the length of source and targets, and cut so that hardly any padding is computed.

        Args:
            apart: put no rows of two datasets into one batch. Where gradients are measured, the backward pass of a task then covers only
                rows of its own datasets.
        """
        batches = [
            labelled_batch(self.data.train, step.rows[part], self.tasks, step.beside[part])
            for part in self._cut(self.lengths[step.rows] + self._written(step.rows), step.originals, apart=apart)
        ]
        own, variants = step.unlabelled
        pairs = [
            self.data.unlabelled.batch(self.data.train, own[part], variants[part], self.tasks)
            for part in self._cut(self.lengths[own] + self.lengths[variants], own, apart=apart)
            if self.data.unlabelled is not None
        ]
        # A loss is a mean over the labelled items of the whole step, however the step is cut: hence the counts of all batches.
        labelled = self._counts(task for batch in batches for task in batch.counts.items())
        compared = self._counts((task, len(items.originals)) for pair in pairs for task, items in pair.items.items()) if len(own) else {}
        return StepBatches(batches, labelled, pairs, compared, step.done)

    def _cut(self, sizes: Rows, originals: Rows, *, apart: bool) -> list[Rows]:
        """This process's micro-batches of some rows by their sizes; ``apart`` puts no rows of two datasets into one."""
        own = self.processes.share(np.arange(len(sizes)), sizes)
        groups = self.data.groups[originals[own]]
        parts = [own[groups == group] for group in np.unique(groups)] if apart else [own]
        return [part[cut] for part in parts for cut in self.model.micro_batches(sizes[part], self.limit, self.overhead)]

    def _counts(self, items: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Sums by task, over all processes."""
        own = dict.fromkeys(self.model.tasks, 0)
        for task, count in items:
            own[task] += count
        return {task: int(count) for task, count in zip(own, self.processes.total([*own.values()]), strict=True)}
