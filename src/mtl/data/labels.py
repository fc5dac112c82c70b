"""From a column's value to a label: a class, a number, or IOB2 tags. A null or an empty cell is no label, which masks the loss."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from mtl.config import ClassLabel, NumberLabel, TagsLabel
from mtl.data.tags import to_iob2

LabelValue = str | float | list[str] | None

LARGEST = 1e100
"""Greatest size of a number that is a label: sums of squares of such numbers are finite for any number of rows."""


def class_of(value: Any, label: ClassLabel, tokens: Sequence[str]) -> str | None:
    """The class that a value stands for.

    Raises:
        ValueError: the value is not named in ``values``, is no number where there are ``bins``, or is a list or object.
    """
    if _is_empty(value):
        return None
    if label.bins is not None:
        return _bin(number(value, label.column), label.bins)
    name = _as_text(value, label.column)
    if label.values is None:
        return name
    if name not in label.values:
        raise ValueError(f"{label.column}: {name!r} is no known value; choose from: {', '.join(label.values)}")
    return label.values[name]


def number_of(value: Any, label: NumberLabel, tokens: Sequence[str]) -> float | None:
    """The number that a value stands for.

    Raises:
        ValueError: it is no number, or one beyond ``LARGEST``.
    """
    if _is_empty(value):
        return None
    result = number(value, label.column)
    if abs(result) > LARGEST:
        raise ValueError(f"{label.column}: {result:g} is too large to be learnt: numbers may go from {-LARGEST:g} to {LARGEST:g}")
    return result


def tags_of(value: Any, label: TagsLabel, tokens: Sequence[str]) -> list[str] | None:
    """The IOB2 tags of a row: a list, or tags split by spaces.

    Raises:
        ValueError: their number is not that of the tokens, or they are not legal in their scheme.
    """
    if _is_empty(value):
        return None
    tags = value.split() if isinstance(value, str) else value
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"{label.column}: must be a list of tags, not {str(value)[:40]!r}")
    if len(tags) != len(tokens):
        raise ValueError(f"{label.column}: {len(tags)} tags for {len(tokens)} tokens")
    return to_iob2(tags, label.scheme)


LABELS: dict[str, Callable[[Any, Any, Sequence[str]], LabelValue]] = {"class": class_of, "number": number_of, "tags": tags_of}
"""Kind (``mtl.config.Label.kind``) to ``(value, label, tokens) -> label or None``."""


def number(value: Any, column: str) -> float:
    """A finite number.

    Raises:
        ValueError: the value is none.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # Python would take True and 1_0
            raise ValueError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column}: {str(value)[:40]!r} is no number") from None
    if not math.isfinite(result):
        raise ValueError(f"{column}: {value!r} is not finite")
    return result


def _bin(value: float, bins: dict[str, tuple[float, float]]) -> str | None:
    """The bin ``[low, high)`` that holds a number; the one with the greatest ``high`` holds that too."""
    greatest = max(high for _, high in bins.values())
    for name, (low, high) in bins.items():
        if low <= value < high or value == high == greatest:
            return name
    return None


def _as_text(value: Any, column: str) -> str:
    """A class's name: texts without white space around them, true and false as JSON has them, whole numbers without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise ValueError(f"{column}: a {type(value).__name__} is no class")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))
