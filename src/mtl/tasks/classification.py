"""A class per text."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.tasks.base import IGNORED, Counts, Label, Prediction, State, TaskType, Words, cross_entropy_sum, loss_scale, score_table


def names(gold: Sequence[str], prediction: Sequence[str]) -> list[str]:
    """All classes that occur, sorted."""
    return sorted({*gold, *prediction})


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Counts:
    """Right, predicted and gold per class and row: ``[rows, 3 * classes]``, the classes sorted within each third."""
    order = names(gold, prediction)
    is_gold = one_hot(gold, order)
    is_predicted = one_hot(prediction, order)
    return np.concatenate([is_gold * is_predicted, is_predicted, is_gold], axis=1)


def one_hot(labels: Sequence[str], order: Sequence[str]) -> Counts:
    """``[rows, classes]`` of 0 and 1."""
    index = {name: i for i, name in enumerate(order)}
    matrix = np.zeros((len(labels), len(order)))
    matrix[np.arange(len(labels)), [index[label] for label in labels]] = 1
    return matrix


def from_counts(counts: Counts) -> Counts:
    """Macro-F1 ``[resamples]``: the mean over the classes that occur in the resample, as gold or as prediction."""
    right, predicted, gold = np.split(counts, 3, axis=-1)
    present = gold + predicted > 0
    f1 = 2 * right / np.where(present, gold + predicted, 1)
    result: Counts = f1.sum(-1) / np.maximum(present.sum(-1), 1)
    return result


def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
    """Accuracy and macro-F1, equal to scikit-learn's; 0 without rows."""
    if not gold:
        return {"accuracy": 0.0, "macro_f1": 0.0}
    right = sum(a == b for a, b in zip(gold, prediction, strict=True))
    return {"accuracy": right / len(gold), "macro_f1": float(from_counts(counts(gold, prediction).sum(0)))}


def per_type(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support per class."""
    return score_table(names(gold, prediction), *np.split(counts(gold, prediction).sum(0), 3))


def confusion(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The classes, and how often a class (row) was predicted as another (column)."""
    order = names(gold, prediction)
    return order, (one_hot(gold, order).T @ one_hot(prediction, order)).astype(np.int64)


class Classification(TaskType):
    """A class per text: cross-entropy over the classes of the train split."""

    level = "text"
    main_metric = "macro_f1"
    counts = staticmethod(counts)
    from_counts = staticmethod(from_counts)
    metrics = staticmethod(metrics)
    per_type = staticmethod(per_type)

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.classes: list[str] = state["classes"]
        self._index = {name: i for i, name in enumerate(self.classes)}

    @staticmethod
    def fit(labels: Sequence[Label | None], label_smoothing: float = 0.0) -> State:
        """The sorted classes, and the scale of the loss."""
        frequencies = Counter(str(label) for label in labels if label is not None)
        scale = loss_scale(frequencies, label_smoothing)
        return {"classes": sorted(frequencies), "loss_scale": scale, "label_smoothing": label_smoothing}

    @property
    def outputs(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def targets(self, labels: Sequence[Label | None], word_ids: Words | None = None) -> Tensor:
        """Class indices int64 ``[rows]``, ``IGNORED`` where masked."""
        known: dict[Any, int] = {**self._index}
        return torch.tensor([known.get(label, IGNORED) for label in labels], dtype=torch.int64)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets.ne(IGNORED)

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over the entropy of the classes, and the number of labelled rows."""
        return cross_entropy_sum(logits, targets, self.state), self.count(targets)

    def decode(self, logits: Tensor, word_ids: Words | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The most probable class of each row, with its probability."""
        confidence, best = logits.detach().float().softmax(-1).max(-1)
        return [Prediction(self.classes[i], p) for i, p in zip(best.tolist(), confidence.tolist(), strict=True)]
