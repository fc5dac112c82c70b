"""A class per row."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from mtl.data.labels.base import LabelType, RenamedLabel, class_name, is_empty, known_name, number
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


Bound = Annotated[float, Field(allow_inf_nan=True)]


class ClassLabel(RenamedLabel):
    """A class per row: the column's own values, mapped values, or a number cut into named bins."""

    implementation = "mtl.data.labels.single_class:SingleClass"

    type: Literal["class"]
    bins: Annotated[dict[str, tuple[Bound, Bound]], Field(min_length=1)] | None = None
    """Class to ``[low, high)``; the bin with the greatest ``high`` includes it. A number in no bin has no label. ``-.inf`` and ``.inf``
    are bounds too."""

    @model_validator(mode="after")
    def _check_bins(self) -> ClassLabel:
        if self.bins is not None and self.renamed is not None:
            raise ValueError("give only one of values, names and bins")
        ranges = sorted((low, high, name) for name, (low, high) in (self.bins or {}).items())
        for low, high, name in ranges:
            if not low < high:
                raise ValueError(f"bin {name}: low {low} must be less than high {high}")
        for (_, high, first), (low, _, second) in itertools.pairwise(ranges):
            if low < high:
                raise ValueError(f"bins {first} and {second} overlap")
        return self


class SingleClass(LabelType):
    """Reads classes."""

    storage = "codes"

    def __init__(self, settings: ClassLabel) -> None:
        super().__init__(settings)
        self.renamed = settings.renamed

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A string."""
        return pa.string()

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> str | None:
        """The class that the column's value stands for.

        Raises:
            ValueError: the value is not named in ``values`` or ``names``, is not a number though there are ``bins``, or is a list.
        """
        settings: ClassLabel = self.settings
        value = row.get(settings.column)
        if is_empty(value):
            return None
        if settings.bins is not None:
            return bin_of(number(value, settings.column), settings.bins)
        name = class_name(value, settings.column)
        return name if self.renamed is None else known_name(name, self.renamed, settings.column)

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Rows by class."""
        return {"classes": dict(sorted(Counter(values).items()))}


def bin_of(value: float, bins: Mapping[str, tuple[float, float]]) -> str | None:
    """The bin ``[low, high)`` that holds a number; the one with the greatest ``high`` holds that too."""
    greatest = max(high for _, high in bins.values())
    for name, (low, high) in bins.items():
        if low <= value < high or value == high == greatest:
            return name
    return None
