"""Tokenised rows with their labels, and the batches cut from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.encoders import Encoded
from mtl.tasks import Label, TaskType
from mtl.training.batching import Rows


@dataclass(frozen=True, slots=True)
class Corpus:
    """Encoded rows and, by task, one label (or ``None``) a row."""

    encoded: Encoded
    labels: Mapping[str, Sequence[Label | None]]
    digest: str = ""
    """sha256 of the encoded rows."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Pieces of each row, ``[rows]``."""
        return np.diff(self.encoded.offsets)


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

    @property
    def real(self) -> int:
        """Pieces that are not padding."""
        return int((self.mask if self.mask.device.type == "cpu" else self.mask.cpu()).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; the copy runs beside the computation where it can."""
        if device.type == "cpu":
            return self
        move = {name: getattr(self, name).pin_memory().to(device, non_blocking=True) for name in ("pieces", "mask", "shapes")}
        targets = {task: target.pin_memory().to(device, non_blocking=True) for task, target in self.targets.items()}
        return Batch(**move, word=self.word, targets=targets, counts=self.counts)


def collate(encoded: Encoded, rows: Rows) -> Batch:
    """A batch of rows without labels."""
    start, stop = encoded.offsets[rows], encoded.offsets[rows + 1]
    positions = np.arange(int((stop - start).max(initial=0)))
    mask = positions < (stop - start)[:, None]
    index = np.where(mask, start[:, None] + positions, 0)

    def padded(flat: npt.NDArray[np.integer], value: int) -> npt.NDArray[np.int64]:
        return np.where(mask, flat[index], value).astype(np.int64)

    pieces, shapes = padded(encoded.pieces, 0), padded(encoded.shapes, 0)
    begin = 0 if encoded.begin is None else encoded.begin[rows][:, None]
    return Batch(
        pieces=torch.from_numpy(pieces if encoded.numbers is None else np.where(mask, encoded.numbers[pieces], 0).astype(np.int64)),
        mask=torch.from_numpy(mask),
        shapes=torch.from_numpy(shapes),
        word=np.where(shapes % 2 == 1, begin + np.cumsum(shapes % 2, axis=1) - 1, -1).astype(np.int32),
        targets={},
        counts={},
    )


def labelled_batch(corpus: Corpus, rows: Rows, tasks: Mapping[str, TaskType]) -> Batch:
    """A batch with the targets of every task that has a label in it."""
    batch = collate(corpus.encoded, rows)
    for name, task in tasks.items():
        targets = task.targets([corpus.labels[name][row] for row in rows], batch.word)
        if count := int(task.count(targets)):
            batch.targets[name] = targets
            batch.counts[name] = count
    return batch
