"""Leaves words out: random deletion of Wei & Zou (2019), "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text
Classification Tasks".

Entities, words that deny, punctuation, numbers, web addresses, handles and hashtags stay, and so does at least one word.
"""

from collections.abc import Sequence

from mtl.augment.rows import Row, RowAugmenter


class DeleteAugmenter(RowAugmenter):
    """Leaves a share of the words out."""

    numbers = 1

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row without some words that have a space, or nothing, behind them; where no spaces stand between words, without any."""
        (chance,) = numbers
        words = self.language.words(row)
        gone = [word for word in words if chance[word[0]] < self.spec.rate and self.language.may_go(row, *word)]
        if len(gone) == len(words):
            gone = sorted(gone, key=lambda word: chance[word[0]])[:-1]
        return _without(row, {place for word in gone for place in range(*word)}) if gone else None


def _without(row: Row, gone: set[int]) -> Row:
    """A row without some of its tokens; what follows the last one stays as it was."""
    kept = [place for place in range(len(row.tokens)) if place not in gone]
    spaces = [row.space_after[place] for place in kept]
    tags = {name: tags and [tags[place] for place in kept] for name, tags in row.tags.items()}
    return Row([row.tokens[place] for place in kept], [*spaces[:-1], row.space_after[-1]], tags)
