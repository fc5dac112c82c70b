"""A tag per token: entities in IOB2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, is_empty, known_name, numbered
from mtl.data.spans import entities, first_illegal, to_iob2
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = lazy("pyarrow"), lazy("pyarrow.compute")


class TagsLabel(LabelSettings):
    """A tag per token; read in the scheme of the file, kept as IOB2."""

    implementation = "mtl.data.labels.tags:Tags"
    positional = True

    type: Literal["tags"]
    scheme: Literal["iob1", "iob2", "bioes", "bilou", "bmes"] = "iob2"
    names: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of tags that the column numbers from 0, in order, such as ``[O, B-PER, I-PER]``."""


class Tags(LabelType):
    """Reads and checks IOB2 tags."""

    storage = "code_lists"

    def __init__(self, settings: TagsLabel) -> None:
        super().__init__(settings)
        self.names = None if settings.names is None else numbered(settings.names)

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A list of strings."""
        return pa.list_(pa.field("element", pa.string(), nullable=False))

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> list[str] | None:
        """The IOB2 tags of a row: from a list, or from tags separated by spaces.

        Raises:
            ValueError: a tag is unknown, their number is not that of the tokens, or they are not legal in their scheme.
        """
        column = self.settings.column
        value = row.get(column)
        if is_empty(value):
            return None
        tags = self._tags(value)
        if len(tags) != len(tokens):
            raise ValueError(f"{column}: the number of tags ({len(tags)}) is not the number of tokens ({len(tokens)})")
        return to_iob2(tags, self.settings.scheme)

    def _tags(self, value: Any) -> list[str]:
        """The tags of a cell by their names.

        Raises:
            ValueError: it is not a list of tags, or one is a number without a name.
        """
        column = self.settings.column
        tags = value.split() if isinstance(value, str) else value
        if not isinstance(tags, list) or not all(isinstance(tag, str) or type(tag) is int for tag in tags):
            raise ValueError(f"{column}: must be a list of tags, not {str(value)[:40]!r}")
        if self.names is not None:
            return [known_name(str(tag), self.names, column) for tag in tags]
        if tags and all(str(tag).isdecimal() for tag in tags):
            raise ValueError(f"{column}: the tags are numbers, {str(value)[:40]}; list the names of 0, 1, … in the label's key names")
        return [str(tag) for tag in tags]

    @classmethod
    def illegal(cls, column: pa.ChunkedArray, lengths: pa.ChunkedArray) -> tuple[int, str] | None:
        """One tag per token, legal IOB2."""
        same = pc.fill_null(pc.equal(pc.list_value_length(column), lengths), True)
        if not pc.all(same, min_count=0).as_py():
            return same.to_pylist().index(False), "has another length than tokens"
        row = first_illegal(column)
        return None if row is None else (row, f"is not legal IOB2: {' '.join(column[row].as_py())}")

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Entities by type."""
        return {"entities": dict(sorted(Counter(entity.type for tags in values for entity in entities(tags)).items()))}

    @classmethod
    def to_tags(cls, value: Any, length: int) -> list[str] | None:
        """The tags themselves."""
        return None if value is None else list(value)

    @classmethod
    def from_tags(cls, tags: Sequence[str] | None, value: Any) -> Any:
        """The tags themselves."""
        return None if tags is None else list(tags)
