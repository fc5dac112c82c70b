"""Canonical tables whose strings are codes: Arrow dictionaries, as Parquet stores them.

What needs a token's letters is then done once for each distinct token, and no string is copied from reading to writing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NAMES = ("id", "parent_id")
"""Columns that stay strings: nearly every row has one of its own."""

CODE = pa.dictionary(pa.int32(), pa.string())
"""The Arrow type of a coded string."""

_FEW = 8  # distinct strings
Value = TypeVar("Value", bound=np.generic)


def coded(schema: pa.Schema) -> pa.Schema:
    """A schema with codes for strings; a Parquet file of it is a file of the schema given."""
    fields = [field if field.name in NAMES else field.with_type(_replaced(field.type, pa.string(), CODE)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def plain(table: pa.Table) -> pa.Table:
    """A table with strings for codes."""
    fields = [field.with_type(_replaced(field.type, CODE, pa.string())) for field in table.schema]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def _replaced(found: pa.DataType, old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """A type, or a type of lists, with another in the place of one."""
    if found == list_of(old):
        return list_of(new)
    return new if found == old else found


def list_of(kind: pa.DataType) -> pa.DataType:
    """The type of lists of such items, none of them null: Parquet then has less to write and read of each."""
    return pa.list_(pa.field("element", kind, nullable=False))


class Lists(NamedTuple):
    """A column of lists of strings. The items of all rows lie end to end; a row that is null has none."""

    codes: npt.NDArray[np.int32]
    """Each item as its place in ``words``, [items]."""
    words: pa.Array
    """Distinct strings; more than occur, perhaps."""
    offsets: npt.NDArray[np.int64]
    """Where the items of each row begin, and the last ends, [rows + 1]."""

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> Self:
        """A column of strings or of codes. An item that is null counts as the empty string."""
        lists = _one(column)
        items = lists.flatten()
        if items.null_count:
            items = pc.fill_null(items.cast(pa.string()), "")
        if not isinstance(items, pa.DictionaryArray):
            items = items.dictionary_encode()
        return cls(items.indices.to_numpy(), items.dictionary, _offsets(lists))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[rows]."""
        return np.diff(self.offsets)

    def owners(self) -> npt.NDArray[np.int64]:
        """The row of each item, [items]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    def blank(self) -> npt.NDArray[np.bool_]:
        """Whether a row has no letter, [rows]."""
        empty = pc.binary_length(self.words).to_numpy() == 0
        letters = np.bincount(self.owners()[~look_up(empty, self.codes)], minlength=len(self.lengths)) if empty.any() else self.lengths
        blank: npt.NDArray[np.bool_] = letters == 0
        return blank

    def array(self) -> pa.Array:
        """The column, with codes and without nulls."""
        items = pa.DictionaryArray.from_arrays(pa.array(self.codes, pa.int32()), self.words, safe=False)
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), items, type=list_of(CODE))


def look_up(values: npt.NDArray[Value], codes: npt.NDArray[np.int32]) -> npt.NDArray[Value]:
    """``values[codes]``, in a fraction of the time: numpy would make 64 bits of each code first.

    Raises:
        IndexError: a code is no place in ``values``.
    """
    if len(codes) and codes.view(np.uint32).max() >= len(values):  # a negative code is a great number without a sign
        raise IndexError(f"a code is none of 0 to {len(values) - 1}")
    numbers = values.view(np.uint8) if values.dtype == bool else values
    found: npt.NDArray[Value] = pc.take(pa.array(numbers), pa.array(codes), boundscheck=False).to_numpy().view(values.dtype)
    return found


def take(table: pa.Table, rows: npt.NDArray[np.integer[Any]]) -> pa.Table:
    """Rows of a table, by their places. Arrow would move the items of lists list by list, for each column anew."""
    columns, last = [], None
    for column in table.columns:
        if not pa.types.is_list(column.type):
            columns.append(column.take(pa.array(rows)))
            continue
        lists = _one(column)
        offsets = _offsets(lists)
        if last is None or not np.array_equal(last, offsets):
            last, (ends, places) = offsets, _places(offsets, rows)
        items = pc.take(lists.flatten(), places, boundscheck=False)
        mask = lists.is_null().take(pa.array(rows)) if lists.null_count else None
        columns.append(pa.ListArray.from_arrays(ends, items, type=column.type, mask=mask))
    return pa.table(columns, schema=table.schema)


def _places(offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer[Any]]) -> tuple[pa.Array, pa.Array]:
    """Of lists of some rows: their offsets end to end, and the place of each item among those of all rows."""
    starts, lengths = offsets[rows], np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)], dtype=np.int32)
    places = np.repeat((starts - ends[:-1]).astype(np.int32), lengths)
    places += np.arange(len(places), dtype=np.int32)
    return pa.array(ends), pa.array(places)


def same(first: pa.Array, second: pa.Array) -> bool:
    """Whether two arrays of strings are equal; at once where they are one."""
    if len(first) == len(second) and first.offset == second.offset and _addresses(first) == _addresses(second):
        return True
    return bool(first.equals(second))


def _addresses(strings: pa.Array) -> list[int]:
    return [buffer.address for buffer in strings.buffers() if buffer is not None]


def slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """A table cut into some of up to so many rows. None of them is kept once it was given."""
    cuts = [table.slice(start, rows) for start in range(0, len(table), rows)]
    del table
    while cuts:
        yield cuts.pop(0)


def pruned(table: pa.Table) -> pa.Table:
    """A coded table whose dictionaries hold each string once and none that does not occur: Parquet writes whole dictionaries."""
    return pa.table([_pruned(column) for column in table.columns], schema=table.schema)


def _pruned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type == CODE:
        return pa.chunked_array(_without_spare(column.chunks), column.type)
    if column.type != list_of(CODE):
        return column
    items = _without_spare([lists.flatten() for lists in column.chunks])
    return pa.chunked_array([_lists(*pair) for pair in zip(column.chunks, items, strict=True)], column.type)


def _lists(lists: pa.ListArray, items: pa.Array) -> pa.ListArray:
    """Lists with other items in the place of theirs."""
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(pa.array(_offsets(lists), pa.int32()), items, type=lists.type, mask=mask)


def _without_spare(parts: Sequence[pa.DictionaryArray]) -> list[pa.DictionaryArray]:
    """The same with one dictionary for all."""
    if not all(same(parts[0].dictionary, part.dictionary) for part in parts[1:]):  # Arrow would look at each string all the same
        parts = pa.chunked_array(parts).unify_dictionaries().chunks
    words = parts[0].dictionary
    used = np.zeros(len(words), dtype=bool)
    for part in parts:
        _mark(used, part.indices.drop_null().to_numpy())
    distinct = words.take(pa.array(np.flatnonzero(used))).dictionary_encode()
    if len(distinct.dictionary) == len(words):
        return list(parts)
    codes = np.zeros(len(used), dtype=np.int32)
    codes[used] = distinct.indices.to_numpy()
    places = pa.array(codes)
    return [pa.DictionaryArray.from_arrays(places.take(part.indices), distinct.dictionary, safe=False) for part in parts]


def _mark(used: npt.NDArray[np.bool_], codes: npt.NDArray[np.int32]) -> None:
    """Mark the places that are codes; of few places each is looked for, which is faster."""
    if len(used) > _FEW:
        used[codes] = True
    else:
        for place in np.flatnonzero(~used).tolist():
            used[place] = (codes == place).any()


def _offsets(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    if lists.null_count or not len(lists):
        return np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())], dtype=np.int64)
    offsets: npt.NDArray[np.int64] = np.subtract(lists.offsets.to_numpy(), lists.offsets[0].as_py(), dtype=np.int64)
    return offsets


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array, without copying one that is."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
