"""Assigning rows to train, validation and test, and finding leakage between them."""

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
"""Smallest Jaccard similarity of the shingles of near duplicates."""

NEAR_WORDS = 3
"""Smallest number of words of a near duplicate: "London 1996" is not a near duplicate of "London!"."""

_NO_LETTER = re.compile(rf"(?:[^\w{MARK}]|[\d_])+")


class Leak(NamedTuple):
    """A held-out row with its text, exactly or nearly, in the train split."""

    row: int
    train_row: int
    similarity: float
    """1 for equal texts; ``NORMALISED`` for the same letters; else the Jaccard similarity of the shingles."""


NORMALISED = 0.99
"""Similarity of texts that differ only in case, digits, signs or spaces between words. *dont* and *don't* are different texts."""


def normalised(text: str) -> str:
    """Only the letters of a text, casefolded, with one space between words; a text without letters keeps its signs."""
    folded = unicodedata.normalize("NFD", text)
    for _ in range(2):  # compatibility caseless matching, Unicode standard, section 3.13
        folded = unicodedata.normalize("NFKD", folded.casefold())
    folded = unicodedata.normalize("NFC", folded)  # otherwise accents would count as signs
    return _NO_LETTER.sub(" ", folded).strip() or " ".join(folded.split())


def assign(text: str, fractions: Fractions, seed: int) -> Split:
    """The split of a text, by a hash of seed and normalised text: texts that differ only in case, digits or signs stay together."""
    digest = hashlib.blake2b(normalised(text).encode(), digest_size=8, key=str(seed).encode()).digest()
    point = int.from_bytes(digest) / 2**64
    if point < fractions.train:
        return "train"
    # The last split with a share also takes the rounding error.
    return "validation" if point < fractions.train + fractions.validation or not fractions.test else "test"


def repeats(texts: Sequence[str]) -> int:
    """How many texts repeat an earlier one exactly."""
    return len(texts) - len(set(texts))


def leaks(texts: Sequence[str], splits: Sequence[str]) -> list[Leak]:
    """The rows of validation and test with their text in train: equal, equal when normalised, or near by shingles (words and word pairs).

    All near duplicates are found, without sampling. Two sets can only reach Jaccard similarity t if their rarest
    |x| - ceil(t |x|) + 1 shingles intersect (prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007), so few pairs are compared.
    """
    train = [row for row, split in enumerate(splits) if split == SPLITS[0]]
    held_out = [row for row, split in enumerate(splits) if split != SPLITS[0]]
    if not held_out or not train:
        return []
    keys = [normalised(text) for text in texts]
    exact = {texts[row]: row for row in reversed(train)}
    same_letters = {keys[row]: row for row in reversed(train)}
    result: list[Leak] = []
    rest: list[int] = []
    for row in held_out:
        if texts[row] in exact:
            result.append(Leak(row, exact[texts[row]], 1.0))
        elif keys[row] in same_letters and _words(keys[row]) >= NEAR_WORDS:
            result.append(Leak(row, same_letters[keys[row]], NORMALISED))
        elif _words(keys[row]) >= NEAR_WORDS:
            rest.append(row)
    return sorted([*result, *_near(keys, train, rest)])


def _near(keys: Sequence[str], train: Sequence[int], rest: Sequence[int]) -> Iterator[Leak]:
    """For each row of ``rest`` the most similar row of train, if it reaches ``NEAR``."""
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
    """The rarest shingles; two similar sets share at least one of them."""
    length = len(shingles) - math.ceil(NEAR * len(shingles)) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:length]


def _sizes_allow(first: int, second: int) -> bool:
    return min(first, second) >= NEAR * max(first, second)


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
