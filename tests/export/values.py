"""Values of predictions compared."""

from typing import Any


def largest_difference(a: Any, b: Any) -> float:
    """Of the numbers in two values; anything else must be equal."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return max([largest_difference(a[key], b[key]) for key in a], default=0.0)
    if isinstance(a, list):
        return max([largest_difference(x, y) for x, y in zip(a, b, strict=True)], default=0.0)
    if isinstance(a, float):
        return abs(a - b)
    assert a == b
    return 0.0
