"""The relation between two marked ranges of a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from mtl.data.spacing import joined
from mtl.lazy import lazy
from mtl.tasks.base import Label, Metric, PlainHead, Positions, Prediction, State, precision_recall_f1
from mtl.tasks.classification import ClassesSettings, Classification, counts, names
from mtl.tasks.views import Judge, Judged, Mark, stretches

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Weighted, WordIds
else:
    np, torch, heads = lazy("numpy"), lazy("torch"), lazy("mtl.tasks.heads")

OPENING = ("<e1>", "<e2>")
OTHER = "Other"
"""The class of SemEval-2010 Task 8 that its score leaves out."""
_DIRECTION = re.compile(r"\((?:e1,e2|e2,e1)\)$")
"""The end of a class name in SemEval-2010 Task 8."""


class RelationClassificationSettings(ClassesSettings):
    """The class of the relation between two marked ranges: cross-entropy on the states of their markers."""

    implementation = "mtl.tasks.relation_classification:RelationClassification"
    label_types = ("relation",)

    type: Literal["relation_classification"]


class RelationClassification(Classification):
    """A class per row with two marked ranges.

    Marker tokens stand around both ranges, and the head reads the concatenated states of the two opening ones (Baldini Soares et al. 2019,
    "Matching the Blanks").
    """

    name = "relation_classification"
    all_metrics = (
        Metric("macro_f1", hub="f1", title="macro-F1"),
        Metric("semeval_f1", hub="f1", title="SemEval F1"),
        Metric("micro_f1", hub="f1", title="micro-F1"),
        Metric("accuracy"),
        Metric("weighted_f1", hub="f1", title="weighted F1", listed=False),
    )
    markers = ("</e1>", "</e2>", *OPENING)  # where ranges touch, the end of one comes before the start of the other
    shows_tokens = True

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """The sorted classes, and the scale of the loss."""
        return Classification.fit([None if label is None else _relation(label)["class"] for label in labels], settings)

    @staticmethod
    def places(label: Label) -> Sequence[int]:
        """How many tokens stand before each marker."""
        relation = _relation(label)
        return [relation[name] for name in ("head_end", "tail_end", "head_start", "tail_start")]

    def positions(self, batch: Positions) -> Tensor:
        """The opening markers."""
        needed = torch.zeros_like(batch.pooled)
        for name in OPENING:
            position = batch.markers[name].unsqueeze(1)
            needed |= torch.zeros_like(needed).scatter_(1, position.clamp(min=0), position >= 0)
        return needed

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer on the states of the opening markers."""
        return heads.MarkerHead(width, OPENING, len(self.classes), dropout)

    def plain_head(self, head: Any) -> PlainHead:
        """None."""
        raise ValueError("models of transformers do not read the states of markers")

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """The probability of the class."""
        return super().checked(prediction, _relation(label)["class"])

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """Class indices int64 ``[rows]``, ``IGNORED`` where masked."""
        return super().targets([None if label is None else _relation(label)["class"] for label in labels])

    def items_cut(self, label: Label, kept: range) -> int:
        """1 if an opening marker is cut off."""
        return int(any(place not in kept for place in self.places(label)[2:]))

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """The metrics of classes, with the score of SemEval-2010 Task 8 and a micro-F1 that leaves out ``Other``.

        That score is the mean F1 of the relations except ``Other``. A relation has two classes, one for each direction; a right relation in
        the wrong direction is a wrong prediction.
        """
        classes = _classes(gold)
        matrix, relations = counts(classes, prediction), _relations(names(classes, prediction))
        return {
            **Classification.weighted(classes, prediction),
            "semeval_f1": lambda weights: _mean_f1(weights @ matrix, relations),
            "micro_f1": lambda weights: precision_recall_f1(*_thirds(weights @ matrix, relations.sum(1, keepdims=True)))[2][:, 0],
        }

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """Counts of rows per class."""
        return Classification.class_counts(_classes(gold), prediction)

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any]:
        """The classes, and how often a class (row) was predicted as another (column)."""
        return Classification.confusion(_classes(gold), prediction)

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One class against another, with both ranges marked in the text."""
        return _judged


def _relation(label: Label) -> Mapping[str, Any]:
    """A label of the type ``relation``."""
    return cast("Mapping[str, Any]", label)


def _classes(gold: Sequence[str]) -> list[str]:
    """The classes of gold labels in the form that the predictions file holds."""
    return [json.loads(label)["class"] for label in gold]


def _relations(classes: Sequence[str]) -> Array:
    """Which class belongs to which relation, ``[classes, relations]`` of 0 and 1."""
    of_class = [_DIRECTION.sub("", name) for name in classes]
    relations = sorted({*of_class} - {OTHER})
    return np.array([[name == relation for relation in relations] for name in of_class], dtype=np.float64).reshape(len(classes), -1)


def _thirds(counts: Array, groups: Array) -> list[Array]:
    """Hits, predictions and gold rows, each ``[resamples, groups]``, from counts of classes ``[resamples, 3 * classes]``."""
    return [third @ groups for third in np.split(counts, 3, axis=-1)]


def _mean_f1(counts: Array, relations: Array) -> Array:
    """The mean F1 ``[resamples]`` of the relations that occur as gold, as the official scorer (version 1.2) counts."""
    hits, predicted, gold = _thirds(counts, relations)
    result: Array = precision_recall_f1(hits, predicted, gold)[2].sum(-1) / np.maximum((gold > 0).sum(-1), 1)
    return result


def _judged(row: Mapping[str, Any]) -> Judged:
    tokens, relation, prediction, confidence = json.loads(row["text"]), json.loads(row["gold"]), row["prediction"], row["confidence"]
    gold = relation["class"]
    ranges = sorted((relation[f"{side}_start"], relation[f"{side}_end"], name) for side, name in (("head", "e1"), ("tail", "e2")))
    marks = [((start, end), Mark(joined(tokens[start:end]), "range", name)) for start, end, name in ranges]
    pairs = [(gold, prediction)] if gold != prediction else []
    return Judged(stretches(tokens, marks), gold, prediction, pairs, float(len(pairs)), f"{confidence:.3f}", confidence)
