"""Encoded rows in files: 3 to 5 bytes a subword that cost no memory. Only the rows of a batch are read."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.encoders.tokenizer import Encoded, Field, Ints, SubwordTokenizer, taken
from mtl.encoders.windows import encode_around


class Filed:
    """A flat array in a file without a name, read by slices. Mapped into memory, a few rows of each page would fill it: the system may
    map much around what is read.
    """

    def __init__(self, dtype: npt.DTypeLike, folder: Path | None) -> None:
        self.dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the array

    def add(self, part: npt.NDArray[Any]) -> memoryview:
        """Write a part behind what is there; returns its bytes."""
        data = np.ascontiguousarray(part, dtype=self.dtype).data
        self._file.write(data)
        return data

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        self._file.flush()
        start, size = int(part.start), self.dtype.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), (int(part.stop) - start) * size, start * size), dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class Stored:
    """Encoded rows, as ``Encoded``, with figures of all rows."""

    subwords: Filed
    offsets: npt.NDArray[np.int64]
    word_shape_ids: Filed
    lost: npt.NDArray[np.int32]
    boundary: npt.NDArray[np.int32]
    begin: npt.NDArray[np.int64]
    used: npt.NDArray[np.int64]
    """The subwords that occur, sorted."""
    sha256: str
    """Of all rows."""
    numbers: npt.NDArray[np.int32] | None = None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """``[rows]``, subwords of each row."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.integer]) -> Encoded:
        """Some of the rows, in this order."""
        own = taken(self.subwords, self.word_shape_ids, self.offsets, rows)
        return Encoded(*own, self.lost[rows], self.boundary[rows], begin=self.begin[rows], numbers=self.numbers)

    def digest(self) -> str:
        """sha256 of all rows."""
        return self.sha256


class Coded(NamedTuple):
    """Some rows of one or two text fields, as the arguments of ``SubwordTokenizer.encode_distinct``."""

    words: list[str]
    left: Field
    right: Field | None = None
    passages: Ints | None = None
    """What must be kept of rows that are too long; see ``encode_around``."""


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


def encode_stored(tokenizer: SubwordTokenizer, parts: Iterable[pa.Array | Coded], max_length: int, folder: Path | None = None) -> Stored:
    """Encode rows part by part; see ``SubwordTokenizer.encode``.

    Args:
        tokenizer: of the encoder.
        parts: some rows at a time: lists of strings, or what ``coded`` makes of those of two fields.
        max_length: in subwords.
        folder: holds the files, which have no name and end with the process; the system's temporary folder if not given.
    """
    occurs = np.zeros(tokenizer.size, dtype=np.bool_)
    number = np.uint16 if len(occurs) <= 2**16 else np.int32
    digest, lengths = hashlib.sha256(), [np.zeros(0, dtype=np.int64)]
    losses, boundaries, begins = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
    subwords, word_shape_ids = Filed(number, folder), Filed(np.int8, folder)
    for part in parts:
        words, left, right, passages = part if isinstance(part, Coded) else coded(part)
        if passages is None:
            encoded = tokenizer.encode_distinct(words, left, max_length, right)
        else:
            encoded = encode_around(tokenizer, words, left, right, max_length, passages)
        occurs[encoded.subwords] = True
        lengths.append(encoded.lengths)
        losses.append(encoded.lost)
        boundaries.append(encoded.boundary)
        begins.append(np.zeros(len(encoded), dtype=np.int64) if encoded.begin is None else encoded.begin)
        for array, file in ((encoded.subwords, subwords), (encoded.word_shape_ids, word_shape_ids)):
            digest.update(file.add(array))
        digest.update(encoded.lengths.data)
        digest.update(encoded.boundary.data)
        digest.update(begins[-1].data)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    lost, boundary = (np.concatenate(part) for part in (losses, boundaries))
    begin, used = np.concatenate(begins), np.flatnonzero(occurs)
    return Stored(subwords, offsets, word_shape_ids, lost, boundary, begin, used, digest.hexdigest())
