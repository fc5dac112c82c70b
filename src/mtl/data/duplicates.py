"""Exact and near duplicates among texts, in memory that is bounded but for the hashes of ``mtl.data.keys``.

Texts are near duplicates if their shingles (words and word pairs) have a Jaccard similarity of at least ``NEAR``. All are found, without
sampling: two sets can only reach similarity t if their rarest |x| - ceil(t |x|) + 1 shingles intersect (prefix filtering: Chaudhuri et al.
2006, Bayardo et al. 2007). Of the pairs that are left, most are excluded by the bits in which sketches of their sets differ (Sandes et al.
2020, Bitmap Filter).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mtl.data.keys import Keys, Numbers
from mtl.data.shingles import SHINGLE_BITS, Frequencies, Hashes, ShingleSets, ranges

NEAR = 0.8
"""Smallest Jaccard similarity of the shingles of near duplicates."""
NORMALISED = 0.99
"""Similarity of texts that differ only in case, digits, signs or spaces between words. *dont* and *don't* are different texts."""

INDEXED = 2**23
"""Shingles of the texts that are searched at a time, about."""
SEARCHED = 2**20
"""Shingles of the texts that are looked up at a time, about."""
PAIRS = 2**18
"""Pairs of texts that are looked at together, at most, unless one shingle is in more."""
COMPARED = 2**14
"""Pairs of texts whose shingles are compared together."""

Similarities = npt.NDArray[np.float64]
Wanted = Callable[[Numbers, Numbers], npt.NDArray[np.bool_]]
"""Takes pairs of texts by their numbers; says which ones matter."""


class Matches(NamedTuple):
    """For each of several texts the most similar one among others, the first of several."""

    others: Numbers
    """Number of the other text; -1 for none, [texts]."""
    similarities: Similarities
    """1 for equal texts; ``NORMALISED`` for the same letters; else the Jaccard similarity of the shingles; 0 for none, [texts]."""

    @property
    def exact(self) -> npt.NDArray[np.bool_]:
        """Texts with an equal one, [texts]."""
        equal: npt.NDArray[np.bool_] = self.similarities == 1
        return equal

    @property
    def near(self) -> npt.NDArray[np.bool_]:
        """Texts with a near duplicate but no equal one, [texts]."""
        return (self.others >= 0) & ~self.exact


def repeats(texts: Hashes) -> int:
    """How many texts repeat an earlier one exactly, by their hashes."""
    return len(texts) - len(np.unique(texts))


def matches(keys: Keys, rows: Numbers, others: Numbers) -> Matches:
    """The texts that occur among others: equal, equal when normalised, or near.

    Args:
        keys: all texts.
        rows: numbers of the texts that are looked up.
        others: numbers of the texts that they are looked up in, ascending; none of ``rows``.
    """
    found, similarities = _same(keys.texts, rows, others), np.zeros(len(rows))
    similarities[found >= 0] = 1
    letters = np.where((found < 0) & keys.long[rows], _same(keys.keys, rows, others), -1)
    similarities[letters >= 0] = NORMALISED
    found = np.maximum(found, letters)
    rest = np.flatnonzero((found < 0) & keys.long[rows])
    if len(rest) and len(others):
        rest = rest[np.argsort(rows[rest])]
        found[rest], similarities[rest] = _nearest(keys, rows[rest], others)
    return Matches(found, similarities)


def _same(hashes: Hashes, rows: Numbers, others: Numbers) -> Numbers:
    """For each row the first of the others with the same hash; -1 for none."""
    if not len(others):
        return np.full(len(rows), -1)
    distinct, first = np.unique(hashes[others], return_index=True)
    places = np.minimum(np.searchsorted(distinct, hashes[rows]), len(distinct) - 1)
    return np.where(distinct[places] == hashes[rows], others[first[places]], -1)


def _nearest(keys: Keys, rows: Numbers, others: Numbers) -> tuple[Numbers, Similarities]:
    """For each row, ascending, the most similar one of the others, the first of several, if it reaches ``NEAR``."""
    found, best = np.full(len(rows), -1), np.zeros(len(rows))
    for pair_rows, pair_others, similarities in near_pairs(keys, rows, others):
        order = np.lexsort((pair_others, -similarities, pair_rows))
        first = order[np.diff(pair_rows[order], prepend=-1) != 0]
        own, other, similarity = np.searchsorted(rows, pair_rows[first]), pair_others[first], similarities[first]
        better = (similarity > best[own]) | ((similarity == best[own]) & (other < found[own]))
        found[own[better]], best[own[better]] = other[better], similarity[better]
    return found, np.minimum(best, NORMALISED)


def near_pairs(keys: Keys, rows: Numbers, others: Numbers, wanted: Wanted | None = None) -> Iterator[tuple[Numbers, Numbers, Similarities]]:
    """All pairs of a row and one of the others that reach ``NEAR``, by their numbers, with their similarities.

    Args:
        keys: all texts.
        rows: numbers of texts, ascending.
        others: numbers of texts, ascending; they come in blocks, each with all rows.
        wanted: leaves out pairs before they are compared.
    """
    frequencies = Frequencies(keys, np.union1d(rows, others))
    for indexed in frequencies.sets(keys, others, INDEXED):
        index = _Index(indexed)
        for searched in frequencies.sets(keys, rows, SEARCHED):
            for pairs in index.candidates(searched, wanted):
                similarities = _jaccard(searched, pairs[0], indexed, pairs[1])
                near = similarities >= NEAR
                yield searched.numbers[pairs[0][near]], indexed.numbers[pairs[1][near]], similarities[near]
        del index, indexed  # before the next ones are made


class _Index:
    """Texts by the shingles of their prefixes."""

    def __init__(self, sets: ShingleSets) -> None:
        shingles, owners = sets.prefixes(NEAR)
        order = np.argsort(shingles, kind="stable")
        self._sets, self._shingles, self._owners = sets, shingles[order], owners[order].astype(np.int32)

    def candidates(self, searched: ShingleSets, wanted: Wanted | None) -> Iterator[tuple[Numbers, Numbers]]:
        """All pairs of near duplicates and some others, as places in both sets. A pair may come several times."""
        shingles, owners = searched.prefixes(NEAR)
        order = np.argsort(shingles)
        shingles, owners = shingles[order], owners[order]
        starts = np.searchsorted(self._shingles, shingles)
        counts = np.searchsorted(self._shingles, shingles, side="right") - starts
        hits = np.flatnonzero(counts)
        for part in np.split(hits, _cuts(counts[hits])):
            places, hit = ranges(starts[part], counts[part])
            pairs = owners[part][hit], self._owners[places].astype(np.int64)
            pairs = self._filtered(searched, *pairs, wanted)
            if len(pairs[0]):
                yield pairs

    def _filtered(self, searched: ShingleSets, first: Numbers, second: Numbers, wanted: Wanted | None) -> tuple[Numbers, Numbers]:
        """Without repeated pairs, those that are not wanted, and those whose sizes or sketches show that they are not similar."""
        sizes, other_sizes = searched.sizes[first], self._sets.sizes[second]
        kept = np.minimum(sizes, other_sizes) >= NEAR * np.maximum(sizes, other_sizes)
        if wanted is not None:
            kept &= wanted(searched.numbers[first], self._sets.numbers[second])
        first, second, sizes, other_sizes = first[kept], second[kept], sizes[kept], other_sizes[kept]
        sketches, other_sketches = searched.sketches[first], self._sets.sketches[second]
        shared = NEAR / (1 + NEAR) * (sizes + other_sizes) - 1e-6
        kept = (_bits(sketches & ~other_sketches) <= sizes - shared) & (_bits(other_sketches & ~sketches) <= other_sizes - shared)
        first, second = np.divmod(np.unique(first[kept] * len(self._sets.numbers) + second[kept]), len(self._sets.numbers))
        return first, second


def _cuts(counts: Numbers) -> Numbers:
    """Where to split so that each part counts about ``PAIRS``."""
    return np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS)) + 1


def _bits(words: Hashes) -> Numbers:
    """Bits that are set in each row."""
    counts: Numbers = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return counts


def _jaccard(first: ShingleSets, texts: Numbers, second: ShingleSets, others: Numbers) -> Similarities:
    """Jaccard similarities of pairs of texts, by their places in two sets."""
    shared = [_shared(first, texts[at : at + COMPARED], second, others[at : at + COMPARED]) for at in range(0, len(texts), COMPARED)]
    counts = np.concatenate(shared)
    similarities: Similarities = counts / (first.sizes[texts] + second.sizes[others] - counts)
    return similarities


def _shared(first: ShingleSets, texts: Numbers, second: ShingleSets, others: Numbers) -> Numbers:
    """How many shingles pairs of texts share: those that two sets have are adjacent once sorted."""
    parts = [owners.astype(np.uint64) << SHINGLE_BITS | own for own, owners in (first.gathered(texts), second.gathered(others))]
    both = np.sort(np.concatenate(parts))
    return np.bincount((both[1:][both[1:] == both[:-1]] >> SHINGLE_BITS).astype(np.int64), minlength=len(texts))


def near_groups(keys: Keys, rows: Numbers) -> Numbers:
    """The group of each text: texts with equal keys, and those that near duplicates among some rows connect.

    Args:
        keys: all texts.
        rows: numbers of the texts among which near duplicates are searched.

    Returns:
        A number for each text, [texts]; the same for those of one group.
    """
    groups = np.unique(keys.keys, return_inverse=True)[1]
    searched = rows[keys.long[rows]]
    searched = np.sort(searched[np.unique(keys.keys[searched], return_index=True)[1]])
    roots = np.arange(len(groups))

    def apart(first: Numbers, second: Numbers) -> npt.NDArray[np.bool_]:
        separate: npt.NDArray[np.bool_] = (first > second) & (roots[groups[first]] != roots[groups[second]])
        return separate

    for first, second, _ in near_pairs(keys, searched, searched, apart):
        _join(roots, roots[groups[first]], roots[groups[second]])
    return roots[groups]


def _join(roots: Numbers, first: Numbers, second: Numbers) -> None:
    """Make one set of each two: ``roots`` has the number of the set of each item."""
    if len(first):
        nodes, edges = np.unique(np.concatenate([first, second]), return_inverse=True)
        graph = coo_array((np.ones(len(first)), (edges[: len(first)], edges[len(first) :])), shape=(len(nodes), len(nodes)))
        components = connected_components(graph, directed=False)[1]
        smallest = nodes[np.unique(components, return_index=True)[1]]
        renamed = np.arange(len(roots))
        renamed[nodes] = smallest[components]
        roots[:] = renamed[roots]
