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
    """Encoded rows and, by task, one label (or ``None``) a row."""

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
        tasks: whose targets.
        beside: for each row another one that is shown with it, or -1: it has the label for a task that learns from that one.
    """
    batch = collate(corpus.encoded, rows)
    for name, task in tasks.items():
        labels = [corpus.labels[name][row] for row in rows]
        if beside is not None:
            taught = (beside >= 0) & corpus.labels[name].known[beside]
            labels = [None if told else label for label, told in zip(labels, taught.tolist(), strict=True)]
        targets = task.targets(labels, batch.word_ids)
        if count := int(task.count(targets)):
            batch.targets[name] = targets
            batch.counts[name] = count
            batch.rows[name] = torch.tensor([row for row, label in enumerate(labels) if label is not None])
    return batch
