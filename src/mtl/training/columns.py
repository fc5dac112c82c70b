"""Labels and strings of many rows in a few bytes each, behind the interface of a list."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.data import schema
from mtl.tasks import Label

Mask = npt.NDArray[np.bool_]
PART = schema.ROW_GROUP
"""Rows read, or looked at, at a time."""


class Growing:
    """A flat array that parts are added to. It grows in its place: parts kept until they are joined would leave the memory full of
    holes.
    """

    def __init__(self, kind: npt.DTypeLike) -> None:
        self.kind, self._bytes = np.dtype(kind), bytearray()

    def add(self, part: npt.NDArray[Any]) -> None:
        """Lay a part behind what is there, as numbers of this array's kind."""
        self._bytes += np.ascontiguousarray(part, dtype=self.kind).data.cast("B")

    def array(self) -> npt.NDArray[Any]:
        """All parts; nothing can be added from now on."""
        return np.frombuffer(self._bytes, dtype=self.kind)


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

    @property
    def kind(self) -> str:
        """``class``, ``number`` or ``tags``."""
        return "number" if self.values is None else "class" if self.offsets is None else "tags"

    @classmethod
    def joined(cls, parts: Sequence["Column"]) -> "Column":
        """Columns of one kind end to end."""
        if len(parts) == 1:
            return parts[0]
        whole = Columns(parts[0].kind)
        for part in parts:
            whole.add(part)
        return whole.joined()

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
        codes: set[Any] = set()
        for start in range(0, len(self), PART):
            known, offsets = self.known[start : start + PART], self.offsets
            if offsets is None:
                codes.update(np.unique(self.codes[start : start + PART][known]).tolist())
            else:
                own = offsets[start : start + PART + 1]
                codes.update(np.unique(self.codes[own[0] : own[-1]][np.repeat(known, np.diff(own))]).tolist())
        if self.values is None:
            return {str(value) for value in codes}
        return {self.values[code] for code in codes if code >= 0}

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


class Columns:
    """A column that comes in parts."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._known, self._lengths = Growing(np.bool_), Growing(np.int32)
        self._codes = Growing(np.float64 if kind == "number" else np.int8)
        self._places: dict[str, int] = {}

    def add(self, part: Column) -> None:
        """Lay a column of this kind behind what is there."""
        self._known.add(part.known)
        if part.offsets is not None:
            self._lengths.add(np.diff(part.offsets))
        if part.values is None:
            self._codes.add(part.codes)
            return
        places = [*(self._places.setdefault(value, len(self._places)) for value in part.values), -1]
        if len(self._places) - 1 > np.iinfo(self._codes.kind).max:
            narrow, self._codes = self._codes, Growing(np.min_scalar_type(-len(self._places)))
            self._codes.add(narrow.array())
        self._codes.add(np.array(places, dtype=self._codes.kind)[part.codes])

    def skip(self, rows: int) -> None:
        """Rows without a label."""
        self._known.add(np.zeros(rows, dtype=np.bool_))
        (self._lengths if self._kind == "tags" else self._codes).add(np.full(rows, 0 if self._kind == "tags" else -1))

    def joined(self) -> Column:
        """All parts end to end."""
        offsets = np.concatenate([[0], np.cumsum(self._lengths.array(), dtype=np.int64)]) if self._kind == "tags" else None
        values = None if self._kind == "number" else tuple(self._places)
        return Column(self._known.array(), self._codes.array(), values, offsets)


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
