"""Puts characters that look alike in the place of others, as a reader of print or handwriting mistakes them.

Entities, words that deny, numbers, web addresses, handles and hashtags stay.
"""

from collections.abc import Mapping, Sequence

from mtl.augment.tables import folder_of
from mtl.augment.typo import TypoAugmenter


class LookAlikeAugmenter(TypoAugmenter):
    """Misspells a share of the words, at least one a row, each in one character."""

    _table: Mapping[str, Sequence[str]] | None = None

    def slips(self, word: str, place: float, number: float) -> list[str]:
        """The word with one character exchanged, the one at a place of it."""
        if self._table is None:
            self._table = self.language.look_alikes(folder_of(self))
        at = int(place * len(word))
        others = self._table.get(word[at], ())
        slip = word[:at] + others[int(number * len(others))] + word[at + 1 :] if others else word
        return [] if slip == word or self.language.is_grammar(word) or self.language.denies(slip) else [slip]
