"""A number per text."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl.tasks.base import Counts, Label, Prediction, State, TaskType, Words


def numbers(texts: Sequence[str]) -> Counts:
    """Numbers from the form that the predictions file holds."""
    return np.array([float(text) for text in texts], dtype=np.float64)


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Counts:
    """The moments n, x, y, xx, yy, xy of each row, ``[rows, 6]``: gold x and prediction y, each less its mean over all rows.

    Pearson's r does not change with the shift, and sums of squares about the mean do not cancel.
    """
    x, y = numbers(gold), numbers(prediction)
    if len(x):
        x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def from_counts(counts: Counts) -> Counts:
    """Pearson's r ``[resamples]`` from summed moments; 0 where gold or prediction does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(counts, -1, 0)
    n = np.maximum(n, 1)
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # Rounding leaves a trace of spread in constant values; a share of the raw square sum tells it from real spread.
    varies = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
    scale = np.sqrt(np.where(varies, spread_x, 1)) * np.sqrt(np.where(varies, spread_y, 1))
    result: Counts = np.where(varies, np.clip((xy - x * y / n) / scale, -1, 1), 0.0)
    return result


def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
    """Pearson and Spearman correlation, equal to scipy's but 0 where undefined, and the mean squared error."""
    from scipy import stats  # takes most of a second to import, and only this function needs it

    x, y = numbers(gold), numbers(prediction)
    if not len(x):
        return {"pearson": 0.0, "spearman": 0.0, "mse": 0.0}
    return {"pearson": pearson(x, y), "spearman": pearson(stats.rankdata(x), stats.rankdata(y)), "mse": float(np.mean((x - y) ** 2))}


def pearson(x: Counts, y: Counts) -> float:
    """Pearson's r, 0 where a side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    a, b = (x - x.mean()) / np.ptp(x), (y - y.mean()) / np.ptp(y)
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))


def per_type(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
    """Numbers have no types: empty."""
    return {}


class Regression(TaskType):
    """A number per text: squared error on targets standardised by the train split's mean and standard deviation."""

    level = "text"
    main_metric = "pearson"
    lowest = -1.0
    counts = staticmethod(counts)
    from_counts = staticmethod(from_counts)
    metrics = staticmethod(metrics)
    per_type = staticmethod(per_type)

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.mean: float = state["mean"]
        self.std: float = state["std"]

    @staticmethod
    def fit(labels: Sequence[Label | None], label_smoothing: float = 0.0) -> State:
        """Mean and standard deviation (1 if the labels do not vary). Label smoothing has no meaning for numbers and is ignored."""
        values = np.fromiter((float(str(label)) for label in labels if label is not None), dtype=np.float64)
        if not len(values):
            return {"mean": 0.0, "std": 1.0}
        varies = bool(np.ptp(values) > 0)  # of equal values rounding can leave a trace of deviation; of tiny ones it leaves none
        return {"mean": float(values.mean()), "std": (varies and float(values.std())) or 1.0}

    @property
    def outputs(self) -> int:
        """One number."""
        return 1

    def targets(self, labels: Sequence[Label | None], word_ids: Words | None = None) -> Tensor:
        """Standardised numbers float32 ``[rows]``, NaN where masked."""
        values = [math.nan if label is None else float(str(label)) for label in labels]
        return ((torch.tensor(values, dtype=torch.float64) - self.mean) / self.std).float()

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets.isnan().logical_not()

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed squared error in units of the train variance, and the number of labelled rows; logits ``[rows, 1]``."""
        # Filled before the square, whose gradient would be NaN × 0 otherwise.
        error = (logits.float().squeeze(-1) - targets).masked_fill(~self.labelled(targets), 0.0)
        return error.square().sum(), self.count(targets)

    def decode(self, logits: Tensor, word_ids: Words | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The number in the label's own units. A point estimate has no probability: the confidence is 1 always."""
        values = logits.detach().double().squeeze(-1) * self.std + self.mean
        return [Prediction(value, 1.0) for value in values.tolist()]
