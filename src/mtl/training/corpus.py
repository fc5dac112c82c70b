"""Tokenised rows with their labels, and the labelled batches cut from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from mtl.encoders import Encoded
from mtl.encoders.store import Stored
from mtl.model.batch import Batch, collate
from mtl.model.micro_batches import Rows
from mtl.tasks.base import TaskType
from mtl.training.columns import Column

E = TypeVar("E", bound=Encoded | Stored)


@dataclass(frozen=True, slots=True)
class Corpus(Generic[E]):
    """Encoded rows and, by task, one label (or ``None``) for each row."""

    encoded: E
    labels: Mapping[str, Column]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Subwords of each row, ``[rows]``."""
        return self.encoded.lengths.astype(np.int32)


def labelled_batch(corpus: Corpus[Any], rows: Rows, tasks: Mapping[str, TaskType], beside: Rows | None = None) -> Batch:
    """A batch with the targets of every task that has a label in it.

    Args:
        corpus: the rows and their labels.
        rows: those of the batch.
        tasks: those to make targets for.
        beside: for each row the variant in the same step that it was added to, or -1. It gets no label of a task that uses that variant.
    """
    batch = collate(corpus.encoded, rows)
    for name, task in tasks.items():
        labels = [corpus.labels[name][row] for row in rows]
        if beside is not None:
            covered = (beside >= 0) & corpus.labels[name].known[beside]
            labels = [None if masked else label for label, masked in zip(labels, covered.tolist(), strict=True)]
        targets = task.targets(labels, batch.words(task.field))
        if count := int(task.count(targets)):
            batch.targets[name] = targets
            batch.counts[name] = count
            batch.rows[name] = torch.tensor([row for row, label in enumerate(labels) if label is not None])
    return batch
