"""Tokenised rows with their labels, and the batches cut from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.encoders import Encoded
from mtl.encoders.store import Stored
from mtl.tasks import TaskType
from mtl.training.batching import Rows
from mtl.training.columns import Column

E = TypeVar("E", bound=Encoded | Stored)


@dataclass(frozen=True, slots=True)
class Corpus(Generic[E]):
    """Encoded rows and, by task, one label (or ``None``) a row."""

    encoded: E
    labels: Mapping[str, Column]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Pieces of each row, ``[rows]``."""
        return self.encoded.lengths.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to the longest of them; all tensors ``[rows, positions]`` but the targets of text-level tasks, ``[rows]``."""

    pieces: Tensor
    mask: Tensor
    shapes: Tensor
    word: npt.NDArray[np.int32]
    targets: dict[str, Tensor]
    """Only of the tasks that have a label here."""
    counts: dict[str, int]
    """Labelled items by task, never 0."""
    rows: dict[str, Tensor] = field(default_factory=dict)
    """Of the tasks in ``targets``, the rows that have a label, ``[n]``: known here, a device need not be waited for."""

    @property
    def real(self) -> int:
        """Pieces that are not padding."""
        return int((self.mask if self.mask.device.type == "cpu" else self.mask.cpu()).sum())

    @property
    def first(self) -> Tensor:
        """Whether a piece is the first one of a token, bool ``[rows, positions]``."""
        return self.shapes % 2 == 1

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; the copy runs beside the computation where it can."""
        if device.type == "cpu":
            return self
        move = {name: getattr(self, name).pin_memory().to(device, non_blocking=True) for name in ("pieces", "mask", "shapes")}
        targets, rows = (
            {task: part.pin_memory().to(device, non_blocking=True) for task, part in parts.items()} for parts in (self.targets, self.rows)
        )
        return Batch(**move, word=self.word, targets=targets, counts=self.counts, rows=rows)


def collate(encoded: Encoded | Stored, rows: Rows) -> Batch:
    """A batch of rows without labels."""
    own = encoded.take(rows)
    mask = np.arange(int(own.lengths.max(initial=0))) < own.lengths[:, None]

    def padded(flat: npt.NDArray[np.integer], fill: int = 0, number: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        whole = np.full(mask.shape, fill, dtype=number)
        whole[mask] = flat
        return whole

    return Batch(
        pieces=torch.from_numpy(padded(own.pieces if own.numbers is None else own.numbers[own.pieces])),
        mask=torch.from_numpy(mask),
        shapes=torch.from_numpy(padded(own.shapes)),
        word=padded(own.word, -1, np.int32),
        targets={},
        counts={},
    )


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
        targets = task.targets(labels, batch.word)
        if count := int(task.count(targets)):
            batch.targets[name] = targets
            batch.counts[name] = count
            batch.rows[name] = torch.tensor([row for row, label in enumerate(labels) if label is not None])
    return batch
