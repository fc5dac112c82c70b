"""Splits by a hash, groups of texts, and texts of one split in another. ``mtl.data.assignment`` assigns the rows of datasets."""

import hashlib
import itertools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mtl.config import SPLITS, Fractions, Split
from mtl.data.tokens import MARK

NEAR = 0.8
"""Smallest Jaccard similarity of the shingles of near duplicates."""

NEAR_WORDS = 3
"""Smallest number of words of a near duplicate: "London 1996" is not a near duplicate of "London!"."""

_NO_LETTER = re.compile(rf"(?:[^\w{MARK}]|[\d_])+")


class Match(NamedTuple):
    """A text with its most similar one among others."""

    row: int
    other: int
    similarity: float
    """1 for equal texts; ``NORMALISED`` for the same letters; else the Jaccard similarity of the shingles."""


class Leak(NamedTuple):
    """A held-out row with its text, exactly or nearly, in the train split."""

    row: int
    train_row: int
    similarity: float
    """As in ``Match``."""


NORMALISED = 0.99
"""Similarity of texts that differ only in case, digits, signs or spaces between words. *dont* and *don't* are different texts."""


def normalised(text: str) -> str:
    """Only the letters of a text, casefolded, with one space between words; a text without letters keeps its signs."""
    folded = unicodedata.normalize("NFD", text)
    for _ in range(2):  # compatibility caseless matching, Unicode standard, section 3.13
        folded = unicodedata.normalize("NFKD", folded.casefold())
    folded = unicodedata.normalize("NFC", folded)  # otherwise accents would count as signs
    return _NO_LETTER.sub(" ", folded).strip() or " ".join(folded.split())


def assign(group: str, fractions: Fractions, seed: int) -> Split:
    """The split of a group of rows, by a hash of seed and the group's name, such as its normalised text."""
    digest = hashlib.blake2b(group.encode(), digest_size=8, key=str(seed).encode()).digest()
    point = int.from_bytes(digest) / 2**64
    if point < fractions.train:
        return "train"
    # The last split with a share also takes the rounding error.
    return "validation" if point < fractions.train + fractions.validation or not fractions.test else "test"


class DisjointSets:
    """Sets of strings that are joined two at a time. The smallest string names a set, so the order of joining does not matter."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def name(self, item: str) -> str:
        """The name of the set that holds a string."""
        while (parent := self._parents.get(item, item)) != item:
            self._parents[item] = self._parents.get(parent, parent)
            item = self._parents[item]
        return item

    def join(self, first: str, second: str) -> None:
        """Make one set of those that hold two strings."""
        low, high = sorted((self.name(first), self.name(second)))
        self._parents[high] = low


def near_groups(keys: Iterable[str]) -> DisjointSets:
    """Normalised texts that are connected by near duplicates. All pairs are found, as in ``matches``."""
    distinct = sorted({key for key in keys if _words(key) >= NEAR_WORDS})
    index, groups = _Index(distinct), DisjointSets()
    for key in distinct:
        own = _shingles(key)
        for other in index.candidates(own):
            if groups.name(key) != groups.name(distinct[other]) and index.similarity(own, other) >= NEAR:
                groups.join(key, distinct[other])
        index.add(own)
    return groups


def repeats(texts: Sequence[str]) -> int:
    """How many texts repeat an earlier one exactly."""
    return len(texts) - len(set(texts))


def leaks(texts: Sequence[str], splits: Sequence[str]) -> list[Leak]:
    """The rows of validation and test with their text in train, exactly or nearly."""
    train = [row for row, split in enumerate(splits) if split == SPLITS[0]]
    held_out = [row for row, split in enumerate(splits) if split != SPLITS[0]]
    result = matches([texts[row] for row in held_out], [texts[row] for row in train])
    return [Leak(held_out[match.row], train[match.other], match.similarity) for match in result]


def matches(texts: Sequence[str], others: Sequence[str]) -> list[Match]:
    """The texts that occur among others: equal, equal when normalised, or near by shingles (words and word pairs).

    All near duplicates are found, without sampling. Two sets can only reach Jaccard similarity t if their rarest
    |x| - ceil(t |x|) + 1 shingles intersect (prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007), so few pairs are compared.
    """
    if not texts or not others:
        return []
    keys, other_keys = [normalised(text) for text in texts], [normalised(text) for text in others]
    exact = {text: other for other, text in reversed(list(enumerate(others)))}
    same_letters = {key: other for other, key in reversed(list(enumerate(other_keys)))}
    result: list[Match] = []
    rest: list[int] = []
    for row, key in enumerate(keys):
        if texts[row] in exact:
            result.append(Match(row, exact[texts[row]], 1.0))
        elif _words(key) >= NEAR_WORDS and key in same_letters:
            result.append(Match(row, same_letters[key], NORMALISED))
        elif _words(key) >= NEAR_WORDS:
            rest.append(row)
    return sorted([*result, *_near(keys, rest, other_keys)])


def _near(keys: Sequence[str], rows: Sequence[int], others: Sequence[str]) -> Iterator[Match]:
    """For each of the rows the most similar one of the others, the first of several, if it reaches ``NEAR``."""
    index = _Index([*(keys[row] for row in rows), *others])
    for key in others:
        index.add(_shingles(key))
    for row in rows:
        own = _shingles(keys[row])
        best, other = max(((index.similarity(own, other), -other) for other in index.candidates(own)), default=(0.0, 0))
        if best >= NEAR:
            yield Match(row, -other, min(best, NORMALISED))


class _Index:
    """Finds near duplicates among the texts that were added, by their rarest shingles."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Args: keys: all normalised texts that will be added or looked up, whose shingles are counted."""
        self._frequency = Counter(shingle for key in keys for shingle in _shingles(key))
        self._sets: list[frozenset[str]] = []
        self._places: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, shingles: frozenset[str]) -> None:
        """Add a text. They are numbered from 0."""
        for shingle in _prefix(shingles, self._frequency):
            self._places[shingle].append(len(self._sets))
        self._sets.append(shingles)

    def candidates(self, shingles: frozenset[str]) -> set[int]:
        """The numbers of all near duplicates, and of some other texts."""
        return {number for shingle in _prefix(shingles, self._frequency) for number in self._places.get(shingle, ())}

    def similarity(self, shingles: frozenset[str], number: int) -> float:
        """Jaccard similarity to a text by its number; 0 if the sizes show that it is below ``NEAR``."""
        other = self._sets[number]
        return _jaccard(shingles, other) if _sizes_allow(len(shingles), len(other)) else 0.0


def _words(key: str) -> int:
    return key.count(" ") + 1


def _shingles(key: str) -> frozenset[str]:
    words = key.split(" ")
    return frozenset((*words, *(f"{first} {second}" for first, second in itertools.pairwise(words))))


def _prefix(shingles: frozenset[str], frequency: Counter[str]) -> list[str]:
    """The rarest shingles; two similar sets share at least one of them."""
    length = len(shingles) - math.ceil(NEAR * len(shingles)) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:length]


def _sizes_allow(first: int, second: int) -> bool:
    return min(first, second) >= NEAR * max(first, second)


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
