"""What augmenters have in common: their interface, the table that they return, and the reasons for which a variant is dropped.

An augmenter is given rows of a canonical table (``mtl.data.schema``) and returns one variant for each row and copy, those it
dropped included, so that every variant is accounted for. The columns of a table of variants:

| column | type | meaning |
|---|---|---|
| row | int64 | index of the parent in the rows given |
| copy | int64 | 0, 1, ... |
| tokens, space_after, tags | lists | as in the canonical table; there is one column for each label that is tags |
| reason | string | why it was dropped, one of ``REASONS``; null if it was kept |
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, Self

import pyarrow as pa

from mtl.augment.randomness import Stream
from mtl.data.schema import labels_of

REASONS: dict[str, str] = {
    "unchanged": "equal to its original, or nothing in it could be changed",
    "duplicate": "equal to an original of any split or to an earlier variant",
    "empty": "nothing was left of the text",
    "misaligned": "could not be proved to keep its tags aligned",
    "placeholder": "a protected part did not come back exactly once",
    "made-up word": "holds a word that is neither in the original nor in the lexicon",
    "negation": "has more or fewer negations than the original",
    "length": "less than half or more than twice as many words as the original",
    "no answer": "the translator stalled or lost the row",
    "engine missing": "the engine is not installed",
}
"""Why variants are dropped."""


class Augmenter(Protocol):
    """One way to make variants of rows. ``spec`` is the method's section of the settings."""

    def __init__(self, spec: Any, stream: Stream) -> None: ...

    @classmethod
    def available(cls, spec: Any) -> str | None:
        """None if the engine is there, else one line that says how to install it."""

    def augment(self, rows: pa.Table) -> pa.Table:
        """The variants of canonical rows, sorted by copy, then row. The same row may have others beside it only where that is said."""


class Variant(NamedTuple):
    """One row of a table of variants, for augmenters that work row by row."""

    row: int
    copy: int
    tokens: list[str]
    space_after: list[bool]
    tags: Mapping[str, list[str] | None] = {}
    reason: str | None = None

    @classmethod
    def dropped(cls, row: int, copy: int, reason: str, text: str = "") -> Self:
        """A variant that was dropped; ``text`` is shown among the samples."""
        return cls(row, copy, [text] if text else [], [False] if text else [], {}, reason)


def tag_columns(rows: pa.Table) -> list[str]:
    """The labels of a canonical table that are tags."""
    return [name for name, kind in labels_of(rows.schema).items() if kind == "tags"]


def schema_of(columns: Iterable[str]) -> pa.Schema:
    """The schema of variants of rows with these columns of tags."""
    strings = pa.list_(pa.string())
    fields = [("row", pa.int64()), ("copy", pa.int64()), ("tokens", strings), ("space_after", pa.list_(pa.bool_()))]
    return pa.schema([*fields, *((name, strings) for name in columns), ("reason", pa.string())])


def table_of(variants: Iterable[Variant], columns: Iterable[str]) -> pa.Table:
    """Variants as a table, with the given columns of tags."""
    columns = list(columns)
    content = [{**variant._asdict(), **{name: variant.tags.get(name) for name in columns}} for variant in variants]
    return pa.Table.from_pylist(content, schema=schema_of(columns))
