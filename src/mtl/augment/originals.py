"""The rows of a dataset as a sorted list of hashes of their texts, by which variants that repeat a row are dropped.

The list lies in a temporary file that is mapped into memory, so that memory does not grow with the dataset. Two different texts
have the same hash of 64 bits about once in 10¹² comparisons of a variant with ten million originals; a variant is then dropped for nothing.
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.augment.randomness import Words, hash_strings, mix
from mtl.data.coded import Lists, look_up, same

_BASE = 0x9E3779B97F4A7C15
_LONG = 24  # bytes
_OWN = np.array([2 ** (8 * count) - 1 for count in range(9)], dtype=np.uint64)
"""Mask of the bytes of a block of 8 that belong to a word with so many bytes left."""
_AT_ONCE = 2_048  # texts, so that the hashes of their tokens stay in the processor's cache


class TextHashes:
    """Hashes of texts. They are equal only if the tokens are, whatever spaces stand between them.

    The hash of a text is the polynomial of the hashes of its tokens at ``_BASE`` (Karp & Rabin 1987, "Efficient randomized pattern-matching
    algorithms"), modulo 2⁶⁴.

    Args:
        known: number of vocabularies for which hashes of words are kept, since texts with the same vocabulary come again.
    """

    def __init__(self, known: int = 1) -> None:
        self._known: deque[tuple[pa.Array, Words]] = deque(maxlen=known)
        self._powers, self._inverse = _powers(_BASE, 1), _powers(pow(_BASE, -1, 2**64), 1)

    def __call__(self, texts: Lists) -> Words:
        """[texts]"""
        hashes = self._of_words(texts.words)
        cuts = range(0, len(texts.lengths), _AT_ONCE)
        parts = [self._part(hashes, texts.codes, texts.offsets[start : start + _AT_ONCE + 1]) for start in cuts]
        return np.concatenate([np.zeros(0, dtype=np.uint64), *parts])

    def _part(self, hashes: Words, codes: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> Words:
        """The hashes of some texts, from the offsets at which their tokens' codes begin and end."""
        codes = codes[offsets[0] : offsets[-1]]
        if len(self._powers) <= len(codes):
            self._powers, self._inverse = (_powers(int(powers[1]), len(codes) * 9 // 8) for powers in (self._powers, self._inverse))
        terms = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.multiply(look_up(hashes, codes), self._powers[: len(codes)], out=terms[:-1])
        starts = offsets[:-1] - offsets[0]
        of_texts: Words = np.where(np.diff(offsets) > 0, np.add.reduceat(terms, starts), 0) * self._inverse.take(starts)
        return of_texts

    def _of_words(self, words: pa.Array) -> Words:
        """The hash of each word. Known vocabularies are not hashed again: each part of a file is read more than once."""
        none = (words.slice(0, 0), np.zeros(0, dtype=np.uint64))
        known, hashes = next((pair for pair in self._known if same(words.slice(0, len(pair[0])), pair[0])), none)
        if len(words) > len(known):
            hashes = np.concatenate([hashes, _hash_words(words.slice(len(known)))])
            self._known.appendleft((words, hashes))
        return hashes


def _hash_words(words: pa.Array) -> Words:
    """A hash of 64 bits of the UTF-8 of each word, [words]: its length and each block of 8 bytes, mixed in turn; XXH3 of long words."""
    _, offsets, content = words.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[words.offset : words.offset + len(words) + 1]
    padded = np.concatenate([np.frombuffer(content or b"", dtype=np.uint8)[: bounds[-1]], np.zeros(8, dtype=np.uint8)])
    blocks = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))  # one begins at each byte
    starts, left = bounds[:-1].astype(np.int64), np.diff(bounds)
    hashes = mix((left + 1).astype(np.uint64) * np.uint64(_BASE) ^ blocks[starts] & _OWN[np.minimum(left, 8)])
    place = np.arange(len(words))
    for _ in range(8, _LONG, 8):
        more = np.flatnonzero(left > 8)
        place, starts, left = place[more], starts[more] + 8, left[more] - 8
        hashes[place] = mix(hashes[place] ^ blocks[starts] & _OWN[np.minimum(left, 8)])
    long = place[left > 8]
    hashes[long] = hash_strings(words.take(pa.array(long)))
    return hashes


def _powers(base: int, most: int) -> Words:
    """The powers of a number from 0 to ``most``, modulo 2⁶⁴."""
    factors = np.full(most + 1, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


def hash_rows(fields: Sequence[Words]) -> Words:
    """Hashes of rows from those of the texts of each of their fields, [rows]; of a single field they are its own."""
    return reduce(lambda row, text: mix(row) + text, fields)


class Originals:
    """The rows of all splits of a dataset, by the texts of all their fields.

    Args:
        rows: hashes of the rows, in parts.
        count: how many there are.
    """

    def __init__(self, rows: Iterable[Words], count: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._sorted: Words = np.memmap(self._file, dtype=np.uint64, mode="w+", shape=max(count, 1))
        place = 0
        for part in rows:
            self._sorted[place : place + len(part)] = part
            place += len(part)
        self._sorted = self._sorted[:place]
        self._sorted.sort()

    def contain(self, keys: Words) -> npt.NDArray[np.bool_]:
        """Whether each hash is that of an original, [rows]."""
        if not len(self._sorted):
            return np.zeros(len(keys), dtype=bool)
        ordered = np.sort(keys)  # each is then looked for near the one before
        places = np.searchsorted(self._sorted, ordered)
        return np.isin(keys, ordered[self._sorted.take(places, mode="clip") == ordered])
