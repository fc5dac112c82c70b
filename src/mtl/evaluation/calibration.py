"""How far stated confidences are from the share of what is right."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

BINS = 15
"""Of equal width, as in Guo et al. (2017)."""
CHECKED = pa.list_(pa.struct([("confidence", pa.float64()), ("right", pa.bool_())]))
"""Type of a column of the predictions file: see ``TaskType.checked``."""
Checked = Sequence[Mapping[str, Any]]
"""A value of such a column: each confidence of a row with whether it is ``right``."""


class Calibration(NamedTuple):
    """Expected calibration errors of a run for a task on the test split."""

    confidences: int
    """How many the test rows have: one a row, or one an entity or a class of each row."""
    before: float
    """With temperature 1."""
    after: float
    """With the fitted temperature."""


def checked_rows(checked: Iterable[tuple[float, bool]]) -> Checked:
    """What ``TaskType.checked`` gives, for the predictions file."""
    return [{"confidence": confidence, "right": right} for confidence, right in checked]


def calibration_of(calibrated: Iterable[Checked | None], uncalibrated: Iterable[Checked | None]) -> Calibration | None:
    """From columns of the predictions file for one task; None where it states no confidence that has a temperature."""
    after, before = ([item for row in column for item in row or ()] for column in (calibrated, uncalibrated))
    return Calibration(len(after), calibration_error(before), calibration_error(after)) if after else None


def calibration_error(checked: Checked, bins: int = BINS) -> float:
    """The expected calibration error (Guo et al. 2017, "On calibration of modern neural networks"): the mean over confidences of the
    difference between the mean confidence and the share of right ones in the bin of a confidence. Bins have equal width, and a confidence
    on an edge belongs to the lower one.

    Args:
        checked: each with its ``confidence`` and whether it is ``right``; 0 if there are none.
        bins: their number.
    """
    confidence = np.array([item["confidence"] for item in checked], dtype=np.float64)
    right = np.array([item["right"] for item in checked], dtype=np.float64)
    numbers = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(numbers, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(checked), 1))
