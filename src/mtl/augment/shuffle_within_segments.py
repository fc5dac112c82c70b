"""Shuffles tokens within segments: an entity, or what stands between two.

Dai & Adel (2020), "An Analysis of Simple Data Augmentation for Named Entity Recognition": chance decides for each segment by itself,
and the tags stay where they are. Of rows with several labels a segment ends where it does for any of them.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mtl.augment.rows import Row, RowAugmenter


class ShuffleWithinSegmentsAugmenter(RowAugmenter):
    """Shuffles a share of the segments of at least two tokens."""

    invariant = "tags"

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row:
        """The row with its tokens in another order."""
        chance, order = numbers
        tokens = list(row.tokens)
        for start, end in pairwise([*_starts(row), len(tokens)]):
            if end - start > 1 and chance[start] < self.spec.rate:
                tokens[start:end] = [row.tokens[place] for place in sorted(range(start, end), key=order.__getitem__)]
        return row._replace(tokens=tokens)


def _starts(row: Row) -> Iterator[int]:
    """Where segments begin."""
    known = row.known()
    for place in range(len(row.tokens)):
        if not place or any(tags[place][0] == "B" or (tags[place] == "O" and tags[place - 1] != "O") for tags in known):
            yield place
