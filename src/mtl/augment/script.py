"""Writes texts in the other script of their language: traditional Chinese characters where they are simplified, and the reverse.

The whole text is changed, entities too, since nobody writes one text in both. Each token keeps its number of characters, so tags stay.
"""

from collections.abc import Sequence

from mtl.augment.rows import Row, RowAugmenter
from mtl.data.schema import text_of


class ScriptAugmenter(RowAugmenter):
    """Changes all of a row; it draws nothing, so all copies are the same."""

    invariant = "tags"
    numbers = 0

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row in the other script."""
        text = text_of(row.tokens, row.space_after)
        other = self.language.other_script(text)
        if len(other) != len(text):
            return None
        return row._replace(tokens=[other[start : start + len(token)] for start, token in zip(row.offsets(), row.tokens, strict=True)])
