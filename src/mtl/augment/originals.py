"""The texts of a data set as a sorted list of hashes, which tells variants that repeat one of them.

The list lies in a temporary file that is mapped into memory, so that memory does not grow with the data set. Two different texts
have the same hash of 64 bits about once in 10¹² comparisons of a variant with ten million originals; a variant is then dropped for nothing.
"""

import tempfile
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment.randomness import Words, hash_strings

BETWEEN = "\x1f"


def joined(tokens: pa.ChunkedArray) -> pa.ChunkedArray:
    """One string for each list of tokens; equal only if the tokens are, whatever spaces stand between them."""
    return pc.binary_join(tokens, BETWEEN)


class Originals:
    """The texts of all splits of a data set.

    Args:
        tokens: the columns of tokens, in parts.
        rows: how many rows they have together.
    """

    def __init__(self, tokens: Iterable[pa.ChunkedArray], rows: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._sorted: Words = np.memmap(self._file, dtype=np.uint64, mode="w+", shape=max(rows, 1))
        place = 0
        for part in tokens:
            self._sorted[place : place + len(part)] = hash_strings(joined(part))
            place += len(part)
        self._sorted = self._sorted[:place]
        self._sorted.sort()

    def contain(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Whether each hash is that of an original, [rows]."""
        if not len(self._sorted):
            return np.zeros(len(keys), dtype=bool)
        places = np.searchsorted(self._sorted, keys)
        return np.asarray(self._sorted[np.minimum(places, len(self._sorted) - 1)] == keys)
