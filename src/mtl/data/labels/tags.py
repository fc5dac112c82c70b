"""A tag per token: entities in IOB2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, is_empty
from mtl.data.spans import entities, first_illegal, to_iob2
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = lazy("pyarrow"), lazy("pyarrow.compute")


class TagsLabel(LabelSettings):
    """A tag per token; read as IOB1, IOB2 or BIOES, kept as IOB2."""

    implementation = "mtl.data.labels.tags:Tags"
    positional = True

    type: Literal["tags"]
    scheme: Literal["iob1", "iob2", "bioes"] = "iob2"


class Tags(LabelType):
    """Reads and checks IOB2 tags."""

    storage = "code_lists"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A list of strings."""
        return pa.list_(pa.field("element", pa.string(), nullable=False))

    def read(self, row: Mapping[str, Any], tokens: Sequence[str]) -> list[str] | None:
        """The IOB2 tags of a row: from a list, or from tags separated by spaces.

        Raises:
            ValueError: their number is not that of the tokens, or they are not legal in their scheme.
        """
        column = self.settings.column
        value = row.get(column)
        if is_empty(value):
            return None
        tags = value.split() if isinstance(value, str) else value
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f"{column}: must be a list of tags, not {str(value)[:40]!r}")
        if len(tags) != len(tokens):
            raise ValueError(f"{column}: the number of tags ({len(tags)}) is not the number of tokens ({len(tokens)})")
        return to_iob2(tags, self.settings.scheme)

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
