"""What every task type offers: the interface between data, heads, training and evaluation.

A task object is built from a ``state``, a JSON-able dict that ``fit`` learns from the train labels and that the model folder keeps.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

State = dict[str, Any]
Label = str | float | Sequence[str | None]
"""A class, a number, or a tag per token."""
Counts = npt.NDArray[np.float64]
Words = npt.NDArray[np.integer[Any]] | Tensor

IGNORED = -100
"""Target of an item that has no label; the value that ``cross_entropy`` skips."""
MIN_ENTROPY = 0.1
"""Floor (nats) of the entropy that a loss is divided by, so that almost constant labels do not blow it up."""


@dataclass(frozen=True, slots=True)
class Span:
    """A predicted entity: tokens ``start`` (inclusive) to ``end`` (exclusive) of a row."""

    type: str
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction: a class, a number or a tuple of IOB2 tags, with a confidence in 0..1 that is never NaN."""

    value: str | float | tuple[str, ...]
    confidence: float
    spans: tuple[Span, ...] = ()

    @property
    def text(self) -> str:
        """The value as the predictions file holds it."""
        return to_text(self.value)


def to_text(value: Label) -> str:
    """A label or prediction as a string: the class, ``repr`` of the number, or a JSON list of tags."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return json.dumps(list(value), ensure_ascii=False)
    return repr(float(value))


class TaskType(ABC):
    """A kind of task. Subclasses live in one file each and are listed in ``mtl.tasks.TASKS``."""

    level: ClassVar[Literal["text", "token"]]
    main_metric: ClassVar[str]
    lowest: ClassVar[float] = 0.0
    """The least that the main metric can be; the most is 1."""

    def __init__(self, state: State) -> None:
        self.state = state

    @staticmethod
    @abstractmethod
    def fit(labels: Sequence[Label | None], label_smoothing: float = 0.0) -> State:
        """Learn classes, tags or scale from the train labels; nulls are skipped. The state is JSON-able."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Width of the logits."""

    def head(self, width: int, dropout: float) -> nn.Module:
        """Dropout and one linear layer: ``[..., width] -> [..., outputs]``, drawn from the ambient generator."""
        linear = nn.Linear(width, self.outputs)
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
        return nn.Sequential(nn.Dropout(dropout), linear)

    @abstractmethod
    def targets(self, labels: Sequence[Label | None], word_ids: Words | None = None) -> Tensor:
        """Targets on the CPU: ``[rows]``, or ``[rows, positions]`` of a token task, whose ``word`` array ``[rows, positions]``
        holds a token's index at its first subword and -1 elsewhere. A null label, and one never seen in training, is masked."""

    @abstractmethod
    def labelled(self, targets: Tensor) -> Tensor:
        """Whether an item has a label, bool, of the shape of ``targets``."""

    def count(self, targets: Tensor) -> Tensor:
        """The number of labelled items, a scalar int64 tensor on the device of ``targets``."""
        return self.labelled(targets).sum()

    @abstractmethod
    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The float32 sum of the normalised losses of all labelled items, and their number, both scalars."""

    def loss(self, logits: Tensor, targets: Tensor, count: Tensor | int | None = None) -> Tensor:
        """The mean loss over labelled items, about 1 for a predictor that ignores its input; 0 if there are none.

        Args:
            logits: ``[rows, outputs]`` or ``[rows, positions, outputs]``, any floating type; computed in float32.
            targets: of the same leading shape, from ``targets``.
            count: number of labelled items to divide by, when the batch is one part of a step.
        """
        total, own = self.loss_sum(logits, targets)
        return total / torch.as_tensor(own if count is None else count, device=total.device).clamp(min=1)

    @abstractmethod
    def decode(self, logits: Tensor, word_ids: Words | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """One prediction a row. Token tasks need ``word`` (see ``targets``) and the number of tokens of each row, cut-off ones included."""

    @staticmethod
    @abstractmethod
    def counts(gold: Sequence[str], prediction: Sequence[str]) -> Counts:
        """Statistics of each row ``[rows, k]`` whose sum over any (re)sample of the rows is enough for the main metric."""

    @staticmethod
    @abstractmethod
    def from_counts(counts: Counts) -> Counts:
        """The main metric ``[resamples]`` from summed statistics ``[resamples, k]``."""

    @staticmethod
    @abstractmethod
    def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
        """All metrics of labels in the form of ``to_text``; finite always."""

    @staticmethod
    @abstractmethod
    def per_type(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
        """Precision, recall, f1 and support of each class or entity type; empty for numbers."""


def loss_scale(frequencies: Mapping[str, int], label_smoothing: float) -> float:
    """What to divide a cross-entropy by, so that always predicting the label distribution scores 1.

    The entropy (nats) of the smoothed train distribution, which is the loss of the best constant predictor, but at least ``MIN_ENTROPY``.
    """
    total, kinds = sum(frequencies.values()), len(frequencies)
    if total == 0:
        return 1.0
    shares = [(1 - label_smoothing) * n / total + label_smoothing / kinds for n in frequencies.values()]
    return max(-sum(p * math.log(p) for p in shares if p > 0), MIN_ENTROPY)


def cross_entropy_sum(logits: Tensor, targets: Tensor, state: State) -> Tensor:
    """Summed, normalised cross-entropy in float32 over the items whose target is not ``IGNORED``."""
    flat = logits.float().flatten(0, -2)
    total = nn.functional.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, label_smoothing=state["label_smoothing"], reduction="sum"
    )
    return total / float(state["loss_scale"])


def scores(found: Counts, predicted: Counts, gold: Counts) -> tuple[Counts, Counts, Counts]:
    """Precision, recall and F1 from true positives, predictions and gold items; 0 where a quotient is undefined."""
    precision = found / np.where(predicted == 0, 1, predicted)
    recall = found / np.where(gold == 0, 1, gold)
    total = precision + recall
    return precision, recall, 2 * precision * recall / np.where(total == 0, 1, total)


def score_table(names: Sequence[str], found: Counts, predicted: Counts, gold: Counts) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support by name."""
    precision, recall, f1 = scores(found, predicted, gold)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": float(n)}
        for name, p, r, f, n in zip(names, precision, recall, f1, gold, strict=True)
    }
