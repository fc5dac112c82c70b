"""Turns the order of words."""

from collections.abc import Sequence

from mtl.augment.rows import Row, RowAugmenter


class ReverseAugmenter(RowAugmenter):
    """The words that may move, in reverse order; entities and punctuation stay."""

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with its words in reverse order."""
        places, tokens = row.words(), list(row.tokens)
        for here, there in zip(places, reversed(places), strict=True):
            tokens[here] = row.tokens[there]
        return row._replace(tokens=tokens)
