"""A target text per row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, is_empty
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


class TextLabel(LabelSettings):
    """A target text, such as a translation or a summary. Augmentation never changes it."""

    implementation = "mtl.data.labels.text:Text"
    restates = True

    type: Literal["text"]


class Text(LabelType):
    """Reads target texts; white space is normalised to single spaces."""

    storage = "objects"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A string."""
        return pa.string()

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> str | None:
        """The target text of a row.

        Raises:
            ValueError: the value is not a text.
        """
        value = row.get(self.settings.column)
        if is_empty(value):
            return None
        if not isinstance(value, str):
            raise ValueError(f"{self.settings.column}: the target is not a text: {str(value)[:40]!r}")
        return " ".join(value.split())

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Mean length in words."""
        return {"words": statistics.fmean(len(value.split()) for value in values) if values else None}
