"""A set of classes per row, which may be empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtl.data.labels.base import LabelType, RenamedLabel, class_name, is_empty, known_name
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


class ClassesLabel(RenamedLabel):
    """A set of classes: a list, or one string with a separator. An empty list is a label; null is not."""

    implementation = "mtl.data.labels.several_classes:SeveralClasses"

    type: Literal["classes"]
    separator: Annotated[str, Field(min_length=1)] = ","
    """Separates the classes of a string."""


class SeveralClasses(LabelType):
    """Reads sets of classes, sorted."""

    storage = "code_lists"

    def __init__(self, settings: ClassesLabel) -> None:
        super().__init__(settings)
        self.renamed = settings.renamed

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A list of strings."""
        return pa.list_(pa.field("element", pa.string(), nullable=False))

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> list[str] | None:
        """The sorted classes of a row, each once.

        Raises:
            ValueError: a value is not named in ``values`` or ``names``, or is a list or object.
        """
        settings: ClassesLabel = self.settings
        value = row.get(settings.column)
        if not isinstance(value, list) and is_empty(value):
            return None
        items = value if isinstance(value, list) else class_name(value, settings.column).split(settings.separator)
        names = {class_name(item, settings.column) for item in items} - {""}
        known = self.renamed
        return sorted(names if known is None else {known_name(name, known, settings.column) for name in sorted(names)})

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Rows by class; a row counts for each of its classes."""
        return {"classes": dict(sorted(Counter(name for names in values for name in names).items()))}
