"""What augmenters have in common: their interface, the table that they return, and the reasons for which a variant is dropped.

An augmenter gets views of one text field (``mtl.augment.fields``): ``id``, ``tokens``, ``space_after`` and IOB2 tags. It returns one
variant for each row and copy, dropped ones included, so that every variant is accounted for. The columns of a table of variants:

| column | type | meaning |
|---|---|---|
| row | int64 | index of the parent in the rows |
| copy | int64 | 0, 1, ... |
| tokens, space_after, tags | lists | as in the view; one column of tags for each positional label |
| reason | string | why it was dropped, one of ``REASONS``; null if it was kept |
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import pyarrow as pa

from mtl.augment.languages import base as languages
from mtl.augment.languages.en import English
from mtl.augment.randomness import Stream
from mtl.data.coded import CODE, list_of
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
    "dissimilar": "its embedding is too far from that of the original",
    "no output": "the translator stalled or lost the row",
    "engine missing": "the engine is not installed",
}
"""Why variants are dropped."""

Invariant = Literal["entities", "types", "tags"]
"""What a variant keeps of its parent's tags: the multiset of (entity tokens, type), the multiset of types, or the exact list of tags."""


class Augmenter(ABC):
    """One way to make variants of a text field.

    Args:
        spec: the method's section of the settings.
        stream: its randomness in this field.
    """

    invariant: ClassVar[Invariant] = "entities"
    """What of the tags is kept; proved for every row before it is written."""
    together: ClassVar[bool] = False
    """Whether variants depend on the other rows of the same call; such an augmenter gets one block at a time."""
    coded: ClassVar[bool] = False
    """Whether ``augment`` gets rows with codes for strings (``mtl.data.coded``)."""
    models: Path | None = None
    """Folder of what the workflow downloaded for the method, one folder each; without it, models are fetched."""

    language: languages.Language = English("en")
    """That of the texts."""

    def __init__(self, spec: Any, stream: Stream) -> None:
        self.spec, self.stream = spec, stream

    @classmethod
    def for_language(cls, language: languages.Language) -> type["Augmenter"]:
        """The augmenter for texts in a language, where languages need different ones."""
        return cls

    @classmethod
    def available(cls, spec: Any, language: languages.Language) -> str | None:
        """None if the engine is there for texts in a language, else one line that says how to install it."""
        return None

    def fit(self, train: Iterable[pa.Table]) -> None:  # noqa: B027 - most have nothing to learn
        """Learn from views of the whole train split, which come in parts; called once, before ``augment``."""

    @abstractmethod
    def augment(self, rows: pa.Table) -> pa.Table:
        """The variants of rows of a view, one for each row and copy, sorted by copy, then row."""


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
        """A variant that was dropped; ``text`` stands among the samples."""
        return cls(row, copy, [text] if text else [], [False] if text else [], {}, reason)


def tag_columns(rows: pa.Table) -> list[str]:
    """The labels of a view, or of a canonical table, that are tags."""
    return [name for name, type_ in labels_of(rows.schema).items() if type_ == "tags"]


def schema_of(columns: Iterable[str], *, coded: bool = False) -> pa.Schema:
    """The schema of variants of rows with these columns of tags; ``coded`` has codes for tokens and tags (``mtl.data.coded``)."""
    strings = list_of(CODE if coded else pa.string())
    fields = [("row", pa.int64()), ("copy", pa.int64()), ("tokens", strings), ("space_after", list_of(pa.bool_()))]
    return pa.schema([*fields, *((name, strings) for name in columns), ("reason", pa.string())])


def table_of(variants: Iterable[Variant], columns: Iterable[str]) -> pa.Table:
    """Variants as a table, with these columns of tags."""
    columns = list(columns)
    content = [{**variant._asdict(), **{name: variant.tags.get(name) for name in columns}} for variant in variants]
    return pa.Table.from_pylist(content, schema=schema_of(columns))
