"""Rows of a dataset between reading and writing, and the counts of those left out."""

from typing import Any, Literal, NamedTuple

from mtl.config import Split

FIELD_SEPARATOR = "\n"
"""Separates the text fields of a row when rows are compared."""


class Example(NamedTuple):
    """One row."""

    id: str
    split: Split | Literal[""]
    """Empty until shares have assigned it."""
    fields: dict[str, list[str]]
    """Tokens of each text field."""
    spaces: dict[str, list[bool]]
    """For each text field, whether a space follows each token."""
    labels: dict[str, Any]
    group: str | None = None
    """Value of the column that rows are grouped by, if one is named."""

    @property
    def tokens(self) -> list[str]:
        """Tokens of all text fields."""
        return [token for tokens in self.fields.values() for token in tokens]

    @property
    def text(self) -> str:
        """All text fields, by which rows are compared and assigned to splits."""
        return FIELD_SEPARATOR.join(" ".join(tokens) for tokens in self.fields.values())


class Counts(NamedTuple):
    """Rows of a dataset, counted by source."""

    read: dict[str, int]
    malformed: dict[str, int]
    unlabelled: dict[str, int]
    """Rows that have no label; left out unless a task with consistency learns from them."""
    samples: list[dict[str, Any]]
    """The first malformed rows."""
    warnings: list[str]
    """About the dataset as a whole."""
    dropped: dict[str, int]
    """Train rows left out because their text is held out: ``exact`` and ``near``; empty where none had to be."""
