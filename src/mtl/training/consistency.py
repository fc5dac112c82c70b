"""Consistency training: the prediction on a variant of a row without a label follows that on the row itself.

Unsupervised data augmentation (UDA: Xie, Dai, Hovy, Luong & Le 2020). The prediction to follow is computed in the same step, with the same
weights, without gradient and without dropout. So it is what the model would predict, its confidence is that of a prediction, and the
dropout masks of the other rows do not depend on it. How predictions are compared is a matter of the task type (``TaskType.divergence``).

Predicted classes are aligned with the labels, where the task type tells their shares: with few labels the model soon predicts one class,
and following that reinforces it (distribution alignment of ReMixMatch: Berthelot et al. 2020).

The term is a mean over all compared items of the step, followed or not: its size is known before the forward pass, however the step is cut
into micro-batches and whatever their number. It is a part of the task's loss, so that balancing sees one loss a task.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mtl.config import Consistency
from mtl.model.batch import Batch, collate
from mtl.model.device import Precision
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.seeds import seed_of
from mtl.tasks.base import TaskType
from mtl.training.columns import Groups, Mask
from mtl.training.corpus import Corpus
from mtl.training.plan import RunPlan, steps_per_epoch, variant

SIGNALS: dict[str, Callable[[float], float]] = {
    "linear": lambda done: done,
    "log": lambda done: 1 - math.exp(-5 * done),
    "exp": lambda done: math.exp(5 * (done - 1)),
}
"""``consistency.anneal`` to how far the threshold has risen from chance to 1, as a function of the share of the run that is done."""


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """What a run learns from rows without labels."""

    settings: Mapping[str, Consistency]
    """By task of the run that has consistency."""
    planned: Mask
    """Whether an original row lacks the label of any task of the settings with consistency, ``[n]``: the plan assigns these, whatever the
    run's tasks."""
    rows: Mapping[str, Mask]
    """By task, whether it compares a row of ``Data.train``, original or variant, ``[rows]``."""
    variants: Groups
    """For each original row the places of the variants that some task compares."""

    def plan(self, lengths: Rows, batch_tokens: int, steps: int, seed: int) -> RunPlan:
        """The rows of each step, in passes over all of them.

        Args:
            lengths: subwords of each original row, ``[n]``.
            batch_tokens: subwords of these rows in a step.
            steps: of the run.
            seed: of the run.
        """
        epoch_steps = steps_per_epoch(lengths[self.planned], batch_tokens)
        return RunPlan(seed_of("unlabelled", seed), lengths, np.where(self.planned, 0, -1), epoch_steps, steps)

    def pairs(self, plan: RunPlan, step: int, ids: Sequence[str], tasks: Sequence[str]) -> tuple[Rows, Rows]:
        """The original rows of a step that one of the tasks compares, and a variant of each."""
        planned, originals, variants = plan[step], [], []
        for number, row in zip(planned.passes.tolist(), planned.rows.tolist(), strict=True):
            own = self.variants[row]
            chosen = variant(plan.seed, number, ids[row], len(own), 1.0)
            if chosen is not None and any(self.compares(task, row, own[chosen]) for task in tasks):
                originals.append(row)
                variants.append(int(own[chosen]))
        return np.array(originals, dtype=np.int64), np.array(variants, dtype=np.int64)

    def compares(self, task: str, originals: Any, variants: Any) -> Any:
        """Whether a task compares each pair of rows."""
        return task in self.rows and self.rows[task][originals] & self.rows[task][variants]

    def batch(self, corpus: Corpus[Any], originals: Rows, variants: Rows, tasks: Mapping[str, TaskType]) -> "PairBatch":
        """Pairs of rows with what each task compares of them."""
        own, other = collate(corpus.encoded, originals), collate(corpus.encoded, variants)
        items = {}
        for name, task in tasks.items():
            rows = np.flatnonzero(self.compares(name, originals, variants)) if name in self.rows else ()
            places = shared_tokens(own, other, rows, task.field) if task.token_level else np.tile(rows, (2, 1))
            if len(rows) and places.shape[1]:
                items[name] = Items(*torch.from_numpy(places))
        return PairBatch(own, other, items)


class Items(NamedTuple):
    """What a task compares, as places in its outputs for original rows and for variants, rows and positions as one axis; ``[items]``."""

    originals: Tensor
    variants: Tensor


@dataclass(frozen=True, slots=True)
class PairBatch:
    """A micro-batch of original rows and a variant of each."""

    originals: Batch
    variants: Batch
    items: Mapping[str, Items]
    """By task; only of those that compare something here."""

    def to(self, device: torch.device) -> "PairBatch":
        """The same pairs on a device."""
        if device.type == "cpu":
            return self
        items = {task: Items(*(places.to(device) for places in own)) for task, own in self.items.items()}
        return PairBatch(self.originals.to(device), self.variants.to(device), items)


def shared_tokens(original: Batch, variant: Batch, rows: Sequence[int] | Rows, field: int) -> Rows:
    """The first subwords of the tokens that both rows of a pair have, in the same order: the matching blocks of ``difflib``.

    Returns:
        Places in the rows and positions of both batches as one axis, ``[2, tokens]``.
    """
    found: list[tuple[int, int]] = []
    for row in rows:
        (tokens, places), (others, other_places) = _tokens(original, row, field), _tokens(variant, row, field)
        for first, second, size in SequenceMatcher(None, tokens, others, autojunk=False).get_matching_blocks():
            found += zip(places[first : first + size], other_places[second : second + size], strict=True)
    return np.array(found, dtype=np.int64).reshape(-1, 2).T


def _tokens(batch: Batch, row: int, field: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """The subwords and shapes of each token of a text field, and the place of its first subword."""
    first = np.flatnonzero(batch.words(field)[row] >= 0)
    shapes, subwords = batch.word_shape_ids[row].tolist(), batch.subwords[row].tolist()
    tokens = []
    for start in first.tolist():
        end = start + 1
        while end < len(shapes) and shapes[end] and shapes[end] % 2 == 0:  # special subwords and padding have shape 0
            end += 1
        tokens.append((*subwords[start:end], shapes[start]))
    return tokens, (row * len(shapes) + first).tolist()


class Alignment:
    """Shifts predictions so that the running mean of their probabilities is the share of each class in the labelled train rows.

    The mean is over the steps before, so that it does not depend on how a step is cut into micro-batches.
    """

    ITEMS = 20
    """For each class, that the mean is about. With more, it lags behind a model that turns from one class to another within some steps;
    with fewer, it is noise where there are many classes."""
    LEAST = 1e-4
    """Mean probability of a class at or below which the shift no longer grows."""

    def __init__(self, tasks: Mapping[str, TaskType], settings: Mapping[str, Consistency]) -> None:
        """Align the tasks whose settings and type have it; settings are by task."""
        shares = {name: tasks[name].label_shares for name in sorted(settings) if settings[name].align}
        self._shares = {name: np.array(own) for name, own in shares.items() if own is not None}
        self._sums = {name: np.zeros(len(own)) for name, own in self._shares.items()}

    def outputs(self, task: str) -> int:
        """How many numbers ``learn`` needs: one for each class of an aligned task, otherwise 0."""
        return len(self._shares.get(task, ()))

    def shift(self, task: str) -> list[float] | None:
        """What to add to the logits of each class; nothing for a task that is not aligned, or has seen no rows yet."""
        if task not in self._shares or not (total := self._sums[task].sum()):
            return None
        return [*np.log(self._shares[task] / np.maximum(self._sums[task] / total, self.LEAST)).tolist()]

    def learn(self, task: str, predicted: Sequence[float]) -> None:
        """Use a step's predictions on original rows: the sum of the probabilities of each class, in all processes together."""
        if task in self._sums:
            window = self.ITEMS * len(predicted)
            self._sums[task] = self._sums[task] * window / (window + sum(predicted)) + predicted

    def state_dict(self) -> dict[str, list[float]]:
        """What a checkpoint must contain."""
        return {task: sums.tolist() for task, sums in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from a checkpoint."""
        self._sums = {task: np.array(sums) for task, sums in state.items()}


class Term(NamedTuple):
    """The part of one micro-batch in the consistency terms of a step."""

    losses: dict[str, Tensor]
    """By task, to be added to its loss; with a gradient."""
    followed: dict[str, Tensor]
    """By task, the number of items that are followed."""
    predicted: dict[str, Tensor]
    """By task, the sum of the probabilities of each class over the original rows, before alignment, ``[classes]``; empty without it."""


def term(
    model: Model,
    precision: Precision,
    batch: PairBatch,
    tasks: Sequence[str],
    counts: Mapping[str, int],
    settings: Mapping[str, Consistency],
    alignment: Alignment,
) -> Term:
    """Compare the predictions for a micro-batch.

    Args:
        batch: on the device of the model.
        tasks: those with items in the batch.
        counts: items of the whole step by task, in all processes together.
        settings: by task.
        alignment: of the predictions to follow.
    """
    # Each pass has an autocast of its own: one that has cast the weights without gradient would hand these copies to the other.
    with torch.no_grad(), _without_dropout(model), precision.autocast():
        original = model(batch.originals, tasks)
    with precision.autocast():
        variant = model(batch.variants, tasks)
    losses, followed, predicted = {}, {}, {}
    for task in tasks:
        places, other_places = batch.items[task]
        own, other = original[task].float().flatten(0, -2)[places], variant[task].float().flatten(0, -2)[other_places]
        predicted[task] = own.softmax(-1).sum(0) if alignment.outputs(task) else own.new_empty(0)
        if shift := alignment.shift(task):
            own = own + own.new_tensor(shift)
        total, followed[task] = model.tasks[task].divergence(own, other, settings[task])
        losses[task] = total * (settings[task].weight / counts[task])
    return Term(losses, followed, predicted)


@contextmanager
def _without_dropout(model: Model) -> Iterator[None]:
    """The model in evaluation mode, then in the mode before."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
