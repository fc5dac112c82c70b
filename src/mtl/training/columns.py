"""Labels and strings of many rows in a few bytes each, behind the interface of a list."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.tasks import Label

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Column(Sequence[Label | None]):
    """One label a row: a class, a number, or a tag per token; ``None`` where there is none."""

    known: Mask
    """``[rows]``, whether there is a label."""
    codes: npt.NDArray[Any]
    """Places in ``values``, -1 for none: ``[rows]``, or of tags ``[tokens]``; or the numbers, ``[rows]``."""
    values: tuple[str, ...] | None
    """The distinct classes or tags; ``None`` for numbers."""
    offsets: npt.NDArray[np.int64] | None
    """Of tags: where each row's start, ``[rows + 1]``."""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "Column":
        """From a label column of a canonical table."""
        known = np.asarray(column.is_valid(), dtype=np.bool_)
        if pa.types.is_floating(column.type):
            return cls(known, np.asarray(column.fill_null(0.0), dtype=np.float64), None, None)
        if not pa.types.is_list(column.type):
            return cls(known, *_encoded(column), None)
        lengths = np.asarray(pa.compute.fill_null(pa.compute.list_value_length(column), 0), dtype=np.int64)
        return cls(known, *_encoded(pa.compute.list_flatten(column)), np.concatenate([[0], np.cumsum(lengths)]))

    @classmethod
    def joined(cls, parts: Sequence["Column"]) -> "Column":
        """Columns of one kind end to end."""
        if len(parts) == 1:
            return parts[0]
        known = np.concatenate([part.known for part in parts])
        if parts[0].values is None:
            return cls(known, np.concatenate([part.codes for part in parts]), None, None)
        values = tuple(dict.fromkeys(chain.from_iterable(part.values or () for part in parts)))
        place = {value: i for i, value in enumerate(values)}
        kind = np.min_scalar_type(-len(values) - 1)
        renumbered = [np.array([*(place[v] for v in part.values or ()), -1], dtype=kind)[part.codes] for part in parts]
        offsets = None
        if all(part.offsets is not None for part in parts):
            lengths = [np.diff(part.offsets) for part in parts if part.offsets is not None]
            offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        return cls(known, np.concatenate(renumbered), values, offsets)

    @classmethod
    def unknown(cls, like: "Column", rows: int) -> "Column":
        """Rows without a label, of the kind of another column."""
        codes = np.zeros(0 if like.offsets is not None else rows, dtype=like.codes.dtype)
        offsets = None if like.offsets is None else np.zeros(rows + 1, dtype=np.int64)
        return cls(np.zeros(rows, dtype=np.bool_), codes, like.values, offsets)

    def masked(self, kept: Mask) -> "Column":
        """The labels of some rows hidden, ``[rows]``."""
        return replace(self, known=self.known & kept)

    def only(self, wanted: Mask) -> "Column":
        """The wanted rows, ``[rows]``."""
        if self.offsets is None:
            return replace(self, known=self.known[wanted], codes=self.codes[wanted])
        lengths = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(lengths[wanted])])
        return replace(self, known=self.known[wanted], codes=self.codes[np.repeat(wanted, lengths)], offsets=offsets)

    def distinct(self) -> set[str]:
        """The classes, tags or numbers that occur."""
        codes = self.codes[self.known if self.offsets is None else np.repeat(self.known, np.diff(self.offsets))]
        if self.values is None:
            return {str(value) for value in np.unique(codes).tolist()}
        return {self.values[code] for code in np.unique(codes).tolist() if code >= 0}

    def digest(self) -> bytes:
        """A sum of all labels."""
        found = hashlib.sha256(repr(self.values).encode())
        for array in (self.known, self.codes, self.offsets):
            found.update(b"" if array is None else np.ascontiguousarray(array).data)
        return found.digest()

    def __len__(self) -> int:
        return len(self.known)

    @overload
    def __getitem__(self, row: int) -> Label | None: ...
    @overload
    def __getitem__(self, row: slice) -> list[Label | None]: ...
    def __getitem__(self, row: int | slice) -> Label | list[Label | None] | None:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        if not self.known[row]:
            return None
        if self.values is None:
            return float(self.codes[row])
        if self.offsets is None:
            return self.values[int(self.codes[row])]
        tags = self.codes[self.offsets[row] : self.offsets[row + 1]].tolist()
        return [self.values[code] if code >= 0 else None for code in tags]

    def __iter__(self) -> Iterator[Label | None]:
        return (self[row] for row in range(len(self)))


def _encoded(array: pa.ChunkedArray | pa.Array) -> tuple[npt.NDArray[np.signedinteger], tuple[str, ...]]:
    """Places of strings in a list of the distinct ones, and that list."""
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    encoded = whole.dictionary_encode()
    values = tuple(encoded.dictionary.to_pylist())
    return np.asarray(encoded.indices.fill_null(-1)).astype(np.min_scalar_type(-len(values) - 1)), values


class Strings(Sequence[str]):
    """Strings held by Arrow."""

    def __init__(self, array: pa.ChunkedArray) -> None:
        self.array = array

    def parts(self) -> Iterator[list[str]]:
        """All of them, some at a time."""
        return (chunk.to_pylist() for chunk in self.array.chunks)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        found: str = self.array[int(row)].as_py()
        return found

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.parts())


class Groups(Sequence[npt.NDArray[np.int64]]):
    """For each row any number of places, laid end to end."""

    def __init__(self, offsets: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> None:
        self.offsets, self.places = offsets, places

    def shifted(self, by: int) -> "Groups":
        """All places moved."""
        return Groups(self.offsets, self.places + by)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: Any) -> Any:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self.places[self.offsets[row] : self.offsets[row + 1]]
