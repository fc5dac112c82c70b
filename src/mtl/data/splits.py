"""Dealing rows out to train, validation and test, and finding what leaked from one to another."""

import hashlib
import itertools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mtl.config import SPLITS, Fractions, Split
from mtl.data.tokens import MARK

NEAR = 0.8
"""Jaccard similarity of shingles from which two texts count as near duplicates."""

NEAR_WORDS = 3
"""Words that a text must have to be a near duplicate of another: "London 1996" is none of "London!"."""

_NO_LETTER = re.compile(rf"(?:[^\w{MARK}]|[\d_])+")


class Leak(NamedTuple):
    """A held-out row whose text the train split has too, exactly or nearly."""

    row: int
    train_row: int
    similarity: float  # 1.0: exactly the same text; below: Jaccard of the shingles, or the same letters (NORMALISED)


NORMALISED = 0.99
"""Similarity stated for texts that differ in case, digits, signs or spaces alone; not within a word: *dont* and *don't* are two texts."""


def normalised(text: str) -> str:
    """A text's letters alone, casefolded, words parted by one space; a text without letters is kept as it is, casefolded."""
    folded = unicodedata.normalize("NFD", text)
    for _ in range(2):  # compatibility caseless matching, Unicode standard, section 3.13
        folded = unicodedata.normalize("NFKD", folded.casefold())
    folded = unicodedata.normalize("NFC", folded)  # else accents would count as signs
    return _NO_LETTER.sub(" ", folded).strip() or " ".join(folded.split())


def assign(text: str, fractions: Fractions, seed: int) -> Split:
    """The split that a text falls to, by a hash of seed and normalised text: texts equal but for case, digits or signs stay together."""
    digest = hashlib.blake2b(normalised(text).encode(), digest_size=8, key=str(seed).encode()).digest()
    point = int.from_bytes(digest) / 2**64
    if point < fractions.train:
        return "train"
    # The last split that has a share takes what rounding leaves over.
    return "validation" if point < fractions.train + fractions.validation or not fractions.test else "test"


def repeats(texts: Sequence[str]) -> int:
    """How many texts repeat an earlier one exactly."""
    return len(texts) - len(set(texts))


def leaks(texts: Sequence[str], splits: Sequence[str]) -> list[Leak]:
    """The rows of validation and test whose text is in train: exactly, normalised, or by shingles (words and pairs of words).

    Near duplicates are found exactly, not by sampling: two sets can only reach Jaccard t if their rarest |x| - ceil(t |x|) + 1
    shingles meet (prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007), so few pairs are compared.
    """
    train = [row for row, split in enumerate(splits) if split == SPLITS[0]]
    held_out = [row for row, split in enumerate(splits) if split != SPLITS[0]]
    if not held_out or not train:
        return []
    keys = [normalised(text) for text in texts]
    exact = {texts[row]: row for row in reversed(train)}
    same_letters = {keys[row]: row for row in reversed(train)}
    found: list[Leak] = []
    rest: list[int] = []
    for row in held_out:
        if texts[row] in exact:
            found.append(Leak(row, exact[texts[row]], 1.0))
        elif keys[row] in same_letters and _words(keys[row]) >= NEAR_WORDS:
            found.append(Leak(row, same_letters[keys[row]], NORMALISED))
        elif _words(keys[row]) >= NEAR_WORDS:
            rest.append(row)
    return sorted([*found, *_near(keys, train, rest)])


def _near(keys: Sequence[str], train: Sequence[int], rest: Sequence[int]) -> Iterator[Leak]:
    """For each row of ``rest`` the most similar row of train, where it reaches ``NEAR``."""
    sets = {row: _shingles(keys[row]) for row in (*train, *rest)}
    frequency = Counter(shingle for shingles in sets.values() for shingle in shingles)
    index: defaultdict[str, list[int]] = defaultdict(list)
    for row in train:
        for shingle in _prefix(sets[row], frequency):
            index[shingle].append(row)
    for row in rest:
        own = sets[row]
        candidates = {other for shingle in _prefix(own, frequency) for other in index.get(shingle, ())}
        scored = [(_jaccard(own, sets[other]), -other) for other in candidates if _sizes_allow(len(own), len(sets[other]))]
        best, other = max(scored, default=(0.0, 0))
        if best >= NEAR:
            yield Leak(row, -other, min(best, NORMALISED))


def _words(key: str) -> int:
    return key.count(" ") + 1


def _shingles(key: str) -> frozenset[str]:
    words = key.split(" ")
    return frozenset((*words, *(f"{first} {second}" for first, second in itertools.pairwise(words))))


def _prefix(shingles: frozenset[str], frequency: Counter[str]) -> list[str]:
    """The rarest shingles, of which two similar sets must share one."""
    length = len(shingles) - math.ceil(NEAR * len(shingles)) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:length]


def _sizes_allow(first: int, second: int) -> bool:
    return min(first, second) >= NEAR * max(first, second)


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
