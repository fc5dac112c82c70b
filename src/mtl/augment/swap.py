"""Lets words change places: random swap of Wei & Zou (2019), "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text
Classification Tasks".

Entities, words that deny, punctuation, numbers, web addresses, handles and hashtags stay where they are.
"""

from collections.abc import Sequence

from mtl.augment.rows import Row, RowAugmenter


class SwapAugmenter(RowAugmenter):
    """Swaps pairs of words, one after the other; all words are equally likely."""

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with some words in the place of others."""
        words = [word for word in self.language.words(row) if self.language.may_move(row, *word)]
        if len(words) < 2:
            return None
        order = list(words)
        for _, first, second in zip(range(max(1, round(self.spec.rate * len(words)))), *numbers, strict=False):
            one = int(first * len(words))
            other = (one + 1 + int(second * (len(words) - 1))) % len(words)
            order[one], order[other] = order[other], order[one]
        return row.replaced((*place, row.tokens[slice(*word)]) for place, word in zip(words, order, strict=True))
