"""Sets of shingles, which are words and word pairs, as arrays of numbers."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.data.coded import Lists, look_up
from mtl.data.keys import Keys, Numbers, hash_of

SHINGLE_BITS = 48
"""Bits of a shingle: the class of its frequency above its hash, so that the rarest are the smallest."""
HASH_BITS = 42
COUNTERS = 2**22
"""Counters of frequencies, at most. Shingles that share one seem more frequent, which costs time but changes no result."""
SKETCH = 4
"""Words of 64 bits of a sketch."""

Hashes = npt.NDArray[np.uint64]


class ShingleSets(NamedTuple):
    """The shingles of several texts."""

    numbers: Numbers
    """Of the texts, [texts]."""
    shingles: Hashes
    """Those of each text, ascending, one text after the other, [shingles]."""
    offsets: Numbers
    """Start of each text's shingles, then the end of the last, [texts + 1]."""
    sketches: Hashes
    """One bit for each shingle, by its hash; shingles may share a bit, [texts, ``SKETCH``]."""

    @property
    def sizes(self) -> Numbers:
        """Shingles of each text, [texts]."""
        return np.diff(self.offsets)

    def prefixes(self, threshold: float) -> tuple[Hashes, Numbers]:
        """The rarest shingles of each text, and the text that each is of: two sets of this Jaccard similarity share one of them."""
        lengths = self.sizes - np.ceil(threshold * self.sizes).astype(np.int64) + 1
        places, owners = ranges(self.offsets[:-1], lengths)
        return self.shingles[places], owners

    def gathered(self, texts: Numbers) -> tuple[Hashes, Numbers]:
        """The shingles of texts by their place, and the place in ``texts`` that each belongs to."""
        places, owners = ranges(self.offsets[texts], self.sizes[texts])
        return self.shingles[places], owners


def ranges(starts: Numbers, lengths: Numbers) -> tuple[Numbers, Numbers]:
    """The numbers of several ranges, one after the other, and the range that each is of."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return np.arange(len(owners)) + (starts - first)[owners], owners


class Frequencies:
    """About how frequent each shingle is. Any fixed order of shingles finds the same near duplicates; the rarest first is fastest."""

    def __init__(self, keys: Keys, rows: Numbers) -> None:
        self._counters = min(COUNTERS, 64 * 2 ** len(rows).bit_length())
        counts = np.zeros(self._counters, np.int64)
        for _, part in keys.read(rows):
            counts += np.bincount(_hashes(part)[0] % self._counters, minlength=self._counters)
        self._classes = np.minimum(np.log2(counts + 1) * 2.5, 63).astype(np.uint64)

    def sets(self, keys: Keys, rows: Numbers, most: int) -> Iterator[ShingleSets]:
        """The shingles of some texts, in blocks of about ``most`` shingles."""
        parts: list[ShingleSets] = []
        for numbers, part in keys.read(rows):
            parts.append(self._sets(numbers, part))
            if sum(len(made.shingles) for made in parts) >= most:
                block = _joined(parts)
                parts.clear()
                yield block
                del block  # before the next one is made
        if parts:
            yield _joined(parts)

    def _sets(self, numbers: Numbers, keys: pa.Array) -> ShingleSets:
        hashes, owners = _hashes(keys)
        shingles = self._classes[hashes % self._counters] << HASH_BITS | hashes >> (64 - HASH_BITS)
        sorted_ = np.sort(owners.astype(np.uint64) << SHINGLE_BITS | shingles)
        distinct = sorted_[np.diff(sorted_, prepend=~sorted_[:1]) != 0]
        owners, shingles = (distinct >> SHINGLE_BITS).astype(np.int64), distinct & (2**SHINGLE_BITS - 1)
        offsets = np.searchsorted(owners, np.arange(len(keys) + 1))
        sketches = np.zeros((len(keys), SKETCH), np.uint64)
        bits = shingles % (64 * SKETCH)
        np.bitwise_or.at(sketches, (owners, (bits // 64).astype(np.int64)), np.uint64(1) << bits % 64)
        return ShingleSets(numbers, shingles, offsets, sketches)


def _joined(parts: list[ShingleSets]) -> ShingleSets:
    numbers, shingles, sketches = (np.concatenate([part[field] for part in parts]) for field in (0, 1, 3))
    ends = itertools.accumulate((int(part.offsets[-1]) for part in parts), initial=0)
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    return ShingleSets(numbers, shingles, np.concatenate([*offsets, [len(shingles)]]), sketches)


def _hashes(keys: pa.Array) -> tuple[Hashes, Numbers]:
    """The hash of each word and word pair, and the text that each is of. A text may have one several times."""
    lists = Lists.of(pc.split_pattern(keys, " ").cast(pa.list_(pa.string())))
    words = look_up(np.array([hash_of(word) for word in lists.words.to_pylist()], np.uint64), lists.codes)
    owners = lists.owners()
    pairs = _mixed(words[:-1] * np.uint64(0x9E3779B97F4A7C15) + words[1:])[owners[:-1] == owners[1:]]
    return np.concatenate([words, pairs]), np.concatenate([owners, owners[:-1][owners[:-1] == owners[1:]]])


def _mixed(hashes: Hashes) -> Hashes:
    """Spread the bits of sums (the finaliser of SplitMix64: Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        hashes = (hashes ^ hashes >> np.uint64(shift)) * np.uint64(factor)
    return hashes
