"""Labels and strings of many rows in a few bytes each, behind the interface of a list."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.data import schema
from mtl.data.labels.base import Storage
from mtl.tasks.base import Label

Mask = npt.NDArray[np.bool_]
PART = schema.ROW_GROUP
"""Rows read, or looked at, at a time."""


class Growing:
    """A flat array that grows in place: parts kept until they are joined would fragment the memory."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype, self._bytes = np.dtype(dtype), bytearray()

    def add(self, part: npt.NDArray[Any]) -> None:
        """Append a part, cast to the array's type."""
        self._bytes += np.ascontiguousarray(part, dtype=self.dtype).data.cast("B")

    def array(self) -> npt.NDArray[Any]:
        """All parts; nothing can be added from now on."""
        return np.frombuffer(self._bytes, dtype=self.dtype)


class Column(Sequence[Label | None]):
    """One label per row; ``None`` where there is none."""

    known: Mask
    """``[rows]``, whether there is a label."""

    @staticmethod
    def of(column: pa.ChunkedArray, storage: Storage) -> "Column":
        """From a label column of a canonical table."""
        if storage == "objects":
            return ObjectColumn.read(column)
        return CodedColumn.read(column.cast(pa.float64()) if storage == "numbers" else column)

    @staticmethod
    def joined(parts: Sequence["Column"]) -> "Column":
        """Columns of one storage end to end."""
        if len(parts) == 1:
            return parts[0]
        whole = Columns(parts[0].storage)
        for part in parts:
            whole.add(part)
        return whole.joined()

    @property
    @abstractmethod
    def storage(self) -> Storage:
        """How labels are held (see ``mtl.data.labels.base``)."""

    @abstractmethod
    def masked(self, kept: Mask) -> "Column":
        """The labels of rows that are not kept hidden, ``[rows]``."""

    @abstractmethod
    def only(self, selected: Mask) -> "Column":
        """The selected rows, ``[rows]``."""

    @abstractmethod
    def distinct(self) -> set[str]:
        """The classes, tags, numbers or objects that occur, as strings."""

    @abstractmethod
    def vocabulary(self) -> set[str]:
        """The classes or tags that occur; empty for numbers and objects, which are open sets."""

    @abstractmethod
    def digest(self) -> bytes:
        """sha256 of all labels."""

    @abstractmethod
    def _at(self, row: int) -> Label:
        """The label of a row that has one."""

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
        return self._at(row) if self.known[row] else None

    def __iter__(self) -> Iterator[Label | None]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumn(Column):
    """Classes, numbers, or lists of classes or tags, in a few bytes each."""

    known: Mask
    codes: npt.NDArray[Any]
    """Places in ``values``, -1 for none: ``[rows]``, or of lists ``[items]``; or the numbers, ``[rows]``."""
    values: tuple[str, ...] | None
    """The distinct classes or tags; ``None`` for numbers."""
    offsets: npt.NDArray[np.int64] | None
    """Where the lists of rows start, ``[rows + 1]``; ``None`` where labels are not lists."""

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> "CodedColumn":
        """From a label column of a canonical table."""
        known = np.asarray(column.is_valid(), dtype=np.bool_)
        if pa.types.is_floating(column.type):
            return cls(known, np.asarray(column.fill_null(0.0), dtype=np.float64), None, None)
        if not pa.types.is_list(column.type):
            return cls(known, *_encoded(column), None)
        lengths = np.asarray(pa.compute.fill_null(pa.compute.list_value_length(column), 0), dtype=np.int64)
        return cls(known, *_encoded(pa.compute.list_flatten(column)), np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def storage(self) -> Storage:
        """``codes``, ``numbers`` or ``code_lists``."""
        return "numbers" if self.values is None else "codes" if self.offsets is None else "code_lists"

    def masked(self, kept: Mask) -> "CodedColumn":
        """The labels of rows that are not kept hidden."""
        return replace(self, known=self.known & kept)

    def only(self, selected: Mask) -> "CodedColumn":
        """The selected rows."""
        if self.offsets is None:
            return replace(self, known=self.known[selected], codes=self.codes[selected])
        lengths = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(lengths[selected])])
        return replace(self, known=self.known[selected], codes=self.codes[np.repeat(selected, lengths)], offsets=offsets)

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

    def vocabulary(self) -> set[str]:
        """The classes or tags that occur; empty for numbers."""
        return set() if self.values is None else self.distinct()

    def digest(self) -> bytes:
        """sha256 of all labels."""
        digest = hashlib.sha256(repr(self.values).encode())
        for array in (self.known, self.codes, self.offsets):
            digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return digest.digest()

    def _at(self, row: int) -> Label:
        if self.values is None:
            return float(self.codes[row])
        if self.offsets is None:
            return self.values[int(self.codes[row])]
        codes = self.codes[self.offsets[row] : self.offsets[row + 1]].tolist()
        return [self.values[code] if code >= 0 else None for code in codes]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectColumn(Column):
    """Labels that Arrow holds: texts, ranges, relations."""

    known: Mask
    array: pa.ChunkedArray

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> "ObjectColumn":
        """From a label column of a canonical table."""
        return cls(np.asarray(column.is_valid(), dtype=np.bool_), column)

    @property
    def storage(self) -> Storage:
        """``objects``."""
        return "objects"

    def masked(self, kept: Mask) -> "ObjectColumn":
        """The labels of rows that are not kept hidden."""
        return replace(self, known=self.known & kept)

    def only(self, selected: Mask) -> "ObjectColumn":
        """The selected rows."""
        return ObjectColumn(self.known[selected], self.array.filter(pa.array(selected)))

    def distinct(self) -> set[str]:
        """The objects that occur."""
        return {str(label) for label in self if label is not None}

    def vocabulary(self) -> set[str]:
        """Empty: objects are an open set."""
        return set()

    def digest(self) -> bytes:
        """sha256 of all labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.known).data)
        for chunk in self.array.chunks:
            digest.update(repr(chunk.to_pylist()).encode())
        return digest.digest()

    def _at(self, row: int) -> Label:
        label: Label = self.array[row].as_py()
        return label


class Columns:
    """A column that comes in parts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known, self._lengths = Growing(np.bool_), Growing(np.int32)
        self._codes = Growing(np.float64 if storage == "numbers" else np.int8)
        self._places: dict[str, int] = {}
        self._objects: list[pa.Array] = []

    def add(self, part: Column) -> None:
        """Append a column of this storage."""
        self._known.add(part.known)
        if isinstance(part, ObjectColumn):
            self._objects += part.array.chunks
        elif isinstance(part, CodedColumn):
            self._add_codes(part)

    def _add_codes(self, part: CodedColumn) -> None:
        if part.offsets is not None:
            self._lengths.add(np.diff(part.offsets))
        if part.values is None:
            self._codes.add(part.codes)
            return
        places = [*(self._places.setdefault(value, len(self._places)) for value in part.values), -1]
        if len(self._places) - 1 > np.iinfo(self._codes.dtype).max:
            smaller, self._codes = self._codes, Growing(np.min_scalar_type(-len(self._places)))
            self._codes.add(smaller.array())
        self._codes.add(np.array(places, dtype=self._codes.dtype)[part.codes])

    def skip(self, rows: int) -> None:
        """Append rows without a label."""
        self._known.add(np.zeros(rows, dtype=np.bool_))
        if self._storage == "objects":
            self._objects.append(pa.nulls(rows))
        elif self._storage == "code_lists":
            self._lengths.add(np.zeros(rows))
        else:
            self._codes.add(np.full(rows, -1))

    def joined(self) -> Column:
        """All parts end to end."""
        known = self._known.array()
        if self._storage == "objects":
            types = [part.type for part in self._objects if not pa.types.is_null(part.type)] or [pa.null()]
            return ObjectColumn(known, pa.chunked_array([part.cast(types[0]) for part in self._objects], types[0]))
        offsets = np.concatenate([[0], np.cumsum(self._lengths.array(), dtype=np.int64)]) if self._storage == "code_lists" else None
        values = None if self._storage == "numbers" else tuple(self._places)
        return CodedColumn(known, self._codes.array(), values, offsets)


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

    def only(self, wanted: Mask) -> "Groups":
        """The wanted places; of each, whether it is wanted."""
        kept = wanted[self.places]
        return Groups(np.concatenate([[0], np.cumsum(kept)])[self.offsets], self.places[kept])

    def shifted(self, by: int) -> "Groups":
        """All places moved."""
        return Groups(self.offsets, self.places + by)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: Any) -> Any:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self.places[self.offsets[row] : self.offsets[row + 1]]
