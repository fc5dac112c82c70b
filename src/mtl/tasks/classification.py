"""A class per row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mtl.config import Consistency, Positive, TaskSettings
from mtl.lazy import lazy
from mtl.tasks.base import (
    IGNORED,
    Label,
    Metric,
    PlainHead,
    Prediction,
    State,
    TaskType,
    TextRow,
    code,
    cross_entropy_sum,
    loss_scale,
    sharpened_divergence,
    without_confident,
)
from mtl.tasks.views import Judge, Judged, written

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Outputs, Weighted, WordIds
else:
    np, torch, heads = lazy("numpy"), lazy("torch"), lazy("mtl.tasks.heads")


class ClassesSettings(TaskSettings):
    """What tasks with a class per row have in common."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target probability that is spread over all classes (Szegedy et al. 2016)."""
    class_weights: Literal["balanced"] | Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """Factors of the loss of each class's rows. ``balanced``: all classes count the same in total; or a number by class, 1 for the others.
    Only their ratios matter: their mean over the train rows is made 1."""

    def named_classes(self) -> dict[str, tuple[str, ...]]:
        """Those of the weights too."""
        weights = {"class_weights": tuple(self.class_weights)} if isinstance(self.class_weights, dict) else {}
        return super().named_classes() | weights


class ClassificationSettings(ClassesSettings):
    """A class per row: cross-entropy on the pooled text."""

    implementation = "mtl.tasks.classification:Classification"
    label_types = ("class",)

    type: Literal["classification"]


def names(gold: Sequence[str], prediction: Sequence[str]) -> list[str]:
    """All classes that occur, sorted."""
    return sorted({*gold, *prediction})


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """Hits, predictions and gold rows per class and row: ``[rows, 3 * classes]``, the classes sorted within each third."""
    order = names(gold, prediction)
    is_gold = one_hot(gold, order)
    is_predicted = one_hot(prediction, order)
    return np.concatenate([is_gold * is_predicted, is_predicted, is_gold], axis=1)


def one_hot(labels: Sequence[str], order: Sequence[str]) -> Array:
    """``[rows, classes]`` of 0 and 1."""
    index = {name: i for i, name in enumerate(order)}
    matrix = np.zeros((len(labels), len(order)))
    matrix[np.arange(len(labels)), [index[label] for label in labels]] = 1
    return matrix


def macro_f1(counts: Array) -> Array:
    """Macro-F1 ``[resamples]`` from summed counts: the mean over the classes that occur in the resample, as gold or as prediction."""
    f1, present, _ = _f1(counts)
    result: Array = f1.sum(-1) / np.maximum(present.sum(-1), 1)
    return result


def weighted_f1(counts: Array) -> Array:
    """Weighted F1 ``[resamples]`` from summed counts: the mean over the classes, each times its share of the gold rows."""
    f1, _, gold = _f1(counts)
    result: Array = (f1 * gold).sum(-1) / np.maximum(gold.sum(-1), 1)
    return result


def _f1(counts: Array) -> tuple[Array, Array, Array]:
    """F1 of each class, 1 if it occurs and else 0, and its gold rows."""
    hits, predicted, gold = np.split(counts, 3, axis=-1)
    total = gold + predicted
    return 2 * hits / np.where(total == 0, 1, total), np.sign(total), gold


def class_weights(frequencies: Mapping[str, int], chosen: Literal["balanced"] | Mapping[str, float]) -> dict[str, float]:
    """The factor of each class's loss; their mean over the rows is 1."""
    raw = {name: 1 / count if chosen == "balanced" else chosen.get(name, 1.0) for name, count in frequencies.items()}
    mean = sum(raw[name] * count for name, count in frequencies.items()) / max(sum(frequencies.values()), 1)
    return {name: weight / mean for name, weight in raw.items()}


class Classification(TaskType):
    """A class per row: cross-entropy over the classes of the train split."""

    name = "classification"
    all_metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("macro_f1", hub="f1", title="macro-F1"),
        Metric("accuracy"),
        Metric("weighted_f1", hub="f1", title="weighted F1"),
        Metric("micro_f1", hub="f1", title="micro-F1", listed=False),  # with one class a row, it is the accuracy
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

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """The sorted classes, their shares by weight, their weights if there are any, and the scale of the loss."""
        smoothing = 0.0 if settings is None else settings.label_smoothing
        frequencies = Counter(str(label) for label in labels if label is not None)
        chosen = None if settings is None else settings.class_weights
        weights = None if chosen is None else class_weights(frequencies, chosen)
        weighted = {name: count * (weights[name] if weights else 1.0) for name, count in sorted(frequencies.items())}
        total = sum(weighted.values())
        return {
            "classes": list(weighted),
            "label_shares": [count / total for count in weighted.values()],
            "loss_scale": loss_scale(weighted, smoothing),
            "label_smoothing": smoothing,
            **({"class_weights": [weights[name] for name in weighted]} if weights else {}),
        }

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer on the pooled text."""
        return heads.PooledHead(width, len(self.classes), dropout)

    def plain_head(self, head: Any) -> PlainHead:
        """Of a classifier of texts."""
        return PlainHead("AutoModelForSequenceClassification", *heads.weights(head.layers), self.classes, "single_label_classification")

    @property
    def has_temperature(self) -> bool:
        """Yes."""
        return True

    @property
    def choices(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """The probability of the class."""
        return [(prediction.confidence, prediction.value == label)]

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """Class indices int64 ``[rows]``, ``IGNORED`` where masked."""
        known: dict[Any, int] = {**self._index}
        return torch.tensor([known.get(label, IGNORED) for label in labels], dtype=torch.int64)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets.ne(IGNORED)

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over the entropy of the classes, and the number of labelled rows."""
        return cross_entropy_sum(logits, targets, self.state), self.count(targets)

    def divergence(self, original: Tensor, variant: Tensor, settings: Consistency) -> tuple[Tensor, Tensor]:
        """Kullback-Leibler divergence of the classes."""
        return sharpened_divergence(original, variant, settings, self.state)

    def annealed(self, logits: Tensor, targets: Tensor, share: float) -> Tensor:
        """Without the rows whose class is predicted with confidence."""
        return without_confident(logits, targets, share)

    def activate(self, logits: Tensor) -> Tensor:
        """The probability of each class, ``[rows, classes]``."""
        return (logits / self.temperature).softmax(-1)

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The most probable class of each row, with its probability."""
        best, confidence = outputs.argmax(-1), outputs.max(-1)
        return [Prediction(self.classes[i], p) for i, p in zip(best.tolist(), confidence.tolist(), strict=True)]

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """Means of F1 over the classes from counts, accuracy from hits; equal to scikit-learn's."""
        matrix = counts(gold, prediction)
        hits = np.array([a == b for a, b in zip(gold, prediction, strict=True)], dtype=np.float64)

        def accuracy(weights: Array) -> Array:
            return weights @ hits / len(hits)

        return {
            "macro_f1": lambda weights: macro_f1(weights @ matrix),
            "accuracy": accuracy,
            "weighted_f1": lambda weights: weighted_f1(weights @ matrix),
            "micro_f1": accuracy,
        }

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """Counts of rows per class."""
        return names(gold, prediction), counts(gold, prediction)

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any]:
        """The classes, and how often a class (row) was predicted as another (column)."""
        order = names(gold, prediction)
        return {"classes": order, "counts": (one_hot(gold, order).T @ one_hot(prediction, order)).astype(np.int64).tolist()}

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"label", "probability"}``."""
        return {"label": prediction.value, "probability": prediction.confidence}

    def describe(self) -> str:
        """The classes."""
        return ", ".join(map(code, self.classes))

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One class against another."""
        return _judged


def _judged(row: Mapping[str, Any]) -> Judged:
    gold, prediction, confidence = row["gold"], row["prediction"], row["confidence"]
    pairs = [(gold, prediction)] if gold != prediction else []
    return Judged(written(row), gold, prediction, pairs, float(len(pairs)), f"{confidence:.3f}", confidence)
