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
        """The row without some words that a space follows."""
        (chance,) = numbers
        words = row.words()
        gone = {place for place in words if chance[place] < self.spec.rate and (row.space_after[place] or place == len(row.tokens) - 1)}
        if len(gone) == len(words):
            gone -= {max(gone, key=chance.__getitem__, default=-1)}
        return _without(row, gone) if gone else None


def _without(row: Row, gone: set[int]) -> Row:
    """A row without some of its tokens; what follows the last one stays as it was."""
    kept = [place for place in range(len(row.tokens)) if place not in gone]
    spaces = [row.space_after[place] for place in kept]
    tags = {name: tags and [tags[place] for place in kept] for name, tags in row.tags.items()}
    return Row([row.tokens[place] for place in kept], [*spaces[:-1], row.space_after[-1]], tags)
