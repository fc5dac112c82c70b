"""Canonical tables with dictionary-encoded strings, as Parquet stores them.

Work on a token's characters is then done once per distinct token, and no string is copied between reading and writing.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NAMES = ("id", "parent_id")
"""Columns that stay strings: nearly every row has a value of its own."""

CODE = pa.dictionary(pa.int32(), pa.string())
"""Arrow type of a coded string."""

_FEW = 8  # distinct strings
Value = TypeVar("Value", bound=np.generic)


def coded(schema: pa.Schema) -> pa.Schema:
    """A schema with codes in place of strings; both schemas write the same Parquet file."""
    fields = [field if field.name in NAMES else field.with_type(_replaced(field.type, pa.string(), CODE)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def plain(table: pa.Table) -> pa.Table:
    """A table with strings in place of codes."""
    fields = [field.with_type(_replaced(field.type, CODE, pa.string())) for field in table.schema]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def _replaced(type_: pa.DataType, old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """A column's type, with ``new`` in place of ``old``, also as the items of a list."""
    if type_ == list_of(old):
        return list_of(new)
    return new if type_ == old else type_


def list_of(item: pa.DataType) -> pa.DataType:
    """The type of a list of non-null items. Parquet stores less per item if none can be null."""
    return pa.list_(pa.field("element", item, nullable=False))


class Lists(NamedTuple):
    """A column of lists of strings, with the items of all rows concatenated. A null row has no items."""

    codes: npt.NDArray[np.int32]
    """Index of each item in ``words``, [items]."""
    words: pa.Array
    """Distinct strings; some may not occur."""
    offsets: npt.NDArray[np.int64]
    """Start of each row's items, then the end of the last row, [rows + 1]."""

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> Self:
        """From a column of lists of strings or codes. A null item counts as the empty string."""
        lists = _contiguous(column)
        items = lists.flatten()
        if items.null_count:
            items = pc.fill_null(items.cast(pa.string()), "")
        if not isinstance(items, pa.DictionaryArray):
            items = items.dictionary_encode()
        return cls(items.indices.to_numpy(), items.dictionary, _offsets(lists))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of items of each row, [rows]."""
        return np.diff(self.offsets)

    def owners(self) -> npt.NDArray[np.int64]:
        """The row of each item, [items]."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    def blank(self) -> npt.NDArray[np.bool_]:
        """Whether a row has only empty strings, or no items, [rows]."""
        filled = pc.binary_length(self.words).to_numpy() > 0
        return self.lengths == 0 if filled.all() else ~self.having(filled)

    def having(self, words: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether a row has an item that is one of some of the distinct strings, [rows]."""
        found: npt.NDArray[np.bool_] = np.bincount(self.owners()[look_up(words, self.codes)], minlength=len(self.lengths)) > 0
        return found

    def array(self) -> pa.Array:
        """The column as lists of codes, without nulls."""
        items = pa.DictionaryArray.from_arrays(pa.array(self.codes, pa.int32()), self.words, safe=False)
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), items, type=list_of(CODE))


def look_up(values: npt.NDArray[Value], codes: npt.NDArray[np.int32]) -> npt.NDArray[Value]:
    """``values[codes]``, but much faster: numpy would first convert each code to 64 bits.

    Raises:
        IndexError: a code is not an index of ``values``.
    """
    if len(codes) and codes.view(np.uint32).max() >= len(values):  # as unsigned numbers, negative codes are large
        raise IndexError(f"a code is not in the range 0 to {len(values) - 1}")
    numbers = values.view(np.uint8) if values.dtype == bool else values
    result: npt.NDArray[Value] = pc.take(pa.array(numbers), pa.array(codes), boundscheck=False).to_numpy().view(values.dtype)
    return result


def take(table: pa.Table, rows: npt.NDArray[np.integer[Any]]) -> pa.Table:
    """Rows of a table by index. Arrow's own ``take`` copies list by list, and starts again for each column."""
    columns, last = [], None
    for column in table.columns:
        if not pa.types.is_list(column.type):
            columns.append(column.take(pa.array(rows)))
            continue
        lists = _contiguous(column)
        offsets = _offsets(lists)
        if last is None or not np.array_equal(last, offsets):
            last, (ends, indices) = offsets, _item_indices(offsets, rows)
        items = pc.take(lists.flatten(), indices, boundscheck=False)
        mask = lists.is_null().take(pa.array(rows)) if lists.null_count else None
        columns.append(pa.ListArray.from_arrays(ends, items, type=column.type, mask=mask))
    return pa.table(columns, schema=table.schema)


def _item_indices(offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer[Any]]) -> tuple[pa.Array, pa.Array]:
    """For the lists of some rows: their offsets once concatenated, and the index of each item among those of all rows."""
    starts, lengths = offsets[rows], np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(lengths)], dtype=np.int32)
    indices = np.repeat((starts - ends[:-1]).astype(np.int32), lengths)
    indices += np.arange(len(indices), dtype=np.int32)
    return pa.array(ends), pa.array(indices)


def same(first: pa.Array, second: pa.Array) -> bool:
    """Whether two arrays of strings are equal; immediate if they share their buffers."""
    if len(first) == len(second) and first.offset == second.offset and _addresses(first) == _addresses(second):
        return True
    return bool(first.equals(second))


def _addresses(strings: pa.Array) -> list[int]:
    return [buffer.address for buffer in strings.buffers() if buffer is not None]


def slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """A table in parts of at most ``rows`` rows. Each part is released once it is yielded."""
    parts = [table.slice(start, rows) for start in range(0, len(table), rows)]
    del table
    while parts:
        yield parts.pop(0)


def pruned(table: pa.Table) -> pa.Table:
    """A coded table with dictionaries of only the strings that occur, each once: Parquet writes whole dictionaries."""
    return pa.table([_pruned(column) for column in table.columns], schema=table.schema)


def _pruned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type == CODE:
        return pa.chunked_array(_with_shared_dictionary(column.chunks), column.type)
    if column.type != list_of(CODE):
        return column
    items = _with_shared_dictionary([lists.flatten() for lists in column.chunks])
    return pa.chunked_array([_lists(*pair) for pair in zip(column.chunks, items, strict=True)], column.type)


def _lists(lists: pa.ListArray, items: pa.Array) -> pa.ListArray:
    """Lists with their items replaced."""
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(pa.array(_offsets(lists), pa.int32()), items, type=lists.type, mask=mask)


def _with_shared_dictionary(parts: Sequence[pa.DictionaryArray]) -> list[pa.DictionaryArray]:
    """The same parts with one dictionary of the strings that occur."""
    if not all(same(parts[0].dictionary, part.dictionary) for part in parts[1:]):  # Arrow would compare each string even so
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
    new_codes = pa.array(codes)
    return [pa.DictionaryArray.from_arrays(new_codes.take(part.indices), distinct.dictionary, safe=False) for part in parts]


def _mark(used: npt.NDArray[np.bool_], codes: npt.NDArray[np.int32]) -> None:
    """Mark the codes that occur. For few distinct strings it is faster to search for each."""
    if len(used) > _FEW:
        used[codes] = True
    else:
        for code in np.flatnonzero(~used).tolist():
            used[code] = (codes == code).any()


def _offsets(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    if lists.null_count or not len(lists):
        return np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())], dtype=np.int64)
    offsets: npt.NDArray[np.int64] = np.subtract(lists.offsets.to_numpy(), lists.offsets[0].as_py(), dtype=np.int64)
    return offsets


def _contiguous(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array, copied only if it has several chunks."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
