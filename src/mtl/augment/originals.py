"""The texts of a dataset as a sorted list of hashes, which tells variants that repeat one of them.

The list lies in a temporary file that is mapped into memory, so that memory does not grow with the dataset. Two different texts
have the same hash of 64 bits about once in 10¹² comparisons of a variant with ten million originals; a variant is then dropped for nothing.
"""

import tempfile
from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.augment.randomness import Words, hash_strings, mix
from mtl.data.coded import Lists, look_up, same

_BASE = 0x9E3779B97F4A7C15
_LONG = 24  # bytes
_OWN = np.array([2 ** (8 * count) - 1 for count in range(9)], dtype=np.uint64)
"""What of 8 bytes belongs to a word that has so many of them left."""
_AT_ONCE = 2_048  # texts, so that what is reckoned for their tokens stays in the processor's cache


class TextHashes:
    """Hashes of texts, which are equal only if the tokens are, whatever spaces stand between them.

    A text's is the polynomial of the hashes of its tokens at ``_BASE`` (Karp & Rabin 1987, "Efficient randomized pattern-matching
    algorithms"), modulo 2⁶⁴.

    Args:
        known: vocabularies whose hashes are kept, since texts of theirs come again.
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
        """Those of some texts, whose tokens' codes begin and end at these offsets."""
        codes = codes[offsets[0] : offsets[-1]]
        if len(self._powers) <= len(codes):
            self._powers, self._inverse = (_powers(int(powers[1]), len(codes) * 9 // 8) for powers in (self._powers, self._inverse))
        terms = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.multiply(look_up(hashes, codes), self._powers[: len(codes)], out=terms[:-1])
        starts = offsets[:-1] - offsets[0]
        found: Words = np.where(np.diff(offsets) > 0, np.add.reduceat(terms, starts), 0) * self._inverse.take(starts)
        return found

    def _of_words(self, words: pa.Array) -> Words:
        """Those that stood at the beginning of words asked for before are not made again: parts of a file are looked at more than once."""
        none = (words.slice(0, 0), np.zeros(0, dtype=np.uint64))
        known, hashes = next((pair for pair in self._known if same(words.slice(0, len(pair[0])), pair[0])), none)
        if len(words) > len(known):
            hashes = np.concatenate([hashes, _hash_words(words.slice(len(known)))])
            self._known.appendleft((words, hashes))
        return hashes


def _hash_words(words: pa.Array) -> Words:
    """64 bits of the UTF-8 of each word, [words]: its length and each 8 bytes of it, mixed one after the other; XXH3 of long ones."""
    _, offsets, content = words.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[words.offset : words.offset + len(words) + 1]
    padded = np.concatenate([np.frombuffer(content or b"", dtype=np.uint8)[: bounds[-1]], np.zeros(8, dtype=np.uint8)])
    blocks = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))  # one begins at each byte
    starts, left = bounds[:-1].astype(np.int64), np.diff(bounds)
    found = mix((left + 1).astype(np.uint64) * np.uint64(_BASE) ^ blocks[starts] & _OWN[np.minimum(left, 8)])
    place = np.arange(len(words))
    for _ in range(8, _LONG, 8):
        more = np.flatnonzero(left > 8)
        place, starts, left = place[more], starts[more] + 8, left[more] - 8
        found[place] = mix(found[place] ^ blocks[starts] & _OWN[np.minimum(left, 8)])
    long = place[left > 8]
    found[long] = hash_strings(words.take(pa.array(long)))
    return found


def _powers(base: int, most: int) -> Words:
    """The powers of a number from 0 to ``most``, modulo 2⁶⁴."""
    factors = np.full(most + 1, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


class Originals:
    """The texts of all splits of a dataset.

    Args:
        texts: hashes of the texts, in parts.
        rows: how many there are.
    """

    def __init__(self, texts: Iterable[Words], rows: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self._sorted: Words = np.memmap(self._file, dtype=np.uint64, mode="w+", shape=max(rows, 1))
        place = 0
        for part in texts:
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
