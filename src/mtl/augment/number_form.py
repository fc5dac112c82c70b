"""Writes numbers in the other form of their language, such as 三十分钟 for 30分钟, and the reverse; never those of entities."""

from collections.abc import Sequence

from mtl.augment.rows import Row, RowAugmenter


class NumberFormAugmenter(RowAugmenter):
    """Changes a share of the numbers, at least one a row."""

    numbers = 1

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with some numbers in the other form."""
        (chance,) = numbers
        forms = self.language.number_forms(row)
        chosen = [form for form in forms if chance[form.start] < self.spec.rate] or sorted(forms, key=lambda form: chance[form.start])[:1]
        return row.replaced((form.start, form.end, form.tokens) for form in chosen)
