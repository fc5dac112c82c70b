"""Encoded rows in files, of which only the rows of a batch are read: 3 to 5 bytes a subword that cost no memory."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.encoders.tokenizer import Encoded, SubwordTokenizer, taken


class Filed:
    """A flat array in a file without a name. Slices of it are read: were it mapped, a few rows of each page would fill the memory, for
    a system may map much around what is looked at.
    """

    def __init__(self, kind: npt.DTypeLike, folder: Path | None) -> None:
        self.dtype = np.dtype(kind)
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
    """Encoded rows, as ``Encoded``; and what is known of them without another look."""

    subwords: Filed
    offsets: npt.NDArray[np.int64]
    word_shape_ids: Filed
    lost: npt.NDArray[np.int32]
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
        return Encoded(*taken(self.subwords, self.word_shape_ids, self.offsets, rows), self.lost[rows], numbers=self.numbers)

    def digest(self) -> str:
        """sha256 of all rows."""
        return self.sha256


def encode_stored(tokenizer: SubwordTokenizer, parts: Iterable[pa.Array], max_length: int, folder: Path | None = None) -> Stored:
    """Encode rows part by part; see ``SubwordTokenizer.encode``.

    Args:
        tokenizer: of the encoder.
        parts: lists of strings, some rows at a time.
        max_length: in subwords.
        folder: where the files are, which have no name and go with the process; that of the system if not given.
    """
    occurs = np.zeros(tokenizer.size, dtype=np.bool_)
    number = np.uint16 if tokenizer.size <= 2**16 else np.int32
    digest, lengths, losses = hashlib.sha256(), [], []
    subwords, word_shape_ids = Filed(number, folder), Filed(np.int8, folder)
    for part in parts:
        tokens = part.flatten().dictionary_encode()
        codes, counts = (np.asarray(array, dtype=np.int64) for array in (tokens.indices, pc.list_value_length(part)))
        encoded = tokenizer.encode_distinct(tokens.dictionary.to_pylist(), codes, counts, max_length)
        occurs[encoded.subwords] = True
        lengths.append(encoded.lengths)
        losses.append(encoded.lost)
        for array, file in ((encoded.subwords, subwords), (encoded.word_shape_ids, word_shape_ids)):
            digest.update(file.add(array))
        digest.update(encoded.lengths.data)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, dtype=np.int64), *lengths]))])
    lost = np.concatenate([np.zeros(0, dtype=np.int32), *losses])
    return Stored(subwords, offsets, word_shape_ids, lost, np.flatnonzero(occurs), digest.hexdigest())
