"""A tag per token: entity spans in IOB2."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.tasks.base import (
    IGNORED,
    Counts,
    Label,
    Prediction,
    Span,
    State,
    TaskType,
    Words,
    cross_entropy_sum,
    loss_scale,
    score_table,
    scores,
)

Entity = tuple[str, int, int]
"""Type, first token, token after the last."""
Matrix = npt.NDArray[Any]


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities that tags spell, in order.

    Illegal sequences are read as conlleval and seqeval's default mode read them: an I- that does not continue an entity of
    its type begins one.
    """
    spans: list[Entity] = []
    start, kind = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        current = tag[2:]
        if kind and (tag[0] != "I" or current != kind):
            spans.append((kind, start, i))
            kind = ""
        if current and not kind:
            start, kind = i, current
    return spans


def entity_sets(rows: Sequence[str]) -> list[set[Entity]]:
    """The entities of each row, given as a JSON list of tags."""
    return [set(entities(json.loads(row))) for row in rows]


def type_names(*sides: Sequence[set[Entity]]) -> list[str]:
    """All entity types that occur, sorted."""
    return sorted({kind for side in sides for row in side for kind, _, _ in row})


def counts(gold: Sequence[str], prediction: Sequence[str]) -> Counts:
    """Found, predicted and gold entities per type and row: ``[rows, 3 * types]``, the types sorted within each third.

    An entity is found if type, start and end all agree.
    """
    right, answered = entity_sets(gold), entity_sets(prediction)
    order = {name: i for i, name in enumerate(type_names(right, answered))}
    matrix = np.zeros((len(right), 3, len(order)))
    for row, (a, b) in enumerate(zip(right, answered, strict=True)):
        for third, spans in enumerate((a & b, b, a)):
            for kind, _, _ in spans:
                matrix[row, third, order[kind]] += 1
    return matrix.reshape(len(right), 3 * len(order))


def micro(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """Precision, recall and F1 over all types, from summed statistics ``[..., 3 * types]``."""
    found, predicted, gold = (third.sum(-1) for third in np.split(counts, 3, axis=-1))
    return scores(found, predicted, gold)


def from_counts(counts: Counts) -> Counts:
    """Entity-level micro F1 ``[resamples]``."""
    return micro(counts)[2]


def metrics(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
    """Entity-level precision, recall and F1 over all types, equal to seqeval's default mode; 0 where undefined."""
    precision, recall, f1 = micro(counts(gold, prediction).sum(0))
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def per_type(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, f1 and support (gold entities) per entity type."""
    names = type_names(entity_sets(gold), entity_sets(prediction))
    return score_table(names, *np.split(counts(gold, prediction).sum(0), 3))


def viterbi(log_probabilities: Matrix, lengths: npt.NDArray[np.int64], tags: Sequence[str]) -> npt.NDArray[np.int64]:
    """The most probable legal IOB2 sequence of each row, as tag indices ``[rows, tokens]``; undefined past a row's length.

    Viterbi's algorithm (Viterbi 1967; Forney 1973), with all legal transitions equally likely. Only an I- tag restricts what stands
    before it (the B- or the I- of its type), so a step costs O(tags), not O(tags²).

    Args:
        log_probabilities: ``[rows, tokens, tags]``.
        lengths: ``[rows]``, tokens of each row.
        tags: every I- tag's B- tag is among them.
    """
    rows, width, kinds = log_probabilities.shape
    inside = np.array([i for i, tag in enumerate(tags) if tag.startswith("I-")], dtype=np.int64)
    opening = np.array([tags.index(f"B-{tags[i][2:]}") for i in inside], dtype=np.int64)
    back = np.zeros((rows, width, kinds), dtype=np.int64)
    score = np.zeros((rows, kinds))
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

    level = "token"
    main_metric = "f1"
    counts = staticmethod(counts)
    from_counts = staticmethod(from_counts)
    metrics = staticmethod(metrics)
    per_type = staticmethod(per_type)

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.tags: list[str] = state["tags"]
        self._index = {tag: i for i, tag in enumerate(self.tags)}

    @staticmethod
    def fit(labels: Sequence[Label | None], label_smoothing: float = 0.0) -> State:
        """O, then B- and I- of each sorted entity type; and the scale of the loss, from the tags of all tokens."""
        frequencies = Counter(tag for row in labels if row is not None and not isinstance(row, float) for tag in row if tag is not None)
        types = sorted({tag[2:] for tag in frequencies if tag != "O"})
        tags = ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
        scale = loss_scale({tag: frequencies[tag] for tag in tags}, label_smoothing)
        return {"tags": tags, "loss_scale": scale, "label_smoothing": label_smoothing}

    @property
    def outputs(self) -> int:
        """The number of tags."""
        return len(self.tags)

    def targets(self, labels: Sequence[Label | None], word_ids: Words | None = None) -> Tensor:
        """Tag indices int64 ``[rows, positions]`` at each token's first subword, ``IGNORED`` elsewhere and where masked."""
        words = _words(word_ids)
        known: dict[Any, int] = {**self._index}
        result = np.full(words.shape, IGNORED, dtype=np.int64)
        for row, tags in enumerate(labels):
            if tags is None or isinstance(tags, float):
                continue
            encoded = np.array([known.get(tag, IGNORED) for tag in tags], dtype=np.int64)
            first = words[row] >= 0
            result[row, first] = encoded[words[row, first]]
        return torch.from_numpy(result)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows, positions]``, true at the first subword of a token that has a label."""
        return targets.ne(IGNORED)

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over the entropy of the tags, and the number of labelled tokens."""
        return cross_entropy_sum(logits, targets, self.state), self.count(targets)

    def decode(self, logits: Tensor, word_ids: Words | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The most probable legal tags of each row, one a token; tokens cut off by the longest length are O.

        A span's confidence is the product of the probabilities of its tags. A row's is the mean probability of the tags of the
        tokens that the model saw, 1 if it saw none.
        """
        words = _words(word_ids)
        seen = np.maximum(words.max(axis=1, initial=-1) + 1, 0).astype(np.int64)
        log_probabilities = logits.detach().float().log_softmax(-1).cpu().numpy()
        compact = np.zeros((len(words), int(seen.max(initial=0)), self.outputs), dtype=np.float64)
        row, position = np.nonzero(words >= 0)
        compact[row, words[row, position]] = log_probabilities[row, position]
        path = viterbi(compact, seen, self.tags)
        chosen = np.exp(np.take_along_axis(compact, path[..., None], axis=2)[..., 0])
        totals = seen.tolist() if lengths is None else lengths
        return [self._prediction(path[i, :n], chosen[i, :n], totals[i]) for i, n in enumerate(seen.tolist())]

    def _prediction(self, path: npt.NDArray[np.int64], probabilities: Counts, length: int) -> Prediction:
        tags = tuple(self.tags[i] for i in path) + ("O",) * (length - len(path))
        spans = tuple(Span(kind, start, end, float(probabilities[start:end].prod())) for kind, start, end in entities(tags))
        return Prediction(tags, float(probabilities.mean()) if len(probabilities) else 1.0, spans)


def _words(word_ids: Words | None) -> Matrix:
    """The word array as numpy; it is what a token task cannot do without."""
    if word_ids is None:
        raise ValueError("token_classification needs the word array")
    return word_ids.cpu().numpy() if isinstance(word_ids, Tensor) else np.asarray(word_ids)
