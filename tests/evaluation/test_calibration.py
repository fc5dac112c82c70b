"""The expected calibration error by its definition."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.evaluation.calibration import calibration_error, calibration_of, checked_rows


def by_definition(checked: Any, bins: int) -> float:
    total = 0.0
    for number in range(bins):
        own = [item for item in checked if number / bins < item["confidence"] <= (number + 1) / bins]
        if own:
            gap = np.mean([item["confidence"] for item in own]) - np.mean([item["right"] for item in own])
            total += abs(gap) * len(own) / len(checked)
    return total


@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=1, max_size=40))
def test_it_is_the_mean_gap_over_bins(pairs: list[tuple[float, bool]]) -> None:
    checked = checked_rows(pairs)
    assert calibration_error(checked, 10) == pytest.approx(by_definition(checked, 10))


def test_before_and_after() -> None:
    right = [True, True, False, True]
    calibrated = [checked_rows([(0.75, value)]) for value in right]
    found = calibration_of(calibrated, [checked_rows([(1.0, value)]) for value in right])
    assert found == (4, pytest.approx(0.25), pytest.approx(0.0))
    assert calibration_of([None, []], [None, []]) is None
    assert calibration_error([]) == 0
