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
        words = row.words()
        if len(words) < 2:
            return None
        tokens = list(row.tokens)
        for _, first, second in zip(range(max(1, round(self.spec.rate * len(words)))), *numbers, strict=False):
            one = int(first * len(words))
            other = (one + 1 + int(second * (len(words) - 1))) % len(words)
            here, there = words[one], words[other]
            tokens[here], tokens[there] = tokens[there], tokens[here]
        return row._replace(tokens=tokens)
