"""Batches: rows padded to the longest of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.tokenizer import Marker, Row
from mtl.encoders.windows import encode_windows
from mtl.lazy import lazy
from mtl.model.micro_batches import Rows
from mtl.tasks.base import TaskType

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mtl.encoders.store import Stored  # needs pyarrow, which prediction does without
else:
    torch = lazy("torch")  # an exported model does without


class Pair(NamedTuple):
    """The tokens of a row with two text fields."""

    left: Row
    right: Row


TokenRow = Row | Pair
"""The tokens of a row, and perhaps markers: of its only text field, or of both."""


def tokens_of(row: TokenRow, field: int) -> Row:
    """The tokens of one field of a row, counted from 0."""
    if isinstance(row, Pair):
        return row[field]
    return row


def words_of(row: TokenRow, field: int) -> list[str]:
    """The tokens of one field of a row without markers."""
    return [token for token in tokens_of(row, field) if isinstance(token, str)]


def with_markers(tokens: Row, places: Mapping[str, int]) -> Row:
    """Tokens with markers between them.

    Args:
        tokens: without markers.
        places: by marker, how many tokens stand before it. Those with the same place stay in this order.
    """
    if not places:
        return tokens
    result = list(tokens)
    for _, place, name in sorted(((place, number), place, name) for number, (name, place) in enumerate(places.items()))[::-1]:
        result.insert(place, Marker(name))
    return result


def marked(row: TokenRow, task: TaskType, places: Iterable[int]) -> TokenRow:
    """A row with the markers of a task between the tokens of its text field.

    Args:
        places: how many tokens stand before each marker.
    """
    tokens = with_markers(tokens_of(row, task.field), dict(zip(task.markers, places, strict=True)))
    if isinstance(row, Pair):
        return Pair(*(tokens if field == task.field else own for field, own in enumerate(row)))
    return tokens


def encode_rows(
    tokenizer: SubwordTokenizer, rows: Sequence[TokenRow], max_length: int, *, windows: bool, stride: int | None = None
) -> Encoded:
    """Rows of one or two fields as subwords.

    Args:
        tokenizer: of the encoder.
        rows: tokens.
        max_length: in subwords.
        windows: cut rows that are too long into windows rather than off.
        stride: of windows; see ``encode_windows``.
    """
    left = [tokens_of(row, 0) for row in rows]
    right = [row.right if isinstance(row, Pair) else None for row in rows] if any(isinstance(row, Pair) for row in rows) else None
    return encode_windows(tokenizer, left, max_length, right, stride) if windows else tokenizer.encode(left, max_length, right)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to the longest of them; all tensors ``[rows, positions]`` unless stated."""

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
    segment_ids: Tensor | None = None
    """Int64, 0 in the first field of a row, 1 in the second; ``None`` if all rows have one field."""

    def words(self, field: int) -> npt.NDArray[np.int32]:
        """``word_ids`` of one text field, -1 in the other, ``[rows, positions]``."""
        return words_in(field, self.word_ids, None if self.segment_ids is None else self.segment_ids.cpu().numpy())

    def first(self, field: int) -> Tensor:
        """The first subword of each token of one text field, bool ``[rows, positions]``."""
        first = self.word_shape_ids % 2 == 1
        return first if self.segment_ids is None else first & (self.segment_ids == field)

    @property
    def real(self) -> int:
        """Subwords that are not padding."""
        return int((self.mask if self.mask.device.type == "cpu" else self.mask.cpu()).sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; the copy runs beside the computation where it can."""
        if device.type == "cpu":
            return self
        move = {name: getattr(self, name).pin_memory().to(device, non_blocking=True) for name in ("subwords", "mask", "word_shape_ids")}
        targets, rows = (
            {task: part.pin_memory().to(device, non_blocking=True) for task, part in parts.items()} for parts in (self.targets, self.rows)
        )
        segment_ids = None if self.segment_ids is None else self.segment_ids.pin_memory().to(device, non_blocking=True)
        return Batch(**move, word_ids=self.word_ids, targets=targets, counts=self.counts, rows=rows, segment_ids=segment_ids)


class Padded(NamedTuple):
    """Rows padded to the longest of them, as arrays ``[rows, positions]``; see ``Batch``."""

    subwords: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]
    word_shape_ids: npt.NDArray[np.int64]
    word_ids: npt.NDArray[np.int32]
    segment_ids: npt.NDArray[np.int64] | None

    def words(self, field: int) -> npt.NDArray[np.int32]:
        """See ``Batch.words``."""
        return words_in(field, self.word_ids, self.segment_ids)


def words_in(field: int, word_ids: npt.NDArray[np.int32], segment_ids: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int32]:
    """``word_ids`` of one text field, -1 in the other."""
    return word_ids if segment_ids is None else np.where(segment_ids == field, word_ids, np.int32(-1))


def pad(encoded: Encoded | Stored, rows: Rows) -> Padded:
    """Some rows, padded."""
    own = encoded.take(rows)
    mask = np.arange(int(own.lengths.max(initial=0))) < own.lengths[:, None]

    def padded(flat: npt.NDArray[np.integer], fill: int = 0, number: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        whole = np.full(mask.shape, fill, dtype=number)
        whole[mask] = flat
        return whole

    return Padded(
        subwords=padded(own.subwords if own.numbers is None else own.numbers[own.subwords]),
        mask=mask,
        word_shape_ids=padded(own.word_shape_ids),
        word_ids=padded(own.word_ids, -1, np.int32),
        segment_ids=padded(own.segment_ids) if own.pairs.any() else None,
    )


def collate(encoded: Encoded | Stored, rows: Rows) -> Batch:
    """A batch of rows without labels."""
    own = pad(encoded, rows)
    return Batch(
        subwords=torch.from_numpy(own.subwords),
        mask=torch.from_numpy(own.mask),
        word_shape_ids=torch.from_numpy(own.word_shape_ids),
        word_ids=own.word_ids,
        targets={},
        counts={},
        segment_ids=None if own.segment_ids is None else torch.from_numpy(own.segment_ids),
    )
