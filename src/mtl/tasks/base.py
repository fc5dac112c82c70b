"""What every task type offers: the interface between data, heads, training, evaluation, report and applications.

A task object is built from a ``state``, a JSON-able dict that ``fit`` learns from the train labels and that the model folder keeps.
Neither torch nor numpy is imported before it is used: a task's settings stand in the same module, and the Snakefile reads them.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from mtl.lazy import lazy
from mtl.tasks.views import Judge

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from mtl.config import Consistency
    from mtl.decoders import Decoder

    Array = npt.NDArray[np.float64]
    WordIds = npt.NDArray[np.int32]
    Places = npt.NDArray[np.int64]
    Outputs = npt.NDArray[np.floating]
    Weighted = Callable[[Array], Array]
else:
    np, torch, nn = lazy("numpy"), lazy("torch"), lazy("torch.nn")

State = dict[str, Any]
Label = str | float | Sequence[str | None] | Mapping[str, Any]
"""A class, a number, a tag per token, or what else a label type reads."""

CLASS_SCORES = {"f1": "F1", "precision": "precision", "recall": "recall"}
"""Prefix of a metric of one class, and its name in the report."""
IGNORED = -100
"""Target of an item that has no label; the value that ``cross_entropy`` skips."""
FLOOR = 0.1
"""Share of a metric's highest value below which a gain counts by what it adds, not by what it multiplies."""
LEAST = 1e-12
"""Where lower is better, smaller scores count as this one in logarithms and divisions."""
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


class PlainHead(NamedTuple):
    """A head as a model of transformers has it: one linear layer."""

    auto: str
    """The class of transformers that loads it, such as ``AutoModelForSequenceClassification``."""
    weight: Tensor
    """``[outputs, width]``."""
    bias: Tensor
    """``[outputs]``."""
    labels: Sequence[str] = ()
    """What each output is called, where they have names."""
    problem_type: str | None = None
    """Of a model for whole texts; see transformers' ``PretrainedConfig``. Its head reads the pooled text, others read all positions."""
    thresholds: Sequence[float] | None = None
    """Of the probability of each label, where they were tuned."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """A raw text with its tokens, by which predictions become characters."""

    text: str
    tokens: Sequence[str]
    starts: Sequence[int]
    """Offset in characters of each token."""
    markers: Mapping[str, int] = field(default_factory=dict)
    """How many tokens stand before each marker in the text."""

    @classmethod
    def of(cls, tokens: Sequence[str], space_after: Sequence[bool]) -> Self:
        """From tokens, and whether a space follows each."""
        parts = [token + " " * space for token, space in zip(tokens, space_after, strict=True)]
        starts = list(itertools.accumulate(map(len, parts), initial=0))[:-1]
        return cls("".join(parts).rstrip(" "), tokens, starts)

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
    real: Tensor
    """All that are not padding, bool."""


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
    title: str = ""
    """Its name as people write it, where that is another one."""
    listed: bool = True
    """Whether it is always shown, or only for a task that chooses it as its main metric."""

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1: times this, higher is better for every metric."""
        return 1 if self.higher_is_better else -1

    def strength(self, value: float) -> float:
        """A number that rises by about the same amount whenever a score gets 1 % better, whatever the metric and its unit.

        That is the logarithm of the score, or minus that where lower is better. Below ``FLOOR`` of the highest score its tangent replaces
        the logarithm: relative gains of a score near 0 have no bound, and scores may be negative.
        """
        if not self.higher_is_better:
            return -math.log(max(value, LEAST))
        share = value / self._scale
        return math.log(share) if share > FLOOR else math.log(FLOOR) + share / FLOOR - 1

    def relative_gain(self, value: float, base: float) -> float:
        """By which share of ``base`` a score is better than it; above 0 is better. The divisor is never near or below 0."""
        floor = FLOOR * self._scale if self.higher_is_better else LEAST
        return self.sign * (value - base) / max(base, floor)

    @property
    def _scale(self) -> float:
        return self.high if math.isfinite(self.high) else 1.0


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
    """All metrics. A task's ``metric`` names its main one, by default the first: weights are kept by it, and headlines show it."""
    measured: ClassVar[tuple[Metric, ...]] = ()
    """Metrics that need more than labels and predictions: on the test split only, and never the main one."""
    hub_task: ClassVar[str]
    """The pipeline tag of the Hugging Face hub."""
    views: ClassVar[tuple[str, ...]] = ("per_class",)
    """What the report shows of it: ``confusion``, ``per_class``, ``scatter`` (see ``mtl.report.task_views``)."""
    noun: ClassVar[str] = "class"
    """What ``per_class`` scores are about, in the report."""
    all_windows: ClassVar[bool] = False
    """Whether all windows of a row that is too long are computed and joined, or the first one only."""
    has_passages: ClassVar[bool] = False
    """Whether ``passage`` says what training must see of a row that is too long."""
    stride: ClassVar[int | None] = None
    """Subwords from the start of a window to that of the next one, at most; by default half of a window."""
    shows_tokens: ClassVar[bool] = False
    """Whether the predictions file holds a row's tokens as a JSON list instead of its text."""
    quotes: ClassVar[bool] = False
    """Whether predictions are passages of the text, which ``quoted`` needs to see."""

    writes: ClassVar[bool] = False
    """Whether it writes text with the decoder that all such tasks share. Its head is then called with the encoder's states, their mask, the
    decoder, in training the targets, and the subwords of the source (see ``mtl.tasks.heads.WritingHead``)."""

    token_level: ClassVar[bool] = False
    """Whether its labels are about tokens, so that its scores on raw texts depend on their segmentation; see ``of_characters``."""

    markers: ClassVar[tuple[str, ...]] = ()
    """Marker tokens between the tokens of its text field, in order, such as ``<e1>`` and ``</e1>`` around a range. They become entries of
    the vocabulary, and ``EncoderOutput.at`` gives the hidden state of each. A raw text to be predicted contains them as they are."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.fields: tuple[str, ...] = tuple(state.get("fields", ("text",)))
        """Names of the text fields that it reads."""
        self.field = int(state.get("field", 0))
        """Which of them its labels are about."""
        self.segmentation = str(state.get("segmentation", "words"))
        """How raw texts become tokens for it; see ``mtl.data.segmentation``."""
        self.main_metric = self.metric(state.get("metric"))
        """What weights are kept by."""

    @property
    def class_names(self) -> Sequence[str]:
        """The classes or entity types that it can predict; empty where there are none."""
        return ()

    # --- labels and model -------------------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """Learn classes, tags or scale from the train labels; nulls are skipped. The state is JSON-able.

        Args:
            labels: of the train split.
            settings: of the task; defaults if not given.
        """

    def use_decoder(self, decoder: Decoder) -> None:
        """Called once, before all that needs it, where the task writes; the decoder's vocabulary makes texts to targets and back."""
        raise NotImplementedError(f"{self.name} does not write")

    def fit_targets(self, labels: Sequence[Label | None]) -> list[str]:
        """Learn from the train labels what depends on the decoder's vocabulary, where the task writes; returns warnings about them."""
        return []

    def target_lengths(self, labels: Sequence[Label | None]) -> npt.NDArray[np.int64]:
        """Target subwords of each row, ``[rows]``, which the decoder computes where the task writes."""
        return np.zeros(len(labels), dtype=np.int64)

    def validated(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """Which of the labelled validation rows are predicted at each validation, where the task writes."""
        return rows

    @abstractmethod
    def head(self, width: int, dropout: float) -> nn.Module:
        """A module from ``EncoderOutput`` to this task's outputs, drawn from the ambient generator."""

    def plain_head(self, head: Any) -> PlainHead:
        """The head for a model of transformers; its outputs are the same.

        Raises:
            ValueError: transformers has no model with such a head; says why.
        """
        raise ValueError(f"transformers has no model for a task of type {self.name}")

    def positions(self, batch: Positions) -> Tensor:
        """The positions whose states the head uses, bool ``[rows, positions]``; others need not be computed."""
        return batch.pooled

    @staticmethod
    def places(label: Label) -> Sequence[int]:
        """How many tokens of the text field stand before each of ``markers``."""
        return ()

    @staticmethod
    def of_characters(label: Label, tokens: Sequence[str]) -> Label:
        """A label of tokens as one of their characters end to end, so that labels of differently segmented texts can be compared."""
        return label

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

    # --- rows without labels ----------------------------------------------------------------------------------------

    @classmethod
    def compares(cls) -> bool:
        """Whether ``divergence`` is there, and a row can be computed without its label, which says where the markers are."""
        return cls.divergence is not TaskType.divergence and not cls.markers

    def divergence(self, original: Tensor, variant: Tensor, settings: Consistency) -> tuple[Tensor, Tensor]:
        """How far predictions on variants are from those on their original rows.

        Args:
            original: float32 outputs of the head for the original rows, ``[items, outputs]``, without a gradient.
            variant: those for their variants. An item is a row, or for a task on tokens a token that both rows have.
            settings: of the task.

        Returns:
            The float32 sum over the items that are followed, in the unit of ``loss_sum``, and their number, both scalars.
        """
        raise NotImplementedError(f"{self.name} does not say how predictions are compared")

    @property
    def label_shares(self) -> Sequence[float] | None:
        """The share of each output of the head in the labelled train rows, with which predictions on rows without labels are aligned.
        Without shares in the state there is no alignment."""
        shares: Sequence[float] | None = self.state.get("label_shares")
        return shares

    def annealed(self, logits: Tensor, targets: Tensor, share: float) -> Tensor:
        """Targets without the items that are already predicted with confidence (training signal annealing of UDA: Xie et al. 2020).

        Args:
            logits: output of the head, float32.
            targets: from ``targets``.
            share: how far the highest probability has risen from chance to 1; see ``mtl.training.consistency``.
        """
        return targets

    # --- predictions ------------------------------------------------------------------------------------------------

    def activate(self, logits: Tensor) -> Tensor:
        """What ``predict`` reads, such as probabilities, from the float32 output of the head. Exported graphs compute it."""
        return logits

    @property
    def thresholds(self) -> Outputs | None:
        """The probability of each class, as ``activate`` gives it, from which the class is predicted, ``[classes]``; ``None`` where another
        rule decides.
        """
        return None

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """One prediction per row from ``activate``'s result, without torch. A task type that has its own ``decode`` can do without it; only
        export needs it.

        Args:
            outputs: ``[rows, …]``.
            word_ids, lengths: see ``decode``.
        """
        raise NotImplementedError(f"{self.name} has no predict")

    def predict_windows(self, outputs: Sequence[Outputs], words: Sequence[WordIds], best: tuple[Places, Places], length: int) -> Prediction:
        """``join`` on ``activate``'s results, without torch."""
        tokens = _of_tokens(outputs, words, best)
        return self.predict(tokens[None], np.arange(len(tokens), dtype=np.int32)[None], [length])[0]

    def decode(self, logits: Tensor, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """One prediction per row.

        Args:
            logits: output of the head.
            word_ids: see ``targets``.
            lengths: number of tokens of the task's text field in each row, those cut off included.
        """
        return self.predict(self.activate(logits.detach().float()).cpu().numpy(), word_ids, lengths)

    def join(self, scores: Sequence[Tensor], words: Sequence[WordIds], best: tuple[Places, Places], length: int) -> Prediction:
        """The prediction for a row that is cut into windows. By default the scores of a token are those of its best window.

        Args:
            scores: output of the head for each window, ``[positions, …]``.
            words: of each window, ``[positions]``; see ``targets``.
            best: for each token of the text field the window with the most context around it, and its index among the tokens there.
            length: number of tokens of the text field.
        """
        tokens = _of_tokens([part.numpy() for part in scores], words, best)
        return self.decode(torch.from_numpy(tokens)[None], np.arange(len(tokens), dtype=np.int32)[None], [length])[0]

    def quoted(self, prediction: Prediction, row: TextRow) -> Prediction:
        """A prediction with the text that it quotes, where the task does."""
        return prediction

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

    # --- confidence -------------------------------------------------------------------------------------------------

    @property
    def has_temperature(self) -> bool:
        """Whether its confidences depend on ``temperature``, which is fitted on the validation rows once training has ended."""
        return False

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities (Guo et al. 2017); it changes no label."""
        return float(self.state.get("temperature", 1.0))

    def uncalibrated(self) -> Self:
        """The same task with temperature 1."""
        return type(self)({**self.state, "temperature": 1.0})

    def decisions(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What the temperature is fitted on: the logits of each labelled decision, ``[decisions, choices]``, minus infinity for a choice
        that it does not have, and the place of the right one, ``[decisions]``. By default one decision per item of ``labelled``."""
        labelled = self.labelled(targets)
        return logits[labelled], targets[labelled]

    @property
    def choices(self) -> Sequence[str]:
        """Names of the choices of ``decisions``; empty for a task whose labels cannot be audited."""
        return ()

    @property
    def decided(self) -> Sequence[str]:
        """Names of the decisions of a row, where it has several and they are not about tokens."""
        return ()

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """Each confidence that a prediction states, and whether what it is about is right; empty where a type states none."""
        return []

    def confident(self, prediction: Prediction, minimum: float) -> Prediction | None:
        """What is left of a prediction if nothing below a confidence may be stated; None if the task abstains."""
        return prediction if prediction.confidence >= minimum else None

    # --- training's questions ---------------------------------------------------------------------------------------

    @staticmethod
    def passage(label: Label) -> tuple[int, int] | None:
        """The tokens ``[start, end)`` of the text field that training must see of a row that is too long; its beginning if None."""
        return None

    def items_cut(self, label: Label, kept: range) -> int:
        """How many labelled items, such as entities, training does not see, of whose text field it sees the tokens ``kept``."""
        return 0

    def constant(self, predictions: Sequence[Prediction]) -> Any:
        """The single value that all predictions (or all their tokens) have, or None: such a head has learnt nothing of use."""
        values = {item for prediction in predictions for item in _items(prediction.value)}
        return next(iter(values)) if len(values) == 1 else None

    # --- metrics ----------------------------------------------------------------------------------------------------

    @classmethod
    def metrics(cls, gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
        """All metrics of labels in the form of ``to_text``; finite always, and 0 without rows. By default those of ``weighted``."""
        if not gold:
            return dict.fromkeys((metric.name for metric in cls.all_metrics), 0.0)
        every_row = np.ones((1, len(gold)))
        return {name: float(of(every_row)[0]) for name, of in cls.weighted(gold, prediction).items()}

    @staticmethod
    @abstractmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """For each metric a function from row weights ``[n, rows]`` to its values ``[n]``: what the bootstrap needs.

        A metric is NaN on a resample that does not define it, such as a correlation with a constant.
        """

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """The classes or entity types that occur, and hits, predicted and gold ones of each by row, ``[rows, 3 * classes]``: the classes
        within each third; empty where there are none."""
        return [], np.zeros((len(gold), 0))

    @classmethod
    def per_class(cls, gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
        """Precision, recall, f1 and support of each class or entity type; empty where there are none."""
        names, counts = cls.class_counts(gold, prediction)
        return score_table(names, *np.split(counts.sum(0), 3)) if names else {}

    @classmethod
    def metric(cls, name: str | None = None) -> Metric:
        """A metric by its name, the default one without a name. ``f1:NAME``, ``precision:NAME`` and ``recall:NAME`` are those of a class.

        Raises:
            ValueError: there is no such metric; names the choices.
        """
        found = {metric.name: metric for metric in cls.all_metrics}
        if name is None:
            return cls.all_metrics[0]
        score, _, of = name.partition(":")
        if of and score in CLASS_SCORES and cls._has_classes():
            return Metric(name, hub=score, title=f"{CLASS_SCORES[score]} of {of}")
        if name not in found:
            of_class = [f"{score}:NAME (of one {cls.noun})" for score in CLASS_SCORES] if cls._has_classes() else []
            raise ValueError(f"{name!r} is not a metric of {cls.name}; choose from: {', '.join([*found, *of_class])}")
        return found[name]

    @classmethod
    def test_metric(cls, name: str) -> Metric:
        """A metric by its name, one of ``measured`` too."""
        return next((metric for metric in cls.measured if metric.name == name), None) or cls.metric(name)

    @classmethod
    def _has_classes(cls) -> bool:
        return cls.class_counts is not TaskType.class_counts

    @classmethod
    def scores(cls, gold: Sequence[str], prediction: Sequence[str], main: Metric) -> dict[str, float]:
        """The listed metrics and the main one, by name."""
        found = cls.metrics(gold, prediction)
        if main.name not in found:
            score, _, of = main.name.partition(":")
            found[main.name] = cls.per_class(gold, prediction).get(of, {}).get(score, 0.0)
        return {name: found[name] for name in cls._shown(found, main)}

    @classmethod
    def resampled(cls, gold: Sequence[str], prediction: Sequence[str], main: Metric) -> dict[str, Weighted]:
        """The functions of ``weighted`` for the metrics of ``scores``."""
        found = cls.weighted(gold, prediction)
        if main.name not in found:
            found[main.name] = _of_class(main.name, *cls.class_counts(gold, prediction))
        return {name: found[name] for name in cls._shown(found, main)}

    @classmethod
    def _shown(cls, names: Iterable[str], main: Metric) -> list[str]:
        unlisted = {metric.name for metric in cls.all_metrics if not metric.listed}
        return [name for name in names if name == main.name or name not in unlisted]

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any] | None:
        """``{"classes": names, "counts": [gold][predicted]}``, and where a row may count more than once the ``gold`` rows of each class;
        None where no class is taken for another one."""
        return None

    # --- what people see --------------------------------------------------------------------------------------------

    @abstractmethod
    def to_json(self, prediction: Prediction, row: TextRow) -> Any:
        """A prediction as ``mtl predict``, the Python API and services give it."""

    def describe(self) -> str:
        """What it can predict, in Markdown, for the model card."""
        return ""

    def shown(self, fields: Sequence[Sequence[str]], text: str) -> str:
        """A row as the predictions file holds it, from the tokens of each text field and the whole text (of two fields JSON of both by
        name); ``judge`` reads it."""
        return to_text(fields[self.field]) if self.shows_tokens else text

    @staticmethod
    @abstractmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """What says how wrong a row of the predictions file is, given all rows of one run."""

    @staticmethod
    def wrong_rows(rows: int, wrong: int, listed: int) -> str:
        """How many rows are wrong, and how many of them the error browser lists, in words."""
        text = f"{wrong:,} of {rows:,} rows wrong".replace(",", "\u202f")
        return f"{text}; listed: the {listed} most confident" if listed < wrong else f"{text}; all listed"


def _of_tokens(outputs: Sequence[Outputs], words: Sequence[WordIds], best: tuple[Places, Places]) -> Outputs:
    """Of each token the outputs in its best window, ``[tokens, …]``; see ``TaskType.join``."""
    own = [part[ids >= 0] for part, ids in zip(outputs, words, strict=True)]
    return np.stack([own[window][place] for window, place in zip(*(part.tolist() for part in best), strict=True)])


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def loss_scale(frequencies: Mapping[str, float], label_smoothing: float) -> float:
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
    flat, wanted = logits.float().flatten(0, -2), targets.flatten()
    weights, smoothing, scale = state.get("class_weights"), state["label_smoothing"], float(state["loss_scale"])
    if weights is None:
        return nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum") / scale
    # Not its own argument ``weight``, which would weight the smoothed share of a target by the other classes' weights.
    losses = nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, label_smoothing=smoothing, reduction="none")
    return (losses * losses.new_tensor(weights)[wanted.clamp(min=0)]).sum() / scale


def sharpened_divergence(original: Tensor, variant: Tensor, settings: Consistency, state: State) -> tuple[Tensor, Tensor]:
    """Summed Kullback-Leibler divergence, over the entropy of the labels, of predicted classes from the sharpened ones of the original
    rows, and the number of items that are confident enough to be followed (UDA: Xie et al. 2020); see ``TaskType.divergence``."""
    followed = original.softmax(-1).amax(-1) >= settings.confidence
    sharp = (original / settings.temperature).softmax(-1)
    each = nn.functional.kl_div(variant.log_softmax(-1), sharp, reduction="none").sum(-1)
    return (each * followed).sum() / float(state["loss_scale"]), followed.sum()


def without_confident(logits: Tensor, targets: Tensor, share: float) -> Tensor:
    """Targets of classes with ``IGNORED`` where the right one has a probability above the threshold; see ``TaskType.annealed``."""
    chance = 1 / logits.shape[-1]
    right = logits.detach().softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return targets.masked_fill(right > chance + share * (1 - chance), IGNORED)


def precision_recall_f1(hits: Array, predicted: Array, gold: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 from true positives, predictions and gold items; 0 where a quotient is undefined."""
    precision = hits / np.where(predicted == 0, 1, predicted)
    recall = hits / np.where(gold == 0, 1, gold)
    total = precision + recall
    return precision, recall, 2 * precision * recall / np.where(total == 0, 1, total)


def _of_class(metric: str, names: Sequence[str], counts: Array) -> Weighted:
    """The F1, precision or recall of one class by row weights; NaN on a resample without a row of it."""
    score, _, of = metric.partition(":")
    columns = [third * len(names) + names.index(of) for third in range(3)] if of in names else []
    own = counts[:, columns] if columns else np.zeros((len(counts), 3))

    def values(weights: Array) -> Array:
        hits, predicted, gold = np.moveaxis(weights @ own, -1, 0)
        found = dict(zip(("precision", "recall", "f1"), precision_recall_f1(hits, predicted, gold), strict=True))[score]
        result: Array = np.where(gold > 0, found, np.nan)
        return result

    return values


def score_table(names: Sequence[str], hits: Array, predicted: Array, gold: Array) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support by name."""
    columns = (*precision_recall_f1(hits, predicted, gold), gold)
    keys = ("precision", "recall", "f1", "support")
    return {name: dict(zip(keys, map(float, row), strict=True)) for name, *row in zip(names, *columns, strict=True)}
