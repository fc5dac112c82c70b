"""A set of classes per row, which may be empty."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from mtl.config import TaskSettings
from mtl.lazy import lazy
from mtl.tasks.base import MIN_ENTROPY, Label, Metric, PlainHead, Prediction, State, TaskType, TextRow, code, precision_recall_f1
from mtl.tasks.classification import macro_f1
from mtl.tasks.views import Judge, Judged, written

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Outputs, Weighted, WordIds

    Numbers = npt.NDArray[np.floating]
    Mask = npt.NDArray[np.bool_]
else:
    np, torch, nn, heads = lazy("numpy"), lazy("torch"), lazy("torch.nn"), lazy("mtl.tasks.heads")

DEFAULT = 0.5
"""Threshold of a class where none was tuned."""
SMALLEST = 1e-7
"""Distance from 0 and 1 below which float32 does not tell probabilities apart."""
FEWEST = 5
"""Validation rows that a class must have for a threshold of its own; the others share one."""
NO_CLASS = "no class"


class MultilabelClassificationSettings(TaskSettings):
    """A set of classes per row: a sigmoid for each class on the pooled text."""

    implementation = "mtl.tasks.multilabel_classification:MultilabelClassification"
    label_types = ("classes",)

    type: Literal["multilabel_classification"]
    threshold: Literal["tuned"] | Annotated[float, Field(gt=0, lt=1)] = "tuned"
    """Probability from which a class is predicted. ``tuned``: of each class, the one of the highest F1 on the validation rows."""


class MultilabelClassification(TaskType):
    """A set of classes per row: binary cross-entropy of each class of the train split."""

    name = "multilabel_classification"
    all_metrics = (
        Metric("macro_f1", hub="f1", title="macro-F1"),
        Metric("micro_f1", hub="f1", title="micro-F1"),
        Metric("label_ranking_average_precision", title="label ranking average precision"),
        Metric("subset_accuracy", hub="accuracy", title="subset accuracy"),
    )
    hub_task = "text-classification"
    views = ("confusion", "per_class")

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.classes: list[str] = state["classes"]
        self._index = {name: i for i, name in enumerate(self.classes)}

    @property
    def class_names(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    @property
    def calibrates(self) -> bool:
        """Whether thresholds are tuned."""
        return bool(self.state["threshold"] == "tuned")

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """The sorted classes, and the scale of the loss."""
        rows: list[Any] = [row for row in labels if row is not None]
        frequencies = Counter(name for row in rows for name in row)
        shares = [frequency / len(rows) for frequency in frequencies.values()]
        return {
            "classes": sorted(frequencies),
            "loss_scale": max(sum(map(_entropy, shares)), MIN_ENTROPY),
            "threshold": "tuned" if settings is None else settings.threshold,
        }

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer on the pooled text."""
        return heads.PooledHead(width, len(self.classes), dropout)

    def plain_head(self, head: Any) -> PlainHead:
        """Of a classifier of texts; thresholds stay outside."""
        tuned = self.state.get("thresholds")
        thresholds = None if tuned is None else self._tempered(np.array(tuned, dtype=np.float64)).tolist()
        weights = heads.weights(head.layers)
        return PlainHead("AutoModelForSequenceClassification", *weights, self.classes, "multi_label_classification", thresholds)

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """0 or 1 for each class, float32 ``[rows, classes]``, NaN where masked. A class never seen in training is left out of its row."""
        targets = np.zeros((len(labels), len(self.classes)), dtype=np.float32)
        for row, label in enumerate(labels):
            if label is None:
                targets[row] = math.nan
            else:
                targets[row, [self._index[name] for name in _names(label) if name in self._index]] = 1
        return torch.from_numpy(targets)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets.isnan().any(-1).logical_not()

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy summed over classes and labelled rows, over the entropy of all classes; and the number of labelled rows."""
        masked = targets.isnan()
        each = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets.masked_fill(masked, 0.0), reduction="none")
        return each.masked_fill(masked, 0.0).sum() / float(self.state["loss_scale"]), self.count(targets)

    def activate(self, logits: Tensor) -> Tensor:
        """The probability of each class with temperature 1, ``[rows, classes]``: it decides, so that a temperature changes no label."""
        return logits.sigmoid()

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The classes whose probability reaches their threshold, and the probability of every class."""
        return [self._prediction(row) for row in outputs]

    def _prediction(self, probabilities: Numbers) -> Prediction:
        """The confidence is the probability of the least certain decision."""
        chosen, stated = probabilities >= self.thresholds, self._tempered(probabilities)
        decisions = np.where(chosen, stated, 1 - stated)
        value = {
            "classes": [self.classes[i] for i in np.flatnonzero(chosen)],
            "probabilities": dict(zip(self.classes, stated.tolist(), strict=True)),
        }
        return Prediction(value, float(decisions.min(initial=1.0)))

    @property
    def thresholds(self) -> Numbers:
        """Of the probabilities that ``activate`` gives."""
        fixed = DEFAULT if self.calibrates else self.state["threshold"]
        return np.array(self.state.get("thresholds", [fixed] * len(self.classes)), dtype=np.float32)

    def _tempered(self, probabilities: Numbers) -> Numbers:
        """Probabilities of the task's temperature from those of temperature 1."""
        if self.temperature == 1:
            return probabilities
        known = np.clip(probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST)
        return 1 / (1 + (1 / known - 1) ** (1 / self.temperature))

    @property
    def has_temperature(self) -> bool:
        """Not with a threshold of the settings: whether a class reaches it would depend on the temperature."""
        return self.calibrates

    def decisions(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One per class: absent or present."""
        labelled = self.labelled(targets)
        present = logits[labelled].flatten()
        return torch.stack([torch.zeros_like(present), present], dim=-1), targets[labelled].flatten().long()

    @property
    def choices(self) -> Sequence[str]:
        """Whether a class is there."""
        return ("absent", "present")

    @property
    def decided(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """The probability of each decision, that a class is present or that it is absent."""
        gold, chosen = set(_names(label)), set(_scored(prediction)["classes"])
        stated = _scored(prediction)["probabilities"].items()
        return [(p if name in chosen else 1 - p, (name in chosen) == (name in gold)) for name, p in stated]

    def calibrate(self, gold: Sequence[Label], predictions: Sequence[Prediction]) -> list[Prediction]:
        """Tune the thresholds."""
        probabilities = np.array([list(_scored(prediction)["probabilities"].values()) for prediction in predictions], dtype=np.float32)
        self.state["thresholds"] = thresholds(probabilities, self.targets(gold).numpy() > 0).tolist()
        return [self._prediction(row) for row in probabilities]

    def constant(self, predictions: Sequence[Prediction]) -> Any:
        """The set of classes of all rows, if it is the same."""
        values = {tuple(_scored(prediction)["classes"]) for prediction in predictions}
        return (", ".join(values.pop()) or NO_CLASS) if len(values) == 1 else None

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """Macro- and micro-F1, label ranking average precision and subset accuracy, equal to scikit-learn's.

        F1 comes from counts, the others from the value of each row. Macro-F1 is the mean over the classes that occur, as gold or as
        prediction.
        """
        matrix, precision, exact = counts(gold, prediction), ranking_precision(gold, prediction), _exact(gold, prediction)
        return {
            "macro_f1": lambda weights: macro_f1(weights @ matrix),
            "micro_f1": lambda weights: precision_recall_f1(*(third.sum(-1) for third in np.split(weights @ matrix, 3, axis=-1)))[2],
            "label_ranking_average_precision": lambda weights: weights @ precision / len(precision),
            "subset_accuracy": lambda weights: weights @ exact / len(exact),
        }

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """Counts of rows per class; a row counts for each of its classes."""
        return names(*_sets(gold, prediction)), counts(gold, prediction)

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any]:
        """How often a class was missed (row) where another one was predicted instead (column), and on the diagonal its hits.

        A row counts for each class that it misses with each that it adds. ``NO_CLASS`` stands for nothing missed, or nothing added.
        """
        rows = list(zip(*_sets(gold, prediction), strict=True))
        order = [*names(*_sets(gold, prediction)), NO_CLASS]
        index = {name: i for i, name in enumerate(order)}
        matrix, total = np.zeros((len(order), len(order)), dtype=np.int64), np.zeros(len(order), dtype=np.int64)
        for wanted, chosen in rows:
            missed, added = (sorted(side) or [NO_CLASS] for side in (wanted - chosen, chosen - wanted))
            cells = [*product(missed, added), *((name, name) for name in wanted & chosen)]
            np.add.at(matrix, tuple(np.array([[index[name] for name in cell] for cell in cells]).T), 1)
            total[[index[name] for name in {*wanted, *missed}]] += 1
        return {"classes": order, "counts": matrix.tolist(), "gold": total.tolist()}

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"labels": [{"label", "probability"}]}``, the most probable class first."""
        probabilities = _scored(prediction)["probabilities"]
        labels = sorted(_scored(prediction)["classes"], key=lambda name: -probabilities[name])
        return {"labels": [{"label": name, "probability": probabilities[name]} for name in labels]}

    def describe(self) -> str:
        """The classes."""
        return "any of " + ", ".join(map(code, self.classes))

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One set of classes against another."""
        return _judged


def thresholds(probabilities: Numbers, gold: Mask) -> Numbers:
    """For each class the threshold of the highest F1, float32 ``[classes]``.

    Rare classes share the threshold of the highest F1 over all decisions: one tuned on a few rows would fit these rows only
    (Yang 2001, "A study of thresholding strategies for text categorization").

    Args:
        probabilities: ``[rows, classes]``.
        gold: bool ``[rows, classes]``.
    """
    shared = _best_threshold(probabilities.ravel(), gold.ravel())
    own = [_best_threshold(p, y) if y.sum() >= FEWEST else shared for p, y in zip(probabilities.T, gold.T, strict=True)]
    return np.array(own, dtype=np.float32)


def _best_threshold(probabilities: Numbers, gold: Mask) -> float:
    """Between two probabilities that occur; of equally good ones the highest. ``DEFAULT`` without gold rows."""
    if not gold.any():
        return DEFAULT
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order].astype(np.float64)
    f1 = 2 * np.cumsum(gold[order]) / (np.arange(1, len(order) + 1) + gold.sum())
    below = np.append(ranked[1:], 0.0)
    best = int(np.where(ranked > below, f1, -1).argmax())  # equal probabilities cannot be parted
    return float((ranked[best] + below[best]) / 2)


def _entropy(share: float) -> float:
    """Of a binary label, in nats."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


def _names(label: Label) -> Sequence[str]:
    """The classes of a label."""
    return cast("Sequence[str]", label)


def _scored(prediction: Prediction) -> Mapping[str, Any]:
    """The value of a prediction of this task type."""
    return cast("Mapping[str, Any]", prediction.value)


def _sets(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[set[str]], list[set[str]]]:
    """The classes of each row, from the form that the predictions file holds."""
    return [set(json.loads(row)) for row in gold], [set(json.loads(row)["classes"]) for row in prediction]


def names(gold: Sequence[set[str]], prediction: Sequence[set[str]]) -> list[str]:
    """All classes that occur, sorted."""
    return sorted(set().union(*gold, *prediction))


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """Hits, predictions and gold rows per class and row: ``[rows, 3 * classes]``, the classes sorted within each third."""
    sides = _sets(gold, prediction)
    index = {name: i for i, name in enumerate(names(*sides))}
    is_gold, is_predicted = np.zeros((2, len(gold), len(index)))
    for matrix, side in ((is_gold, sides[0]), (is_predicted, sides[1])):
        for row, chosen in enumerate(side):
            matrix[row, [index[name] for name in chosen]] = 1
    return np.concatenate([is_gold * is_predicted, is_predicted, is_gold], axis=1)


def ranking_precision(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """Label ranking average precision of each row, ``[rows]``: 1 for a row with no class or all of them, as in scikit-learn."""
    return np.array([_ranking_precision(json.loads(a), json.loads(b)["probabilities"]) for a, b in zip(gold, prediction, strict=True)])


def _ranking_precision(gold: Sequence[str], probabilities: Mapping[str, float]) -> float:
    """The mean over the gold classes of the share of gold ones among the classes ranked as high or higher. Unknown classes come last."""
    ranked = np.array([*probabilities.values(), *(-1.0 for name in gold if name not in probabilities)])
    relevant = np.array([probabilities.get(name, -1.0) for name in gold])
    if len(relevant) in (0, len(ranked)):
        return 1.0
    above = (relevant[:, None] <= relevant).sum(1) / (relevant[:, None] <= ranked).sum(1)
    return float(above.mean())


def _exact(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """Whether each row's classes are all right, ``[rows]`` of 0 and 1."""
    return np.array([a == b for a, b in zip(*_sets(gold, prediction), strict=True)], dtype=np.float64)


def _judged(row: Mapping[str, Any]) -> Judged:
    (gold,), (predicted,) = _sets([row["gold"]], [row["prediction"]])
    missed, spurious = sorted(gold - predicted), sorted(predicted - gold)
    pairs = [(a, b) for a in missed or [NO_CLASS] for b in spurious or [NO_CLASS]] if missed or spurious else []
    before, after = (", ".join(sorted(side)) or NO_CLASS for side in (gold, predicted))
    confidence = row["confidence"]
    return Judged(written(row), before, after, pairs, float(len(missed) + len(spurious)), f"{confidence:.3f}", confidence)
