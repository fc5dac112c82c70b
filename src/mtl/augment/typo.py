"""Makes slips of the keyboard: a neighbouring, missing, doubled or exchanged letter, the four types of error that Damerau (1964), "A
technique for computer detection and correction of spelling errors", found behind most misspelt words. Each language has its own; in
Chinese, characters that sound the same are exchanged.

Entities, words that deny, numbers, web addresses, handles and hashtags stay, and so does the first letter of a word; no slip makes a
word that denies.
"""

from collections.abc import Sequence

from mtl.augment.languages.base import Word
from mtl.augment.rows import Row, RowAugmenter


class TypoAugmenter(RowAugmenter):
    """Misspells a share of the words that are long enough, at least one a row."""

    numbers = 4

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with some words misspelt."""
        chance, slip_type, letter, pick = numbers

        def slip(word: Word) -> str | None:
            slips = self.slips(word.text, letter[word.start], pick[word.start])
            return slips[int(slip_type[word.start] * len(slips))] if slips else None

        words = {word: slipped for word in self.language.bare(row) if (slipped := slip(word))}
        chosen = [word for word in words if chance[word.start] < self.spec.rate]
        chosen = chosen or sorted(words, key=lambda word: chance[word.start])[:1]
        return row.replaced((word.start, word.end, word.tokens(words[word])) for word in chosen)

    def slips(self, word: str, place: float, number: float) -> list[str]:
        """What a word may become (``mtl.augment.languages.base.Language.slips``)."""
        return self.language.slips(word, place, number)
