"""A tag per token: entities in IOB2."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mtl.config import Consistency, TaskSettings
from mtl.data.spacing import joined
from mtl.data.spans import Entity, entities
from mtl.lazy import lazy
from mtl.tasks.base import (
    IGNORED,
    Label,
    Metric,
    PlainHead,
    Positions,
    Prediction,
    Span,
    State,
    TaskType,
    TextRow,
    code,
    cross_entropy_sum,
    loss_scale,
    precision_recall_f1,
    sharpened_divergence,
    without_confident,
)
from mtl.tasks.views import Judge, Judged, Mark, listed, stretches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Outputs, Weighted, WordIds

    Matrix = npt.NDArray[Any]
else:
    np, torch, heads = lazy("numpy"), lazy("torch"), lazy("mtl.tasks.heads")

OUTSIDE = "no entity"


class TokenClassificationSettings(TaskSettings):
    """A tag per token: cross-entropy at each token's first subword, decoded to legal IOB2."""

    implementation = "mtl.tasks.token_classification:TokenClassification"
    label_types = ("tags",)

    type: Literal["token_classification"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target probability that is spread over all tags (Szegedy et al. 2016)."""


def entity_sets(rows: Sequence[str]) -> list[set[Entity]]:
    """The entities of each row, given as a JSON list of tags."""
    return [set(entities(json.loads(row))) for row in rows]


def type_names(*sides: Sequence[set[Entity]]) -> list[str]:
    """All entity types that occur, sorted."""
    return sorted({entity.type for side in sides for row in side for entity in row})


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Array:
    """Hits, predicted and gold entities per type and row: ``[rows, 3 * types]``, the types sorted within each third.

    An entity is a hit if type, start and end all agree.
    """
    expected, predicted = entity_sets(gold), entity_sets(prediction)
    order = {name: i for i, name in enumerate(type_names(expected, predicted))}
    matrix = np.zeros((len(expected), 3, len(order)))
    for row, (a, b) in enumerate(zip(expected, predicted, strict=True)):
        for third, spans in enumerate((a & b, b, a)):
            for entity in spans:
                matrix[row, third, order[entity.type]] += 1
    return matrix.reshape(len(expected), 3 * len(order))


def micro(counts: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 over all types, from summed statistics ``[..., 3 * types]``."""
    hits, predicted, gold = (third.sum(-1) for third in np.split(counts, 3, axis=-1))
    return precision_recall_f1(hits, predicted, gold)


def viterbi(log_probabilities: Matrix, lengths: npt.NDArray[np.int64], tags: Sequence[str]) -> npt.NDArray[np.int64]:
    """The most probable legal IOB2 sequence of each row, as tag indices ``[rows, tokens]``; undefined past a row's length.

    Viterbi's algorithm (Viterbi 1967; Forney 1973), with all legal transitions equally likely. Only an I- tag restricts what stands
    before it (the B- or the I- of its type), so a step costs O(tags), not O(tags²).

    Args:
        log_probabilities: ``[rows, tokens, tags]``.
        lengths: ``[rows]``, tokens of each row.
        tags: every I- tag's B- tag is among them.
    """
    rows, width, count = log_probabilities.shape
    inside = np.array([i for i, tag in enumerate(tags) if tag.startswith("I-")], dtype=np.int64)
    opening = np.array([tags.index(f"B-{tags[i][2:]}") for i in inside], dtype=np.int64)
    back = np.zeros((rows, width, count), dtype=np.int64)
    score = np.zeros((rows, count))
    for t in range(width):
        back[:, t] = score.argmax(1)[:, None]
        back[:, t, inside] = np.where(score[:, inside] >= score[:, opening], inside, opening)
        reached = np.take_along_axis(score, back[:, t], axis=1)
        if t == 0:
            reached[:, inside] = -np.inf
        # A row that has ended keeps its scores, so its best tag points to itself until the trace back reaches its last token.
        score = np.where((t < lengths)[:, None], reached + log_probabilities[:, t], score)
    return _trace(score.argmax(1), back)


def _trace(last: npt.NDArray[np.int64], back: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Follow the pointers from each row's best last tag to its first."""
    path = np.zeros(back.shape[:2], dtype=np.int64)
    best = last
    for t in range(back.shape[1] - 1, -1, -1):
        path[:, t] = best
        best = np.take_along_axis(back[:, t], best[:, None], axis=1)[:, 0]
    return path


class TokenClassification(TaskType):
    """A tag per token: cross-entropy at each token's first subword, decoded to legal IOB2."""

    name = "token_classification"
    all_metrics = (Metric("f1", title="entity F1"), Metric("precision"), Metric("recall"))
    hub_task = "token-classification"
    noun = "entity type"
    all_windows = True
    shows_tokens = True
    token_level = True

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.tags: list[str] = state["tags"]
        self._index = {tag: i for i, tag in enumerate(self.tags)}

    @property
    def class_names(self) -> Sequence[str]:
        """The entity types."""
        return list(dict.fromkeys(tag[2:] for tag in self.tags if tag != "O"))

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """O, then B- and I- of each sorted entity type; and the scale of the loss, from the tags of all tokens."""
        smoothing = 0.0 if settings is None else settings.label_smoothing
        rows: Any = (row for row in labels if row is not None)
        frequencies = Counter(tag for row in rows for tag in row if tag is not None)
        types = sorted({tag[2:] for tag in frequencies if tag != "O"})
        tags = ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
        scale = loss_scale({tag: frequencies[tag] for tag in tags}, smoothing)
        return {"tags": tags, "loss_scale": scale, "label_smoothing": smoothing}

    @staticmethod
    def of_characters(label: Label, tokens: Sequence[str]) -> list[str]:
        """A tag per character; the entities stay."""
        ends = np.cumsum([0, *map(len, tokens)])
        tags = ["O"] * int(ends[-1])
        for entity in entities([str(tag) for tag in _sequence(label)]):
            start, end = int(ends[entity.start]), int(ends[entity.end])
            tags[start:end] = [f"B-{entity.type}", *[f"I-{entity.type}"] * (end - start - 1)]
        return tags

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer on every position."""
        return heads.TokenHead(width, len(self.tags), dropout)

    def plain_head(self, head: Any) -> PlainHead:
        """Of a tagger."""
        return PlainHead("AutoModelForTokenClassification", *heads.weights(head.layers), self.tags)

    def positions(self, batch: Positions) -> Tensor:
        """The first subword of each token."""
        return batch.first

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """Tag indices int64 ``[rows, positions]`` at each token's first subword, ``IGNORED`` elsewhere and where masked."""
        words = _words(word_ids)
        known: dict[Any, int] = {**self._index}
        result = np.full(words.shape, IGNORED, dtype=np.int64)
        for row, tags in enumerate(labels):
            if tags is None:
                continue
            encoded = np.array([known.get(tag, IGNORED) for tag in _sequence(tags)], dtype=np.int64)
            first = words[row] >= 0
            result[row, first] = encoded[words[row, first]]
        return torch.from_numpy(result)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows, positions]``, true at the first subword of a token that has a label."""
        return targets.ne(IGNORED)

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over the entropy of the tags, and the number of labelled tokens."""
        return cross_entropy_sum(logits, targets, self.state), self.count(targets)

    def divergence(self, original: Tensor, variant: Tensor, settings: Consistency) -> tuple[Tensor, Tensor]:
        """Kullback-Leibler divergence of the tags of each token."""
        return sharpened_divergence(original, variant, settings, self.state)

    def annealed(self, logits: Tensor, targets: Tensor, share: float) -> Tensor:
        """Without the tokens whose tag is predicted with confidence."""
        return without_confident(logits, targets, share)

    def activate(self, logits: Tensor) -> Tensor:
        """The logarithm of the probability of each tag, ``[rows, positions, tags]``."""
        return (logits / self.temperature).log_softmax(-1)

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The most probable legal tags of each row, one per token; tokens beyond the longest length are O.

        A span's confidence is the product of the probabilities of its tags. A row's is the mean probability of the tags of the
        tokens that the model saw, 1 if it saw none.
        """
        words = _words(word_ids)
        seen = np.maximum(words.max(axis=1, initial=-1) + 1, 0).astype(np.int64)
        compact = np.zeros((len(words), int(seen.max(initial=0)), len(self.tags)), dtype=np.float64)
        row, position = np.nonzero(words >= 0)
        compact[row, words[row, position]] = outputs[row, position]
        path = viterbi(compact, seen, self.tags)
        chosen = np.exp(np.take_along_axis(compact, path[..., None], axis=2)[..., 0])
        totals = seen.tolist() if lengths is None else lengths
        return [self._prediction(path[i, :n], chosen[i, :n], totals[i]) for i, n in enumerate(seen.tolist())]

    def _prediction(self, path: npt.NDArray[np.int64], probabilities: Array, length: int) -> Prediction:
        tags = tuple(self.tags[i] for i in path) + ("O",) * (length - len(path))
        spans = tuple(Span(*entity, float(probabilities[entity.start : entity.end].prod())) for entity in entities(tags))
        return Prediction(tags, float(probabilities.mean()) if len(probabilities) else 1.0, spans)

    @property
    def has_temperature(self) -> bool:
        """Yes. The most probable tags stay: a legal sequence has the highest sum of logits, whatever they are divided by."""
        return True

    @property
    def choices(self) -> Sequence[str]:
        """The tags."""
        return self.tags

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """The confidence of each predicted entity; it is right if type, start and end are."""
        gold = set(entities([tag or "O" for tag in _sequence(label)]))
        return [(span.confidence, Entity(span.type, span.start, span.end) in gold) for span in prediction.spans]

    def confident(self, prediction: Prediction, minimum: float) -> Prediction | None:
        """None if the tags are below on average; else without the entities that are below."""
        if prediction.confidence < minimum:
            return None
        return replace(prediction, spans=tuple(span for span in prediction.spans if span.confidence >= minimum))

    def items_cut(self, label: Label, kept: range) -> int:
        """Entities whose first token is not kept."""
        return sum(str(tag).startswith("B-") and place not in kept for place, tag in enumerate(_sequence(label)))

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """Entity-level F1, precision and recall over all types from counts, equal to seqeval's default mode; 0 where undefined."""
        matrix = counts(gold, prediction)
        return {
            "f1": lambda weights: micro(weights @ matrix)[2],
            "precision": lambda weights: micro(weights @ matrix)[0],
            "recall": lambda weights: micro(weights @ matrix)[1],
        }

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """Counts of entities per type."""
        return type_names(entity_sets(gold), entity_sets(prediction)), counts(gold, prediction)

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"entities": [{"type", "text", "start", "end", "confidence"}]}``, where ``text[start:end]`` is the entity."""
        return {"entities": [_entity_json(span, row) for span in prediction.spans]}

    def describe(self) -> str:
        """The entity types."""
        return "entities: " + ", ".join(map(code, self.class_names))

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """Entities against entities."""
        return _judged


def _entity_json(span: Span, row: TextRow) -> dict[str, Any]:
    start, end = row.characters(span.start, span.end)
    return {"type": span.type, "text": row.text[start:end], "start": start, "end": end, "confidence": span.confidence}


def _sequence(label: Label) -> Sequence[str | None]:
    """The tags of a row."""
    if isinstance(label, float | str | Mapping):
        raise TypeError(f"not a list of tags: {label!r}")
    return label


def _words(word_ids: WordIds | None) -> Matrix:
    """The word ids as numpy; a token task cannot do without them."""
    if word_ids is None:
        raise ValueError("token_classification needs word_ids")
    return np.asarray(word_ids)


# --- the error browser ------------------------------------------------------------------------------------------------


def _judged(row: Mapping[str, Any]) -> Judged:
    tokens = json.loads(row["text"])
    gold, predicted = entities(json.loads(row["gold"])), entities(json.loads(row["prediction"]))
    clusters = overlapping([*set(gold) - set(predicted)], [*set(predicted) - set(gold)])
    marks = [((hit.start, hit.end), Mark(joined(tokens[hit.start : hit.end]), "right", hit.type)) for hit in {*gold} & {*predicted}]
    marks += [_cluster(tokens, *cluster) for cluster in clusters]
    pairs = [pair for a, b in clusters for pair in _pairs(a, b)]
    errors = Counter(mark.note for _, mark in sorted(marks) if mark.status != "right")
    note = listed([f"{error} ×{times}" if times > 1 else error for error, times in errors.items()] or ["right"])
    confidence = row["confidence"]
    return Judged(stretches(tokens, sorted(marks)), _types(gold), note, pairs, float(len(clusters)), f"{confidence:.3f}", confidence)


def overlapping(gold: Sequence[Entity], predicted: Sequence[Entity]) -> list[tuple[list[Entity], list[Entity]]]:
    """Wrong entities that share tokens, brought together: (gold ones, predicted ones), in the order of the text."""
    clusters: list[tuple[list[Entity], list[Entity]]] = []
    end = 0
    sides = [(entity.start, entity.end, side, entity) for side, found in enumerate((gold, predicted)) for entity in found]
    for start, stop, side, entity in sorted(sides):
        if start >= end:
            clusters.append(([], []))
        clusters[-1][side].append(entity)
        end = max(end, stop)
    return clusters


def _cluster(tokens: Sequence[str], gold: list[Entity], predicted: list[Entity]) -> tuple[tuple[int, int], Mark]:
    both = gold + predicted
    start, end = min(entity.start for entity in both), max(entity.end for entity in both)
    return (start, end), Mark(joined(tokens[start:end]), *_error(tokens, gold, predicted))


def _error(tokens: Sequence[str], gold: list[Entity], predicted: list[Entity]) -> tuple[str, str]:
    """The type of an error, and a description."""
    if not predicted:
        return "missed", f"missed {gold[0].type}"
    if not gold:
        return "spurious", f"spurious {predicted[0].type}"
    if len(gold) == len(predicted) == 1 and gold[0][1:] == predicted[0][1:]:
        return "type", f"{gold[0].type} predicted as {predicted[0].type}"
    expected, actual = (
        listed([f"{entity.type} “{joined(tokens[entity.start : entity.end])}”" for entity in side]) for side in (gold, predicted)
    )
    return "bounds", f"{expected} predicted as {actual}"


def _pairs(gold: list[Entity], predicted: list[Entity]) -> list[tuple[str, str]]:
    sides = ([entity.type for entity in side] or [OUTSIDE] for side in (gold, predicted))
    return [(a, b) for expected, actual in [tuple(sides)] for a in expected for b in actual]


def _types(spans: Sequence[Entity]) -> str:
    return listed(list(dict.fromkeys(entity.type for entity in spans))) if spans else OUTSIDE
