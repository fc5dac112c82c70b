"""The base of augmenters that make each variant from one row: the row as lists, its random numbers, and pools to draw from."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from mtl.augment.randomness import Words, draws, uniform
from mtl.augment.variants import Augmenter, Variant, table_of, tag_columns


class Row(NamedTuple):
    """What of a row may change."""

    tokens: list[str]
    space_after: list[bool]
    tags: dict[str, list[str] | None]
    """By label; None where the row has no such label."""

    def known(self) -> list[list[str]]:
        """The lists of tags that the row has."""
        return [tags for tags in self.tags.values() if tags is not None]

    def copy(self) -> "Row":
        """The same with lists of its own, to be changed."""
        return Row(list(self.tokens), list(self.space_after), {name: tags and list(tags) for name, tags in self.tags.items()})

    def outside(self) -> list[int]:
        """The positions outside all entities."""
        known = self.known()
        if not known:
            return list(range(len(self.tokens)))
        return [place for place, tags in enumerate(zip(*known, strict=True)) if tags.count("O") == len(tags)]

    def offsets(self) -> list[int]:
        """Where each token starts in the text."""
        lengths = (len(token) + space for token, space in zip(self.tokens, self.space_after, strict=True))
        return list(accumulate(lengths, initial=0))[:-1]

    def replaced(self, changes: Iterable[tuple[int, int, list[str]]]) -> "Row":
        """The row with other tokens in the place of some outside entities; the space behind the last one stays.

        Args:
            changes: start, end and tokens of each, in their order, apart from one another.
        """
        row = self.copy()
        for start, end, tokens in sorted(changes, reverse=True):  # from the end, so that places before stay valid
            row.tokens[start:end] = tokens
            if len(tokens) != end - start:
                row.space_after[start:end] = [*[False] * (len(tokens) - 1), row.space_after[end - 1]]
                for tags in row.known():
                    tags[start:end] = ["O"] * len(tokens)
        return row


class RowAugmenter(Augmenter):
    """Makes each variant from its row, and from random numbers that depend on the row's id, the copy and the position."""

    numbers: ClassVar[int] = 2
    """How many random numbers each position gets, at most 4."""

    @abstractmethod
    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The variant of a row, or None if there is none. The lists of the row must not be changed.

        Args:
            row: with tags, if the method needs them.
            numbers: ``[numbers, tokens + 1]``, from 0 up to 1; the last ones are not of a position but of the row.
        """

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of rows; they do not depend on one another."""
        columns = tag_columns(rows)
        content = list(rows_of(rows))
        keys = self.stream.keys(rows["id"])
        return table_of((variant for copy in range(self.spec.copies) for variant in self._copy(content, keys, copy)), columns)

    def _copy(self, content: Sequence[Row], keys: Words, copy: int) -> Iterator[Variant]:
        """One variant of each row."""
        sizes = np.array([len(row.tokens) + 1 for row in content], dtype=np.int64)
        ends = np.cumsum(sizes)
        positions = np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)
        drawn = [uniform(draws(np.repeat(keys, sizes), copy, positions, purpose)).tolist() for purpose in range(self.numbers)]
        for place, (row, size, end) in enumerate(zip(content, sizes.tolist(), ends.tolist(), strict=True)):
            usable = not self.spec.needs_tags or row.known()
            changed = self.change(row, [numbers[end - size : end] for numbers in drawn]) if usable else None
            if changed is None or changed.tokens == row.tokens:
                yield Variant.dropped(place, copy, "unchanged")
            else:
                yield Variant(place, copy, *changed)


def rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a view, or of a canonical table of the field ``text``."""
    tokens, spaces = table["tokens"].to_pylist(), table["space_after"].to_pylist()
    tags = {name: table[name].to_pylist() for name in tag_columns(table)}
    for place in range(len(table)):
        yield Row(tokens[place], spaces[place], {name: column[place] for name, column in tags.items()})


Item = TypeVar("Item", bound=str | tuple[Any, ...])


class Pool(Generic[Item]):
    """Things to draw from, in proportion to their weights (at least 1). Their order does not matter."""

    def __init__(self, weights: Mapping[Item, int]) -> None:
        self._weights = weights
        self._items = sorted(weights)
        self._ends = list(accumulate(weights[item] for item in self._items))
        self._starts = dict(zip(self._items, [0, *self._ends], strict=False))

    def other(self, item: Item, number: float) -> Item:
        """Another thing than this one, chosen by a number from 0 up to 1; the same where there is no other."""
        own, total = self._weights.get(item, 0), self._ends[-1]
        if own == total:
            return item
        chosen = int(number * (total - own))
        if own and chosen >= self._starts[item]:
            chosen += own
        return self._items[bisect_right(self._ends, chosen)]
