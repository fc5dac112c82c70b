"""Texts to compare: their hashes in memory, 17 bytes a text, and their normalised forms, called keys, in scratch files."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from mtl.data.spill import Spill, divided, parts
from mtl.data.splits import normalised

NEAR_WORDS = 3
"""Smallest number of words of a near duplicate: "London 1996" is not a near duplicate of "London!"."""

KEY = pa.schema([pa.field("key", pa.string(), nullable=False)])
Numbers = npt.NDArray[np.int64]


class Keys(NamedTuple):
    """Texts by their numbers, from 0. Two texts count as equal if their hashes of 64 bits are."""

    texts: npt.NDArray[np.uint64]
    """Hash of each text, [texts]."""
    keys: npt.NDArray[np.uint64]
    """Hash of each key, [texts]."""
    long: npt.NDArray[np.bool_]
    """Whether a key has at least ``NEAR_WORDS`` words, [texts]."""
    files: tuple[Spill, ...]
    """The keys themselves."""

    def read(self, rows: Numbers) -> Iterator[tuple[Numbers, pa.Array]]:
        """The keys of some texts, part by part, with their numbers.

        Args:
            rows: numbers of the texts, ascending.
        """
        starts = np.cumsum([0, *map(len, self.files)]).tolist()
        for start, file, numbers in zip(starts[:-1], self.files, divided(rows, starts), strict=True):
            for part, table in file.read(numbers - start):
                yield part + start, table.column(0).combine_chunks()


def joined(datasets: Sequence[Keys]) -> Keys:
    """The texts of several datasets, numbered one after the other."""
    texts, keys, long = (np.concatenate(arrays) for arrays in zip(*(own[:3] for own in datasets), strict=True))
    return Keys(texts, keys, long, tuple(file for own in datasets for file in own.files))


class KeysWriter:
    """Takes texts part by part."""

    def __init__(self, path: Path) -> None:
        self._file = Spill(path, KEY)
        self._texts, self._keys, self._long = array("Q"), array("Q"), array("b")

    def add(self, texts: Sequence[str]) -> list[str]:
        """Add texts; returns their keys."""
        keys = [normalised(text) for text in texts]
        self._texts.extend(map(hash_of, texts))
        self._keys.extend(map(hash_of, keys))
        self._long.extend(_words(key) >= NEAR_WORDS for key in keys)
        for part in parts(keys, _words):
            self._file.write(pa.table([pa.array(part, pa.string())], schema=KEY))
        return keys

    @property
    def keys(self) -> Keys:
        """All texts, once the block has ended."""
        texts, keys = (np.array(hashes, np.uint64) for hashes in (self._texts, self._keys))
        return Keys(texts, keys, np.array(self._long, bool), (self._file,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.__exit__(type_, error, trace)


def _words(key: str) -> int:
    return key.count(" ") + 1


def hash_of(text: str) -> int:
    """A hash of 64 bits that is the same everywhere."""
    return xxh3_64_intdigest(text.encode())
