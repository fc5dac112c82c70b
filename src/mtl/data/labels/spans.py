"""Typed ranges of tokens per row, which do not overlap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, class_name, is_empty, range_of, range_tags
from mtl.data.spans import entities
from mtl.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = lazy("numpy"), lazy("pyarrow"), lazy("pyarrow.compute")


class SpansLabel(LabelSettings):
    """Typed ranges of a text field: a list of ``{start, end, type}`` in tokens, ``end`` exclusive.

    An empty list is a label; null is none.
    """

    implementation = "mtl.data.labels.spans:Spans"
    positional = True

    type: Literal["spans"]


class Spans(LabelType):
    """Reads lists of typed ranges, sorted by start."""

    storage = "objects"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A list of structs (start, end, type)."""
        item = pa.struct(
            [pa.field(name, pa.int32(), nullable=False) for name in ("start", "end")] + [pa.field("type", pa.string(), nullable=False)]
        )
        return pa.list_(pa.field("element", item, nullable=False))

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> list[dict[str, Any]] | None:
        """The ranges of a row.

        Raises:
            ValueError: a range is malformed, has no type, lies outside the text, or overlaps another.
        """
        column = self.settings.column
        value = row.get(column)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(f"{column}: must be a list of {{start, end, type}}, not {str(value)[:40]!r}")
        ranges = sorted(_typed_range(item, column, len(tokens)) for item in value)
        for (_, end, _), (start, _, _) in itertools.pairwise(ranges):
            if start < end:
                raise ValueError(f"{column}: ranges overlap at token {start}")
        return [{"start": start, "end": end, "type": name} for start, end, name in ranges]

    @classmethod
    def illegal(cls, column: pa.ChunkedArray, lengths: pa.ChunkedArray) -> tuple[int, str] | None:
        """Ranges inside the text, sorted and without overlap."""
        rows, ranges = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
        starts, ends = (pc.struct_field(ranges, [name]).to_numpy() for name in ("start", "end"))
        illegal = (starts < 0) | (starts >= ends) | (ends > lengths.to_numpy()[rows])
        illegal[1:] |= (rows[1:] == rows[:-1]) & (starts[1:] < ends[:-1])
        return (int(rows[np.argmax(illegal)]), "has a range outside the text or overlapping ranges") if illegal.any() else None

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Ranges by type."""
        return {"entities": dict(sorted(Counter(item["type"] for items in values for item in items).items()))}

    @classmethod
    def to_tags(cls, value: Any, length: int) -> list[str] | None:
        """One entity per range."""
        return None if value is None else range_tags([(item["start"], item["end"], item["type"]) for item in value], length)

    @classmethod
    def from_tags(cls, tags: Sequence[str] | None, value: Any) -> Any:
        """One range per entity."""
        return None if tags is None else [{"start": entity.start, "end": entity.end, "type": entity.type} for entity in entities(tags)]


def _typed_range(item: Mapping[str, Any], column: str, length: int) -> tuple[int, int, str]:
    start, end = range_of([item.get("start"), item.get("end")], column, length)
    if is_empty(item.get("type")):
        raise ValueError(f"{column}: the range [{start}, {end}) has no type")
    return start, end, class_name(item["type"], column)
