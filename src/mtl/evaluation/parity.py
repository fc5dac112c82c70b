"""The score of a token-level task on raw text beside that on the tokens of the same test rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mtl import plugins
from mtl.evaluation.bootstrap import interval, resample
from mtl.tasks.base import Metric


class Labels(NamedTuple):
    """Gold labels and predictions, row by row, in the form of the predictions file."""

    gold: Sequence[str]
    prediction: Sequence[str]


class Parity(NamedTuple):
    """A metric on raw text beside that on tokens."""

    tokens: float
    raw_text: float
    difference: float
    """On raw text minus on tokens."""
    low: float
    """Interval of the difference, from resamples of the same rows."""
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return self.low > 0 or self.high < 0


def parity(
    task_type: str, metric: Metric, keys: Sequence[str], on_tokens: Labels, on_raw_text: Labels, resamples: int, confidence: float
) -> Parity:
    """Compare both scores by the paired bootstrap.

    Args:
        task_type: its name in ``params.yaml``.
        metric: one of its metrics.
        keys: of the rows.
        on_tokens: labels of tokens.
        on_raw_text: labels of the characters of the same rows' texts.
        resamples: how many.
        confidence: of the interval.
    """
    type_ = plugins.task_type(task_type)
    tokens, raw_text = (float(type_.scores(*side, metric)[metric.name]) for side in (on_tokens, on_raw_text))
    drawn, raw_drawn = (type_.resampled(*side, metric)[metric.name] for side in (on_tokens, on_raw_text))
    # Not centred, unlike other differences: both sides are predictions of one model, and biased alike.
    differences = np.concatenate([raw_drawn(weights) - drawn(weights) for weights in resample(keys, resamples)])
    return Parity(tokens, raw_text, raw_text - tokens, *interval(np.nan_to_num(differences), confidence))
