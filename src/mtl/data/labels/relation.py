"""A class for two marked ranges of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.data.labels.base import LabelType, RenamedLabel, class_name, is_empty, known_name, range_of, range_tags
from mtl.data.spans import entities
from mtl.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = lazy("numpy"), lazy("pyarrow"), lazy("pyarrow.compute")


class RelationLabel(RenamedLabel):
    """The relation between two marked ranges of a text field."""

    implementation = "mtl.data.labels.relation:Relation"
    positional = True
    interchangeable = False  # two other things have another relation

    type: Literal["relation"]
    head: str
    """Column of the first range, ``[start, end)`` in tokens."""
    tail: str
    """Column of the second range."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The class and both ranges."""
        return (self.column, self.head, self.tail)


class Relation(LabelType):
    """Reads a class with its two ranges."""

    storage = "objects"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A struct (class, head and tail)."""
        ends = [pa.field(f"{side}_{end}", pa.int32(), nullable=False) for side in ("head", "tail") for end in ("start", "end")]
        return pa.struct([pa.field("class", pa.string(), nullable=False), *ends])

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> dict[str, Any] | None:
        """The class and both ranges.

        Raises:
            ValueError: a range is malformed or lies outside the text, the ranges overlap, or ``values`` or ``names`` lack the class.
        """
        settings: RelationLabel = self.settings
        value = row.get(settings.column)
        if is_empty(value):
            return None
        head, tail = (range_of(row.get(column), column, len(tokens)) for column in (settings.head, settings.tail))
        if head[0] < tail[1] and tail[0] < head[1]:
            raise ValueError(f"{settings.head} and {settings.tail} overlap at token {max(head[0], tail[0])}")
        ends = {
            f"{side}_{end}": position
            for side, pair in (("head", head), ("tail", tail))
            for end, position in zip(("start", "end"), pair, strict=True)
        }
        name = class_name(value, settings.column)
        return {"class": name if settings.renamed is None else known_name(name, settings.renamed, settings.column), **ends}

    @classmethod
    def illegal(cls, column: pa.ChunkedArray, lengths: pa.ChunkedArray) -> tuple[int, str] | None:
        """Both ranges inside the text, without overlap."""
        rows, labels = np.flatnonzero(column.is_valid().to_numpy()), column.drop_null()
        head, tail = ([pc.struct_field(labels, [f"{side}_{end}"]).to_numpy() for end in ("start", "end")] for side in ("head", "tail"))
        illegal = (head[0] < tail[1]) & (tail[0] < head[1])
        for start, end in (head, tail):
            illegal |= (start < 0) | (start >= end) | (end > lengths.to_numpy()[rows])
        return (int(rows[np.argmax(illegal)]), "has a range outside the text or overlapping ranges") if illegal.any() else None

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Rows by class."""
        return {"classes": dict(sorted(Counter(value["class"] for value in values).items()))}

    @classmethod
    def to_tags(cls, value: Any, length: int) -> list[str] | None:
        """An entity ``head`` and an entity ``tail``."""
        if value is None:
            return None
        return range_tags([(value["head_start"], value["head_end"], "head"), (value["tail_start"], value["tail_end"], "tail")], length)

    @classmethod
    def from_tags(cls, tags: Sequence[str] | None, value: Any) -> Any:
        """The class of the original row with the ranges that the tags spell."""
        if tags is None:
            return None
        ends = {f"{entity.type}_{end}": getattr(entity, end) for entity in entities(tags) for end in ("start", "end")}
        return {"class": value["class"], **ends}
