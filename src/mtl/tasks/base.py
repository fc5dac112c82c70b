"""What every task type offers: the interface between data, heads, training, evaluation, report and applications.

A task object is built from a ``state``, a JSON-able dict that ``fit`` learns from the train labels and that the model folder keeps.
Neither torch nor numpy is imported before it is used: a task's settings stand in the same module, and the Snakefile reads them.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mtl.lazy import lazy
from mtl.tasks.views import Judge

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    Array = npt.NDArray[np.float64]
    WordIds = npt.NDArray[np.int32]
    Weighted = Callable[[Array], Array]
else:
    np, torch, nn = lazy("numpy"), lazy("torch"), lazy("torch.nn")

State = dict[str, Any]
Label = str | float | Sequence[str | None] | Mapping[str, Any]
"""A class, a number, a tag per token, or what else a label type reads."""

IGNORED = -100
"""Target of an item that has no label; the value that ``cross_entropy`` skips."""
MIN_ENTROPY = 0.1
"""Floor (nats) of the entropy that a loss is divided by, so that almost constant labels do not blow it up."""


class Span(NamedTuple):
    """A predicted entity: tokens ``start`` (inclusive) to ``end`` (exclusive) of a row."""

    type: str
    start: int
    end: int
    confidence: float


def code(text: str) -> str:
    """Any text as code in a line of Markdown: between more backticks than it has in a row."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction: a class, a number, a tuple of IOB2 tags or a JSON-able dict, with a confidence in 0..1 that is never NaN."""

    value: str | float | tuple[str, ...] | Mapping[str, Any]
    confidence: float
    spans: tuple[Span, ...] = ()

    @property
    def text(self) -> str:
        """The value as the predictions file holds it."""
        return to_text(self.value)


@dataclass(frozen=True, slots=True)
class TextRow:
    """A raw text with its tokens, by which predictions become characters."""

    text: str
    tokens: Sequence[str]
    starts: Sequence[int]
    """Offset in characters of each token."""
    markers: Mapping[str, int] = field(default_factory=dict)
    """How many tokens stand before each marker in the text."""

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """The characters ``[start, end)`` of tokens ``[start, end)``."""
        return self.starts[start], self.starts[end - 1] + len(self.tokens[end - 1])


class Positions(NamedTuple):
    """The positions of a batch that heads use, ``[rows, positions]`` unless stated."""

    pooled: Tensor
    """Those that pooling uses, bool."""
    first: Tensor
    """The first subword of each token of the task's text field, bool."""
    markers: Mapping[str, Tensor]
    """By marker, its position in each row, int64 ``[rows]``; -1 in a row without it."""


class Metric(NamedTuple):
    """A metric of a task type."""

    name: str
    low: float = 0.0
    """The least that it can be."""
    high: float = 1.0
    """The most that it can be."""
    higher_is_better: bool = True
    hub: str = ""
    """Its name on the Hugging Face hub, where that is another one."""


def to_text(value: Label) -> str:
    """A label or prediction as a string: the class, ``repr`` of the number, or JSON of anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(dict(value), ensure_ascii=False)
    if isinstance(value, Sequence):
        return json.dumps(list(value), ensure_ascii=False)
    return repr(float(value))


class TaskType(ABC):
    """A type of task. Each lives in one module with its settings; ``mtl.plugins`` finds it by the settings' ``type``."""

    name: ClassVar[str]
    """The ``type`` of its settings."""
    all_metrics: ClassVar[tuple[Metric, ...]]
    """All metrics, the main one first: weights are kept by it, and headlines show it."""
    main_metric: ClassVar[str]
    """Name of the main metric."""
    hub_task: ClassVar[str]
    """The pipeline tag of the Hugging Face hub."""
    views: ClassVar[tuple[str, ...]] = ("per_class",)
    """What the report shows of it: ``confusion``, ``per_class``, ``scatter`` (see ``mtl.report.task_views``)."""
    noun: ClassVar[str] = "class"
    """What ``per_class`` scores are about, in the report."""
    all_windows: ClassVar[bool] = False
    """Whether all windows of a row that is too long are computed and joined, or the first one only."""
    shows_tokens: ClassVar[bool] = False
    """Whether the predictions file holds a row's tokens as a JSON list instead of its text."""

    markers: ClassVar[tuple[str, ...]] = ()
    """Marker tokens between the tokens of its text field, in order, such as ``<e1>`` and ``</e1>`` around a range. They become entries of
    the vocabulary, and ``EncoderOutput.at`` gives the hidden state of each. A raw text to be predicted contains them as they are."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.fields: tuple[str, ...] = tuple(state.get("fields", ("text",)))
        """Names of the text fields that it reads."""
        self.field = int(state.get("field", 0))
        """Which of them its labels are about."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.main_metric = cls.all_metrics[0].name

    # --- labels and model -------------------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """Learn classes, tags or scale from the train labels; nulls are skipped. The state is JSON-able.

        Args:
            labels: of the train split.
            settings: of the task; defaults if not given.
        """

    @abstractmethod
    def head(self, width: int, dropout: float) -> nn.Module:
        """A module from ``EncoderOutput`` to this task's outputs, drawn from the ambient generator."""

    def positions(self, batch: Positions) -> Tensor:
        """The positions whose states the head uses, bool ``[rows, positions]``; others need not be computed."""
        return batch.pooled

    @staticmethod
    def places(label: Label) -> Sequence[int]:
        """How many tokens of the text field stand before each of ``markers``."""
        return ()

    @abstractmethod
    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """Targets on the CPU, ``[rows, …]``. A null label, and one never seen in training, is masked.

        Args:
            labels: of the rows.
            word_ids: ``[rows, positions]``, index of a token of the task's text field at its first subword, and -1 elsewhere.
        """

    @abstractmethod
    def labelled(self, targets: Tensor) -> Tensor:
        """Whether an item has a label, bool: ``[rows]``, or ``[rows, positions]`` where positions have labels of their own."""

    def count(self, targets: Tensor) -> Tensor:
        """The number of labelled items, a scalar int64 tensor on the device of ``targets``."""
        return self.labelled(targets).sum()

    @abstractmethod
    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The float32 sum of the normalised losses of all labelled items, and their number, both scalars."""

    def loss(self, logits: Tensor, targets: Tensor, count: Tensor | int | None = None) -> Tensor:
        """The mean loss over labelled items, about 1 for a predictor that ignores its input; 0 if there are none.

        Args:
            logits: output of the head, any floating type; computed in float32.
            targets: from ``targets``.
            count: number of labelled items to divide by, when the batch is one micro-batch of a step.
        """
        total, own = self.loss_sum(logits, targets)
        return total / torch.as_tensor(own if count is None else count, device=total.device).clamp(min=1)

    @abstractmethod
    def decode(self, logits: Tensor, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """One prediction per row.

        Args:
            logits: output of the head.
            word_ids: see ``targets``.
            lengths: number of tokens of the task's text field in each row, those cut off included.
        """

    @property
    def calibrates(self) -> bool:
        """Whether ``calibrate`` is called after each validation."""
        return False

    def calibrate(self, gold: Sequence[Label], predictions: Sequence[Prediction]) -> list[Prediction]:
        """Learn from the validation rows how scores become predictions, such as thresholds, and keep it in ``state``.

        Args:
            gold: labels of the rows.
            predictions: for the same rows; at least one.

        Returns:
            The predictions as ``decode`` makes them from now on.
        """
        return list(predictions)

    # --- training's questions ---------------------------------------------------------------------------------------

    def items_cut(self, label: Label, kept: int) -> int:
        """How many labelled items, such as entities, begin after the first ``kept`` tokens of the text field, the only ones in training."""
        return 0

    def constant(self, predictions: Sequence[Prediction]) -> Any:
        """The single value that all predictions (or all their tokens) have, or None: such a head has learnt nothing of use."""
        values = {item for prediction in predictions for item in _items(prediction.value)}
        return next(iter(values)) if len(values) == 1 else None

    # --- metrics ----------------------------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
        """All metrics of labels in the form of ``to_text``; finite always."""

    @staticmethod
    @abstractmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """For each metric a function from row weights ``[n, rows]`` to its values ``[n]``: what the bootstrap needs."""

    @staticmethod
    def per_class(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
        """Precision, recall, f1 and support of each class or entity type; empty where there are none."""
        return {}

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any] | None:
        """``{"classes": names, "counts": [gold][predicted]}``; None where classes do not exclude each other."""
        return None

    # --- what people see --------------------------------------------------------------------------------------------

    @abstractmethod
    def to_json(self, prediction: Prediction, row: TextRow) -> Any:
        """A prediction as ``mtl predict``, the Python API and services give it."""

    def describe(self) -> str:
        """What it can predict, in Markdown, for the model card."""
        return ""

    @staticmethod
    @abstractmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """What says how wrong a row of the predictions file is, given all rows of one run."""

    @staticmethod
    def wrong_rows(rows: int, wrong: int, listed: int) -> str:
        """How many rows are wrong, and how many of them the error browser lists, in words."""
        text = f"{wrong:,} of {rows:,} rows wrong".replace(",", "\u202f")
        return f"{text}; listed: the {listed} most confident" if listed < wrong else f"{text}; all listed"


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def loss_scale(frequencies: Mapping[str, int], label_smoothing: float) -> float:
    """What to divide a cross-entropy by, so that always predicting the label distribution scores 1.

    The entropy (nats) of the smoothed train distribution, which is the loss of the best constant predictor, but at least ``MIN_ENTROPY``.
    """
    total, classes = sum(frequencies.values()), len(frequencies)
    if total == 0:
        return 1.0
    shares = [(1 - label_smoothing) * n / total + label_smoothing / classes for n in frequencies.values()]
    return max(-sum(p * math.log(p) for p in shares if p > 0), MIN_ENTROPY)


def cross_entropy_sum(logits: Tensor, targets: Tensor, state: State) -> Tensor:
    """Summed, normalised cross-entropy in float32 over the items whose target is not ``IGNORED``."""
    flat = logits.float().flatten(0, -2)
    total = nn.functional.cross_entropy(
        flat, targets.flatten(), ignore_index=IGNORED, label_smoothing=state["label_smoothing"], reduction="sum"
    )
    return total / float(state["loss_scale"])


def precision_recall_f1(hits: Array, predicted: Array, gold: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 from true positives, predictions and gold items; 0 where a quotient is undefined."""
    precision = hits / np.where(predicted == 0, 1, predicted)
    recall = hits / np.where(gold == 0, 1, gold)
    total = precision + recall
    return precision, recall, 2 * precision * recall / np.where(total == 0, 1, total)


def score_table(names: Sequence[str], hits: Array, predicted: Array, gold: Array) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support by name."""
    columns = (*precision_recall_f1(hits, predicted, gold), gold)
    keys = ("precision", "recall", "f1", "support")
    return {name: dict(zip(keys, map(float, row), strict=True)) for name, *row in zip(names, *columns, strict=True)}
