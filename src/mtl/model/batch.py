"""Batches: rows padded to the longest of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.encoders import Encoded
from mtl.model.micro_batches import Rows

if TYPE_CHECKING:
    from mtl.encoders.store import Stored  # needs pyarrow, which prediction does without


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to the longest of them; all tensors ``[rows, positions]`` but the targets of text-level tasks, ``[rows]``."""

    subwords: Tensor
    mask: Tensor
    word_shape_ids: Tensor
    word_ids: npt.NDArray[np.int32]
    targets: dict[str, Tensor]
    """Only of the tasks that have a label here."""
    counts: dict[str, int]
    """Labelled items by task, never 0."""
    rows: dict[str, Tensor] = field(default_factory=dict)
    """Of the tasks in ``targets``, the rows that have a label, ``[n]``: known here, a device need not be waited for."""

    @property
    def real(self) -> int:
        """Subwords that are not padding."""
        return int((self.mask if self.mask.device.type == "cpu" else self.mask.cpu()).sum())

    @property
    def first(self) -> Tensor:
        """Whether a subword is the first one of a token, bool ``[rows, positions]``."""
        return self.word_shape_ids % 2 == 1

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; the copy runs beside the computation where it can."""
        if device.type == "cpu":
            return self
        move = {name: getattr(self, name).pin_memory().to(device, non_blocking=True) for name in ("subwords", "mask", "word_shape_ids")}
        targets, rows = (
            {task: part.pin_memory().to(device, non_blocking=True) for task, part in parts.items()} for parts in (self.targets, self.rows)
        )
        return Batch(**move, word_ids=self.word_ids, targets=targets, counts=self.counts, rows=rows)


def collate(encoded: Encoded | Stored, rows: Rows) -> Batch:
    """A batch of rows without labels."""
    own = encoded.take(rows)
    mask = np.arange(int(own.lengths.max(initial=0))) < own.lengths[:, None]

    def padded(flat: npt.NDArray[np.integer], fill: int = 0, number: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        whole = np.full(mask.shape, fill, dtype=number)
        whole[mask] = flat
        return whole

    return Batch(
        subwords=torch.from_numpy(padded(own.subwords if own.numbers is None else own.numbers[own.subwords])),
        mask=torch.from_numpy(mask),
        word_shape_ids=torch.from_numpy(padded(own.word_shape_ids)),
        word_ids=padded(own.word_ids, -1, np.int32),
        targets={},
        counts={},
    )
