"""A number per row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, is_empty, number
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

LARGEST = 1e100
"""Largest magnitude of a number that is a label: sums of squares of such numbers are finite for any number of rows."""


class NumberLabel(LabelSettings):
    """A number per row."""

    implementation = "mtl.data.labels.number:Number"

    type: Literal["number"]


class Number(LabelType):
    """Reads numbers."""

    storage = "numbers"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A double."""
        return pa.float64()

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> float | None:
        """The number that the column's value stands for.

        Raises:
            ValueError: it is not a number, or one beyond ``LARGEST``.
        """
        column = self.settings.column
        value = row.get(column)
        if is_empty(value):
            return None
        result = number(value, column)
        if abs(result) > LARGEST:
            raise ValueError(f"{column}: {result:g} is too large to be learnt: numbers may go from {-LARGEST:g} to {LARGEST:g}")
        return result

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Mean, population standard deviation, minimum and maximum."""
        if not values:
            return {"mean": None, "std": None, "min": None, "max": None}
        return {"mean": statistics.fmean(values), "std": statistics.pstdev(values), "min": min(values), "max": max(values)}
