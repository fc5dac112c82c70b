"""Puts punctuation between words: Karimi, Rossi & Prati (2021), "AEDA: An Easier Data Augmentation Technique for Text Classification".

As published, how many marks is drawn from one up to a share of the words, and each is one of six. Here they stand between two words,
never at the start, beside other punctuation or within an entity; in a text without tags they join the word before, as people write.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from mtl.augment.rows import Row, RowAugmenter

_WORD = re.compile(r"[@#]?\w+(?:['’-]\w+)*")
_BEGIN = re.compile(r"[@#]?\w")


class InsertPunctuationAugmenter(RowAugmenter):
    """Puts up to ``rate`` marks a word between words."""

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with punctuation between some words."""
        chance, pick = numbers
        most = max(1, int(self.spec.rate * len(row.tokens)))
        chosen = sorted(self._gaps(row), key=chance.__getitem__)[: 1 + int(chance[-1] * most)]
        marks = {place: self.language.marks[int(pick[place] * len(self.language.marks))] for place in chosen}
        if not row.known() and self.language.spaced:
            return row._replace(tokens=[token + marks.get(place, "") for place, token in enumerate(row.tokens, 1)])
        return _with(row, marks, space=self.language.spaced)

    def _gaps(self, row: Row) -> list[int]:
        """The positions of words before which a mark may stand; where no spaces stand between words, behind another word."""
        if self.language.spaced:
            return _gaps(row)
        words = self.language.words(row)
        ends = {end for _, end in words}
        return [start for start, _ in words if start in ends and not row.space_after[start - 1]]


def _gaps(row: Row) -> list[int]:
    """The positions of words before which a mark may stand."""
    inside = {place for tags in row.known() for place, tag in enumerate(tags) if tag.startswith("I-")}
    places = zip(range(1, len(row.tokens)), row.tokens, row.tokens[1:], row.space_after, strict=False)
    return [place for place, before, behind, space in places if space and place not in inside and _is_word(before) and _begins(behind)]


@lru_cache(maxsize=100_000)
def _is_word(token: str) -> bool:
    return _WORD.fullmatch(token) is not None


@lru_cache(maxsize=100_000)
def _begins(token: str) -> bool:
    """Whether a token begins like a word, a handle or a hashtag."""
    return _BEGIN.match(token) is not None


def _with(row: Row, marks: dict[int, str], *, space: bool) -> Row:
    """A row with marks before some of its tokens, each a token of its own that is tagged O."""
    changed = row.copy()
    for place in sorted(marks, reverse=True):
        changed.tokens.insert(place, marks[place])
        changed.space_after.insert(place, space)
        for tags in changed.known():
            tags.insert(place, "O")
    return changed
