"""Rows as subwords in files: 3 to 5 bytes a subword that cost no memory. Only the rows of a batch are read.

A table is stored once for a tokenizer, without special subwords and however long its rows are. What differs between runs is applied when
rows are read: which rows they use, their markers, and where they are cut.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.encoders.tokenizer import Encoded, Field, Ints, SubwordTokenizer, Table, Uncut, ranges, starts_of, with_markers
from mtl.encoders.windows import around, windows

PART = 8192
"""Rows looked at together."""
WORDS = 2**18
"""Distinct words whose subwords are remembered, some tens of MB."""
GAP = 4096
"""Items between two rows below which both are read at once."""


# --- writing ----------------------------------------------------------------------------------------------------------


class Coded(NamedTuple):
    """Some rows of one or two text fields, as the arguments of ``SubwordTokenizer.encode_distinct``."""

    words: list[str]
    left: Field
    right: Field | None = None


def coded(left: pa.Array, right: pa.Array | None = None) -> Coded:
    """Rows whose fields are lists of strings; a null list is a right field that a row does not have."""
    fields = [left] if right is None else [left, right]
    tokens = pa.concat_arrays([field.flatten() for field in fields]).dictionary_encode()
    codes, counts = np.asarray(tokens.indices, dtype=np.int64), [_counts(field) for field in fields]
    cuts = np.cumsum([np.maximum(part, 0).sum() for part in counts])[:-1]
    own = list(map(Field, np.split(codes, cuts), counts))
    return Coded(tokens.dictionary.to_pylist(), own[0], own[1] if len(own) > 1 else None)


def _counts(field: pa.Array) -> Ints:
    return np.asarray(pc.list_value_length(field).fill_null(-1), dtype=np.int64)


def store_rows(tokenizer: SubwordTokenizer, parts: Iterable[tuple[pa.Array, pa.Array | None]], folder: Path) -> None:
    """Write the subwords of all rows of a table into a folder, which ``StoredTable`` reads.

    Args:
        tokenizer: of the encoder.
        parts: some rows at a time, of the first text field and of the second, if the table has one; see ``coded``.
        folder: exists and is empty.
    """
    number = np.uint16 if tokenizer.size <= 2**16 else np.int32
    words, writers = _Words(tokenizer), list[_FieldWriter]()
    for left, right in parts:
        fields = words.uncut(coded(left, right))
        writers = writers or [_FieldWriter(folder, place, number) for place in range(len(fields))]
        for writer, field in zip(writers, fields, strict=True):
            writer.add(field)
    for writer in writers or [_FieldWriter(folder, 0, number)]:
        writer.close()


class _Words:
    """The subwords of words, each cut once, in however many parts of a table it occurs."""

    def __init__(self, tokenizer: SubwordTokenizer) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def _forget(self) -> None:
        self._codes: dict[str, int] = {}
        self._table = self._tokenizer.table([])

    def uncut(self, rows: Coded) -> list[Uncut]:
        """The subwords of each field."""
        if len(self._codes) > WORDS:
            self._forget()
        if new := [word for word in rows.words if word not in self._codes]:
            self._codes.update(zip(new, range(len(self._codes), len(self._codes) + len(new)), strict=True))
            self._table = _joined(self._table, self._tokenizer.table(new))
        codes = np.array([self._codes[word] for word in rows.words], dtype=np.int64)
        return [self._table.look_up(Field(codes[field.token], field.counts)) for field in rows[1:] if field is not None]


def _joined(one: Table, other: Table) -> Table:
    starts = np.concatenate([one.starts, one.starts[-1] + other.starts[1:]])
    return Table(np.concatenate([one.subwords, other.subwords]), starts, np.concatenate([one.word_shape_ids, other.word_shape_ids]))


class _FieldWriter:
    """The three files of a text field."""

    def __init__(self, folder: Path, number: int, subword: npt.DTypeLike) -> None:
        types = {"subwords": subword, "word_shape_ids": np.int8, "ends": np.int64}
        self._files = {name: _Growing(folder / f"{number}.{name}.npy", dtype) for name, dtype in types.items()}
        self._end = 0

    def add(self, field: Uncut) -> None:
        self._files["subwords"].add(field.subwords)
        self._files["word_shape_ids"].add(field.word_shape_ids)
        self._files["ends"].add(self._end + field.offsets[1:])
        self._end += int(field.offsets[-1])

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _Growing:
    """An ``.npy`` file of a flat array that comes in parts."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._dtype, self._size, self._file = np.dtype(dtype), 0, path.open("wb")
        self._write_header()

    def add(self, part: npt.NDArray[Any]) -> None:
        """Write a part behind what is there, cast to the array's type."""
        self._file.write(np.ascontiguousarray(part, dtype=self._dtype).data)
        self._size += len(part)

    def close(self) -> None:
        """Write how many items there are; numpy leaves space for that."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._size,)}
        np.lib.format.write_array_header_1_0(self._file, header)


# --- reading ----------------------------------------------------------------------------------------------------------


class _Filed:
    """A flat array in an ``.npy`` file. Mapped into memory, a few rows of each page would fill it: the system may map much around what is
    read. All processes that read the file share what the system keeps of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            _, _, self.dtype = np.lib.format.read_array_header_1_0(file)
            self._begin = file.tell()

    def read(self, starts: Ints, stops: Ints) -> list[npt.NDArray[Any]]:
        """The items of some ranges."""
        size = self.dtype.itemsize
        with self._path.open("rb", buffering=0) as file:
            return [
                np.frombuffer(os.pread(file.fileno(), (stop - start) * size, self._begin + start * size), dtype=self.dtype)
                for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
            ]


class _FieldReader:
    """A text field of a table."""

    def __init__(self, folder: Path, number: int) -> None:
        self.subwords, self.word_shape_ids = (_Filed(folder / f"{number}.{name}.npy") for name in ("subwords", "word_shape_ids"))
        self.offsets: Ints = np.concatenate([[0], np.load(folder / f"{number}.ends.npy")])


class StoredTable:
    """A table that ``store_rows`` wrote."""

    def __init__(self, folder: Path, keep: object = None) -> None:
        """Open it; ``keep`` stays alive as long as the table, such as the owner of the folder."""
        self.fields = [_FieldReader(folder, number) for number in range(len(list(folder.glob("*.ends.npy"))))]
        self._keep = keep


class Rows:
    """Some rows of stored tables, as subwords without special ones."""

    def __init__(self, parts: Sequence[tuple[StoredTable, npt.NDArray[np.bool_]]]) -> None:
        """Take the rows of each table that a mask selects, ``[rows of the table]``."""
        self.tables = [table for table, _ in parts]
        self.place = np.concatenate([np.zeros(0, dtype=np.int32), *(np.flatnonzero(mask).astype(np.int32) for _, mask in parts)])
        self.table = np.repeat(np.arange(len(parts), dtype=np.int16), [np.count_nonzero(mask) for _, mask in parts])
        self.fields = max((len(table.fields) for table in self.tables), default=1)

    def __len__(self) -> int:
        return len(self.place)

    def parts(self) -> Iterator[Ints]:
        """The numbers of all rows, some at a time."""
        return (np.arange(start, min(start + PART, len(self))) for start in range(0, len(self), PART))

    def pairs(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Whether each of some rows has two fields."""
        double = np.array([len(table.fields) > 1 for table in self.tables], dtype=np.bool_)
        pairs: npt.NDArray[np.bool_] = double[self.table[rows]]
        return pairs

    def uncut(self, rows: npt.NDArray[np.integer]) -> list[Uncut]:
        """Each field of some rows, in this order; a right field that a row does not have is empty."""
        return [self._uncut(rows, number) for number in range(self.fields)]

    def counts(self) -> list[list[int]]:
        """Number of tokens by text field and row; the right field of a row that has only one is that."""
        result: list[list[int]] = [[], []]
        for part in self.parts():
            fields = self.uncut(part)
            left, right = fields[0].tokens, fields[-1].tokens
            result[0] += left.tolist()
            result[1] += np.where(self.pairs(part), right, left).tolist()
        return result

    def _uncut(self, rows: npt.NDArray[np.integer], number: int) -> Uncut:
        tables, places = self.table[rows], self.place[rows]
        at, sizes = np.zeros((2, len(rows)), dtype=np.int64)
        subwords, word_shape_ids, length = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int8)], 0
        for table in np.unique(tables).tolist():
            if number < len(self.tables[table].fields):
                field, own = self.tables[table].fields[number], np.flatnonzero(tables == table)
                starts, stops = field.offsets[places[own]], field.offsets[places[own] + 1]
                begins, ends, within = _spans(starts, stops)
                at[own], sizes[own] = length + within, stops - starts
                subwords += field.subwords.read(begins, ends)
                word_shape_ids += field.word_shape_ids.read(begins, ends)
                length += int((ends - begins).sum())
        own = ranges(at, sizes)
        return Uncut(np.concatenate(subwords, dtype=np.int32)[own], np.concatenate(word_shape_ids)[own], starts_of(sizes))


def _spans(starts: Ints, stops: Ints) -> tuple[Ints, Ints, Ints]:
    """Ranges that cover all of some rows, those near each other in one: begin and end of each, and the place of each row within all."""
    between = starts[1:] - stops[:-1]
    new = np.concatenate([[True], (between < 0) | (between > GAP)])
    begins, ends = starts[new], stops[np.append(new[1:], True)]
    span = np.cumsum(new) - 1
    return begins, ends, starts - begins[span] + starts_of(ends - begins)[span]


class Markers(NamedTuple):
    """The markers that some rows have between their tokens."""

    field: int
    """The number of the text field."""
    places: npt.NDArray[np.integer]
    """``[rows, markers]``; see ``with_markers``."""
    indices: Ints
    """``[markers]``."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows become input of an encoder."""

    tokenizer: SubwordTokenizer
    max_length: int
    """In subwords."""
    markers: Sequence[Markers] = ()
    passages: npt.NDArray[np.integer] | None = None
    """``[rows, 2]``, what must be kept of rows that are too long; see ``around``."""

    def marked(self, rows: Rows, own: npt.NDArray[np.integer]) -> list[Uncut]:
        """Each field of some rows with its markers."""
        fields = rows.uncut(own)
        for field, places, indices in self.markers:
            if field < len(fields):
                fields[field] = with_markers(fields[field], places[own], indices)
        return fields

    def encode(self, rows: Rows, own: npt.NDArray[np.integer]) -> Encoded:
        """Some rows, each cut to one window."""
        fields, pairs = self.marked(rows, own), rows.pairs(own)
        if self.passages is None:
            return self.tokenizer.beginning(fields, pairs, self.max_length)
        return around(self.tokenizer, fields, pairs, self.max_length, self.passages[own])

    def windows(self, rows: Rows, stride: int | None) -> Encoded:
        """All rows, those that are too long in several windows; see ``mtl.encoders.windows.windows``."""
        own = np.arange(len(rows))
        return windows(self.tokenizer, self.marked(rows, own), rows.pairs(own), self.max_length, stride)


@dataclass(frozen=True, slots=True)
class Stored:
    """Encoded rows, as ``Encoded``, with figures of all rows."""

    rows: Rows
    layout: Layout
    lengths: npt.NDArray[np.int32]
    """``[rows]``, subwords of each row."""
    lost: npt.NDArray[np.int32]
    used: Ints
    """The subwords that occur, sorted."""
    sha256: str
    """Of all rows."""
    numbers: npt.NDArray[np.int32] | None = None

    @classmethod
    def of(cls, rows: Rows, layout: Layout) -> "Stored":
        """Look at all rows once."""
        occurs, digest = np.zeros(layout.tokenizer.size, dtype=np.bool_), hashlib.sha256()
        lengths, lost = np.zeros((2, len(rows)), dtype=np.int32)
        for part in rows.parts():
            encoded = layout.encode(rows, part)
            lengths[part], lost[part] = encoded.lengths, encoded.lost
            occurs[encoded.subwords] = True
            for array in (encoded.subwords, encoded.word_shape_ids, encoded.lengths, encoded.boundary, encoded.begin):
                digest.update(b"" if array is None else np.ascontiguousarray(array).data)
        return cls(rows, layout, lengths, lost, np.flatnonzero(occurs), digest.hexdigest())

    def take(self, rows: npt.NDArray[np.integer]) -> Encoded:
        """Some of the rows, in this order."""
        return replace(self.layout.encode(self.rows, rows), numbers=self.numbers)

    def digest(self) -> str:
        """sha256 of all rows."""
        return self.sha256
