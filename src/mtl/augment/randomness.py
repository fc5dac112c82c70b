"""Counter-based randomness: each draw is a hash of where it is used, never the next number of a shared generator.

So a shard is the same for any number of cores, in any order, by itself or beside others. The mixing step is that of splitmix64
(Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators").
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from mtl.config import TEXT

Words = npt.NDArray[np.uint64]

_AT_ONCE = 8_192  # strings that are Python objects at one time
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """The finaliser of splitmix64, element by element: every input bit moves about half of the output bits."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def uniform(words: Words) -> npt.NDArray[np.float64]:
    """Draws as numbers in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def hash_strings(strings: pa.Array | pa.ChunkedArray) -> Words:
    """XXH3, 64 bits, of the UTF-8 of each string, [strings]."""
    hashes = np.empty(len(strings), dtype=np.uint64)
    for start in range(0, len(strings), _AT_ONCE):
        part = strings.slice(start, _AT_ONCE).cast(pa.binary()).to_pylist()
        hashes[start : start + len(part)] = np.fromiter(map(xxh3_64_intdigest, part), dtype=np.uint64, count=len(part))
    return hashes


class Stream(NamedTuple):
    """The randomness of one augmentation method in one text field under one seed."""

    seed: int
    method: str
    field: str = TEXT

    def key(self, row_id: str) -> int:
        """A number of 64 bits for a row."""
        return int(self.keys(pa.array([row_id]))[0])

    def keys(self, row_ids: pa.Array | pa.ChunkedArray) -> Words:
        """``key`` of each row, [rows]."""
        name = f"{self.seed}\0{self.method}" + ("" if self.field == TEXT else f"\0{self.field}")
        return mix(hash_strings(row_ids) + hash_strings(pa.array([name])))


def draws(keys: Words, copy: int, positions: npt.NDArray[np.int64] | int, purpose: int = 0) -> Words:
    """One word of 64 random bits for each key and position.

    Args:
        keys: [n], of ``Stream.keys``.
        copy: which variant of the row.
        positions: [n] or one number, such as a token's index in its row.
        purpose: tells draws apart that one position needs for several ends.
    """
    # arrays of one element, not scalars: only arrays wrap around in silence
    counter = np.atleast_1d(np.asarray(positions, dtype=np.uint64)) * np.uint64(4) + np.uint64(purpose)
    variant = mix(keys + (np.array([copy], dtype=np.uint64) + np.uint64(1)) * _GOLDEN)
    return mix(variant + (counter + np.uint64(1)) * _GOLDEN)
