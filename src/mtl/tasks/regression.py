"""A number per row."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl.config import Consistency, TaskSettings
from mtl.lazy import lazy
from mtl.tasks.base import Label, Metric, PlainHead, Prediction, State, TaskType, TextRow
from mtl.tasks.views import Judge, Judged, written

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Outputs, Weighted, WordIds
else:
    np, torch, heads = lazy("numpy"), lazy("torch"), lazy("mtl.tasks.heads")

UNBOUNDED = float("inf")


class RegressionSettings(TaskSettings):
    """A number per row: squared error on the pooled text."""

    implementation = "mtl.tasks.regression:Regression"
    label_types = ("number",)

    type: Literal["regression"]


def numbers(texts: Sequence[str]) -> Array:
    """Numbers from the form that the predictions file holds."""
    return np.array([float(text) for text in texts], dtype=np.float64)


def moments(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """The moments n, x, y, xx, yy, xy of each row, ``[rows, 6]``: gold x and prediction y, each ``scaled``.

    Pearson's r does not change with shift and scale, and so no sum of squares cancels, overflows or vanishes.
    """
    x, y = scaled(numbers(gold)), scaled(numbers(prediction))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def scaled(values: Array) -> Array:
    """Numbers less their mean, in units of their range; of one that does not vary 0."""
    spread = np.ptp(values) if len(values) else 0.0
    result: Array = (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)
    return result


def rms(values: Array) -> float:
    """The root of the mean square, which does not vanish or overflow where the squares would."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * math.sqrt(float(np.mean((values / largest) ** 2))) if largest > 0 else 0.0


def pearson_of(counts: Array) -> Array:
    """Pearson's r ``[resamples]`` from summed moments; NaN where gold or prediction does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(counts, -1, 0)
    n = np.maximum(n, 1)
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # Rounding leaves a trace of spread in constant values; a share of the raw square sum tells it from real spread.
    varies = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
    scale = np.sqrt(np.where(varies, spread_x, 1)) * np.sqrt(np.where(varies, spread_y, 1))
    result: Array = np.where(varies, np.clip((xy - x * y / n) / scale, -1, 1), np.nan)
    return result


def pearson(x: Array, y: Array) -> float:
    """Pearson's r, 0 where a side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    a, b = scaled(x), scaled(y)
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))


class Regression(TaskType):
    """A number per row: squared error on targets standardised by the train split's mean and standard deviation."""

    name = "regression"
    all_metrics = (
        Metric("pearson", low=-1.0, hub="pearsonr", title="Pearson r"),
        Metric("spearman", low=-1.0, hub="spearmanr", title="Spearman ρ"),
        Metric("mse", high=UNBOUNDED, higher_is_better=False, title="mean squared error"),
        Metric("rmse", high=UNBOUNDED, higher_is_better=False, title="root mean squared error", listed=False),
    )
    hub_task = "text-classification"  # the hub's name for any head on the whole text
    views = ("scatter",)

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.mean: float = state["mean"]
        self.std: float = state["std"]

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """Mean and standard deviation (1 if the labels do not vary), and the value of all labels if they are the same."""
        values = np.fromiter((float(str(label)) for label in labels if label is not None), dtype=np.float64)
        if not len(values):
            return {"mean": 0.0, "std": 1.0}
        if np.ptp(values) == 0:  # of equal values rounding can leave a trace of deviation
            return {"mean": float(values.mean()), "std": 1.0, "constant": float(values[0])}
        return {"mean": float(values.mean()), "std": float(values.std()) or 1.0}  # squares of tiny deviations vanish

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer with one output on the pooled text."""
        return heads.PooledHead(width, 1, dropout)

    def plain_head(self, head: Any) -> PlainHead:
        """Of a regression of texts, in the label's own units."""
        weight, bias = heads.weights(head.layers)
        return PlainHead("AutoModelForSequenceClassification", weight * self.std, bias * self.std + self.mean, problem_type="regression")

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
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

    def divergence(self, original: Tensor, variant: Tensor, settings: Consistency) -> tuple[Tensor, Tensor]:
        """Squared difference in units of the train variance. A number states no confidence: all are followed."""
        difference = (variant - original).squeeze(-1)
        return difference.square().sum(), torch.tensor(len(difference), device=difference.device)

    def activate(self, logits: Tensor) -> Tensor:
        """The number in the label's own units, float64 ``[rows]``."""
        return logits.double().squeeze(-1) * self.std + self.mean

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The number of each row. A point estimate has no probability: its confidence is always 1."""
        return [Prediction(value, 1.0) for value in outputs.tolist()]

    @staticmethod
    def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
        """Pearson and Spearman correlation, equal to scipy's but 0 where undefined, and the mean squared error with its root."""
        from scipy import stats  # takes most of a second to import, and only this function needs it

        x, y = numbers(gold), numbers(prediction)
        if not len(x):
            return dict.fromkeys(("pearson", "spearman", "mse", "rmse"), 0.0)
        correlations = {"pearson": pearson(x, y), "spearman": pearson(stats.rankdata(x), stats.rankdata(y))}
        return {**correlations, "mse": float(np.mean((x - y) ** 2)), "rmse": rms(x - y)}

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """Pearson from moments, Spearman from ranks in each resample, the mean squared error from errors."""
        matrix, x, y = moments(gold, prediction), numbers(gold), numbers(prediction)
        squared, root = (x - y) ** 2, rms(x - y)
        relative = ((x - y) / (root or 1)) ** 2
        return {
            "pearson": lambda weights: pearson_of(weights @ matrix),
            "spearman": lambda weights: _correlation(_ranks(x, weights), _ranks(y, weights), weights),
            "mse": lambda weights: weights @ squared / len(squared),
            "rmse": lambda weights: root * np.sqrt(weights @ relative / len(relative)),
        }

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"value"}``."""
        return {"value": prediction.value}

    def describe(self) -> str:
        """Mean and standard deviation of the train labels."""
        if "constant" in self.state:
            return f"a number; in training always {_rounded(self.state['constant'])}"
        return f"a number; in training {_rounded(self.mean)} on average, standard deviation {_rounded(self.std)}"

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One number against another, in bands of the gold numbers."""
        band = bands([float(row["gold"]) for row in rows])
        return lambda row: _judged(row, band)

    @staticmethod
    def wrong_rows(rows: int, wrong: int, listed: int) -> str:
        """The rows with the largest errors are listed."""
        return f"the {listed} of {rows:,} rows with the largest errors".replace(",", "\u202f")


SIDES = ("too high", "too low")


def _judged(row: Mapping[str, Any], band: Callable[[float], str]) -> Judged:
    """Regression has no confidence; the distance stands in its place."""
    gold, prediction = float(row["gold"]), float(row["prediction"])
    error = prediction - gold
    pairs = [(band(gold), SIDES[error < 0])] if error else []
    certainty = f"off by {_plain(error, signed=True)}"
    return Judged(written(row), _plain(gold), _plain(prediction), pairs, abs(error), certainty, abs(error))


def bands(values: Sequence[float]) -> Callable[[float], str]:
    """Names of the intervals between a few round numbers."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    marks = round_numbers(low, high) if high > low else [low]

    def name(value: float) -> str:
        place = bisect_right(marks, value)
        if 0 < place < len(marks):
            return f"{_short(marks[place - 1])} to {_short(marks[place])}"
        return f"from {_short(marks[-1])}" if place else f"below {_short(marks[0])}"

    return name


def round_numbers(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(nice for nice in (1, 2, 5, 10) if nice * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _rounded(value: float) -> str:
    """Two decimals, or three digits of a number that those would not show."""
    return f"{value:.2f}" if value == 0 or 0.01 <= abs(value) < 1e9 else f"{value:.3g}"


def _short(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _plain(value: float, *, signed: bool = False) -> str:
    text = f"{value:+.2f}" if signed and round(value, 2) else f"{abs(value) if not round(value, 2) else value:.2f}"
    return text.replace("-", "−")


def _ranks(values: Array, weights: Array) -> Array:
    """Mid-ranks ``[n, rows]`` that each row's value has in each resample."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Array = (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group]
    return ranks


def _correlation(x: Array, y: Array, weights: Array) -> Array:
    """Pearson's r of ``[n, rows]`` weighted by resample; NaN where a side does not vary."""
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
    result: Array = np.where(spread > 1e-9, (weights * x * y).sum(1) / np.maximum(spread, 1e-9), np.nan)
    return result
