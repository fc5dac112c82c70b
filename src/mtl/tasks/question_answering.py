"""The answer to a question: a passage of a context."""

from __future__ import annotations

import json
import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from mtl.config.base import Count
from mtl.config.tasks import TaskSettings
from mtl.lazy import lazy
from mtl.tasks.base import IGNORED, Label, Metric, PlainHead, Positions, Prediction, State, TaskType, TextRow
from mtl.tasks.views import Judge, Judged, Mark, stretches

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from mtl.tasks import heads
    from mtl.tasks.base import Array, Outputs, Places, Weighted, WordIds
else:
    np, torch, nn, heads = lazy("numpy"), lazy("torch"), lazy("torch.nn"), lazy("mtl.tasks.heads")

BEST = 20
"""Starts and ends that are combined to passages."""
NO_ANSWER, ANSWER = "no answer", "answer"
"""What the report calls questions without and with an answer."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class QuestionAnsweringSettings(TaskSettings):
    """The passage of a context that answers a question, or none: cross-entropy on its start and its end."""

    implementation = "mtl.tasks.question_answering:QuestionAnswering"
    label_types = ("answers",)
    second_field = True

    type: Literal["question_answering"]
    max_answer: Count = 30
    """Tokens of an answer, at most."""


class Passage(NamedTuple):
    """The best passage of a row: tokens ``start`` (inclusive) to ``end`` (exclusive) of the context."""

    start: int
    end: int
    score: float
    """Sum of the logits of its start and its end."""
    probability: float
    """Among the passages of the best starts and ends."""


class QuestionAnswering(TaskType):
    """A start and an end per row, as in BERT (Devlin et al. 2019): the question comes first, and windows slide over the context.

    A question without an answer has the start and the end at the first position, whose logits come from the pooled text. The row has no
    answer if the best passage scores less than that by a threshold, which is tuned on validation rows.
    """

    name = "question_answering"
    all_metrics = (Metric("f1", title="answer F1"), Metric("exact_match", title="exact match"))
    hub_task = "question-answering"
    views = ("confusion",)
    noun = "kind of question"
    all_windows = True
    has_passages = True
    quotes = True
    stride = 128

    @staticmethod
    def fit(labels: Sequence[Label | None], settings: Any = None) -> State:
        """Whether there are questions without an answer."""
        return {
            "no_answer": any(label is not None and not _answers(label) for label in labels),
            "max_answer": QuestionAnsweringSettings.model_fields["max_answer"].default if settings is None else settings.max_answer,
            "threshold": 0.0,
        }

    @property
    def calibrates(self) -> bool:
        """Whether there are questions without an answer."""
        return bool(self.state["no_answer"])

    def head(self, width: int, dropout: float) -> nn.Module:
        """A linear layer on every token of the context, and one on the pooled text for questions without an answer."""
        return heads.PassageHead(width, dropout, self.field, no_answer=self.state["no_answer"])

    def plain_head(self, head: Any) -> PlainHead:
        """Of a model for answers."""
        if self.state["no_answer"]:
            raise ValueError("models of transformers do not read the pooled text to find that there is no answer")
        return PlainHead("AutoModelForQuestionAnswering", *heads.weights(head.layers))

    def positions(self, batch: Positions) -> Tensor:
        """The first subword of each token of the context, and what pooling needs."""
        return batch.first | batch.pooled if self.state["no_answer"] else batch.first

    def targets(self, labels: Sequence[Label | None], word_ids: WordIds | None = None) -> Tensor:
        """The positions of the first and the last token of the first answer, int64 ``[rows, 2]``; ``IGNORED`` where it cannot be seen."""
        words = _words(word_ids)
        result = np.full((len(labels), 2), IGNORED, dtype=np.int64)
        for row, label in enumerate(labels):
            if label is not None:
                result[row] = self._positions(_answers(label), words[row])
        return torch.from_numpy(result)

    def _positions(self, answers: Sequence[Mapping[str, Any]], words: WordIds) -> tuple[int, int]:
        if not answers:
            return (0, 0) if self.state["no_answer"] else (IGNORED, IGNORED)
        start, end = (np.flatnonzero(words == token) for token in (answers[0]["start"], answers[0]["end"] - 1))
        return (int(start[0]), int(end[0])) if len(start) and len(end) else (IGNORED, IGNORED)

    def labelled(self, targets: Tensor) -> Tensor:
        """Bool ``[rows]``."""
        return targets[:, 0].ne(IGNORED)

    def loss_sum(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The mean cross-entropy of start and end over the logarithm of the number of choices, summed; and the number of labelled rows."""
        scores = logits.float()
        choices = (scores[..., 0] > heads.MASKED / 2).sum(1)
        scale = choices.clamp(min=2).float().log()
        each = nn.functional.cross_entropy(scores, targets, ignore_index=IGNORED, reduction="none")  # [rows, positions, 2], [rows, 2]
        return (each.mean(1) / scale).sum(), self.count(targets)

    def predict(self, outputs: Outputs, word_ids: WordIds | None = None, lengths: Sequence[int] | None = None) -> list[Prediction]:
        """The best passage of each row, or none."""
        return [self._prediction([row], [own]) for row, own in zip(outputs, _words(word_ids), strict=True)]

    def predict_windows(self, outputs: Sequence[Outputs], words: Sequence[WordIds], best: tuple[Places, Places], length: int) -> Prediction:
        """The best passage of all windows. A question has no answer if no window has one."""
        return self._prediction(outputs, words)

    def join(self, scores: Sequence[Tensor], words: Sequence[WordIds], best: tuple[Places, Places], length: int) -> Prediction:
        """See ``predict_windows``."""
        return self._prediction([part.float().cpu().numpy() for part in scores], words)

    def _prediction(self, scores: Sequence[Outputs], words: Sequence[WordIds]) -> Prediction:
        """From the windows of a row."""
        longest, temperature = self.state["max_answer"], self.temperature
        passages = (best_passage(part, own, longest, temperature) for part, own in zip(scores, words, strict=True))
        found = [passage for passage in passages if passage]
        passage = max(found, key=lambda passage: passage.score, default=Passage(0, 0, 0.0, 0.0))
        margin = passage.score - min(float(part[0].sum()) for part in scores) if self.state["no_answer"] else None
        return self._decided({"start": passage.start, "end": passage.end, "probability": passage.probability, "margin": margin})

    def _decided(self, value: Mapping[str, Any]) -> Prediction:
        """With the decision whether there is an answer; the confidence is the probability of the passage, or that there is none."""
        margin = value["margin"]
        answered = value["end"] > 0 and (margin is None or margin > self.state["threshold"])
        certainty = 1.0 if margin is None else float(1 / (1 + np.exp(-abs(margin - self.state["threshold"]) / self.temperature)))
        return Prediction({**value, "answered": answered}, certainty * value["probability"] if answered else certainty)

    def calibrate(self, gold: Sequence[Label], predictions: Sequence[Prediction]) -> list[Prediction]:
        """Tune the threshold below which a question has no answer: the one of the highest mean F1 of tokens."""
        values = [_value(prediction) for prediction in predictions]
        margins = np.array([value["margin"] for value in values])
        gains = np.array([_overlap(value, _answers(label)) for value, label in zip(values, gold, strict=True)])
        self.state["threshold"] = best_threshold(margins, gains)
        return [self._decided(value) for value in values]

    @property
    def has_temperature(self) -> bool:
        """Yes."""
        return True

    def decisions(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Two per question: where the answer starts, and where it ends."""
        labelled = self.labelled(targets)
        scores = logits[labelled].transpose(1, 2).flatten(0, 1)
        return scores.masked_fill(scores < heads.MASKED / 2, -math.inf), targets[labelled].flatten()

    def checked(self, prediction: Prediction, label: Label) -> list[tuple[float, bool]]:
        """The confidence that the passage is a gold answer, or that there is none."""
        value, gold = _value(prediction), {(answer["start"], answer["end"]) for answer in _answers(label)}
        right = (value["start"], value["end"]) in gold if value["answered"] else not gold
        return [(prediction.confidence, right)]

    def quoted(self, prediction: Prediction, row: TextRow) -> Prediction:
        """With the text of the answer, empty if there is none."""
        value = _value(prediction)
        start, end = row.characters(value["start"], value["end"]) if value["answered"] else (0, 0)
        return replace(prediction, value={**value, "text": row.text[start:end]})

    def constant(self, predictions: Sequence[Prediction]) -> Any:
        """That no question has an answer, or the range of tokens that answers all."""
        values = {(value["start"], value["end"]) if value["answered"] else NO_ANSWER for value in map(_value, predictions)}
        return next(iter(values)) if len(values) == 1 else None

    @staticmethod
    def passage(label: Label) -> tuple[int, int] | None:
        """The first answer."""
        answers = _answers(label)
        return (answers[0]["start"], answers[0]["end"]) if answers else None

    def items_cut(self, label: Label, kept: range) -> int:
        """1 if the first answer is not wholly kept."""
        passage = self.passage(label)
        return int(passage is not None and not (passage[0] in kept and passage[1] - 1 in kept))

    @staticmethod
    def weighted(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Weighted]:
        """F1 of tokens and exact match, the highest over the gold answers of each question, as the official SQuAD 2.0 scorer counts."""
        pairs = [(_gold_texts(label), json.loads(predicted)["text"]) for label, predicted in zip(gold, prediction, strict=True)]
        by_row = {
            name: np.array([max(score(predicted, text) for text in texts) for texts, predicted in pairs], dtype=np.float64)
            for name, score in (("f1", token_f1), ("exact_match", exact_match))
        }
        return {name: _mean_of(values) for name, values in by_row.items()}

    @staticmethod
    def class_counts(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], Array]:
        """Counts of questions with and without an answer, where there are both."""
        sides = _kinds(gold, prediction)
        if {*sides[0], *sides[1]} <= {ANSWER}:
            return [], np.zeros((len(gold), 0))
        names = [ANSWER, NO_ANSWER]
        is_gold, is_predicted = (np.array([[kind == name for name in names] for kind in side], dtype=np.float64) for side in sides)
        return names, np.concatenate([is_gold * is_predicted, is_predicted, is_gold], axis=1)

    @staticmethod
    def confusion(gold: Sequence[str], prediction: Sequence[str]) -> dict[str, Any] | None:
        """Questions with and without an answer (row) that got one or none (column), where there are both."""
        pairs = Counter(zip(*_kinds(gold, prediction), strict=True))
        if {name for pair in pairs for name in pair} <= {ANSWER}:
            return None
        names = [ANSWER, NO_ANSWER]
        return {"classes": names, "counts": [[pairs[a, b] for b in names] for a in names]}

    def to_json(self, prediction: Prediction, row: TextRow) -> dict[str, Any]:
        """``{"answer", "start", "end", "confidence"}``, where ``context[start:end]`` is the answer; all but the last null without one."""
        value = _value(prediction)
        if not value["answered"]:
            return {"answer": None, "start": None, "end": None, "confidence": prediction.confidence}
        start, end = row.characters(value["start"], value["end"])
        return {"answer": row.text[start:end], "start": start, "end": end, "confidence": prediction.confidence}

    def describe(self) -> str:
        """Whether it can say that there is no answer."""
        return "a passage of the context" + (", or that it holds no answer" if self.state["no_answer"] else "")

    def shown(self, fields: Sequence[Sequence[str]], text: str) -> str:
        """The question as a text, and the tokens of the context."""
        return json.dumps({"question": " ".join(fields[0]), "context": list(fields[self.field])}, ensure_ascii=False)

    @staticmethod
    def judge(rows: Sequence[Mapping[str, Any]]) -> Judge:
        """One answer against another, marked in the context."""
        return _judged


def best_passage(scores: Outputs, words: WordIds, longest: int, temperature: float = 1.0) -> Passage | None:
    """The passage of a window with the highest sum of the logits of start and end; None if the window holds no token of the context.

    Args:
        scores: logits of start and end, ``[positions, 2]``.
        words: ``[positions]``, index of the token of the context at its first subword, else -1.
        longest: tokens of a passage, at most.
        temperature: what logits are divided by for the probability.
    """
    places = np.flatnonzero(words >= 0)
    if not len(places):
        return None
    tokens, logits = words[places], scores[places].astype(np.float64)
    starts, ends = (np.argsort(-side, kind="stable")[:BEST] for side in logits.T)
    lengths = tokens[ends] - tokens[starts][:, None] + 1
    sums = np.where((lengths >= 1) & (lengths <= longest), logits[starts, 0][:, None] + logits[ends, 1], -np.inf)
    if np.isinf(sums).all():  # no end near a start: a passage of one token is always there
        starts = ends = np.array([int((logits.sum(1)).argmax())])
        sums = logits[starts].sum(1, keepdims=True)
    start, end = np.unravel_index(int(sums.argmax()), sums.shape)
    best = float(sums[start, end])
    return Passage(int(tokens[starts[start]]), int(tokens[ends[end]]) + 1, best, float(1 / np.exp((sums - best) / temperature).sum()))


def best_threshold(margins: Array, gains: Array) -> float:
    """The margin over which answering scores highest: between two margins that occur; 0 if no other one is better.

    Args:
        margins: score of each row's best passage over that of no answer, ``[rows]``.
        gains: by how much answering scores more than not answering, ``[rows]``.
    """
    order = np.argsort(-margins, kind="stable")
    ranked = margins[order]
    totals = np.concatenate([[0.0], np.cumsum(gains[order])])
    tied = np.concatenate([[False], ranked[1:] == ranked[:-1], [False]])  # equal margins cannot be parted
    totals[tied] = -np.inf
    answered = int(totals.argmax())
    if totals[int((ranked > 0).sum())] >= totals[answered]:
        return 0.0
    above = ranked[answered - 1] if answered else ranked[0] + 2
    below = ranked[answered] if answered < len(ranked) else ranked[-1] - 2
    return float((above + below) / 2)


def normalized(text: str) -> list[str]:
    """The words of an answer as SQuAD's scorer compares them: lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def exact_match(prediction: str, gold: str) -> float:
    """1 if two answers have the same words."""
    return float(normalized(prediction) == normalized(gold))


def token_f1(prediction: str, gold: str) -> float:
    """F1 of the words of two answers; of an answer without words 1 if the other has none either."""
    predicted, expected = Counter(normalized(prediction)), Counter(normalized(gold))
    if not predicted or not expected:
        return float(predicted == expected)
    same = (predicted & expected).total()
    precision, recall = same / predicted.total(), same / expected.total()
    return 2 * precision * recall / (precision + recall) if same else 0.0


def _mean_of(values: Array) -> Weighted:
    return lambda weights: weights @ values / weights.sum(-1)


def _answers(label: Label) -> Sequence[Mapping[str, Any]]:
    """A label of the type ``answers``."""
    return cast("Sequence[Mapping[str, Any]]", label)


def _value(prediction: Prediction) -> Mapping[str, Any]:
    """The value of a prediction of this task type."""
    return cast("Mapping[str, Any]", prediction.value)


def _words(word_ids: WordIds | None) -> WordIds:
    """The word ids; an answer is a place in the text."""
    if word_ids is None:
        raise ValueError("question_answering needs word_ids")
    return word_ids


def _overlap(value: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> float:
    """By how much predicting this passage scores more than predicting none: its F1 of tokens, or -1 where there is no answer."""
    if not answers:
        return -1.0
    start, end = int(value["start"]), int(value["end"])
    ranges = [(int(answer["start"]), int(answer["end"])) for answer in answers]
    return max(2 * max(0, min(end, b) - max(start, a)) / (end - start + b - a) for a, b in ranges)


def _gold_texts(label: str) -> list[str]:
    """The gold answers that have words; an empty one if there are none."""
    return [answer["text"] for answer in json.loads(label) if normalized(answer["text"])] or [""]


def _kinds(gold: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], list[str]]:
    """Whether each question has an answer, and whether one was predicted."""
    return (
        [ANSWER if json.loads(label) else NO_ANSWER for label in gold],
        [ANSWER if json.loads(predicted)["answered"] else NO_ANSWER for predicted in prediction],
    )


# --- the error browser ------------------------------------------------------------------------------------------------


def _judged(row: Mapping[str, Any]) -> Judged:
    text, answers, value = json.loads(row["text"]), json.loads(row["gold"]), json.loads(row["prediction"])
    tokens, expected = text["context"], list(dict.fromkeys(answer["text"] for answer in answers))
    predicted = value["text"] if value["answered"] else NO_ANSWER
    f1 = max((token_f1(value["text"], answer) for answer in expected), default=float(not value["answered"]))
    pairs = [(ANSWER if answers else NO_ANSWER, ANSWER if value["answered"] else NO_ANSWER)] if f1 < 1 else []
    marks = [Mark(text["question"], "range", "question"), *stretches(tokens, _marks(tokens, answers, value))]
    return Judged(marks, " / ".join(expected) or NO_ANSWER, predicted, pairs, 1 - f1, f"{row['confidence']:.3f}", row["confidence"])


def _marks(tokens: Sequence[str], answers: Sequence[Mapping[str, Any]], value: Mapping[str, Any]) -> list[tuple[tuple[int, int], Mark]]:
    """The first gold answer and the predicted one, brought together where they share tokens."""
    gold = {(answer["start"], answer["end"]) for answer in answers[:1]}
    predicted = {(value["start"], value["end"])} if value["answered"] else set()
    if any(a < end and start < b for a, b in gold for start, end in predicted):
        [(a, b), (start, end)] = [*gold, *predicted]
        both = min(a, start), max(b, end)
        note = f"“{' '.join(tokens[a:b])}” predicted as “{' '.join(tokens[start:end])}”"
        return [(both, Mark(" ".join(tokens[both[0] : both[1]]), "bounds", note))]
    sides = [(place, "missed", ANSWER) for place in gold] + [(place, "spurious", "predicted") for place in predicted]
    return [((start, end), Mark(" ".join(tokens[start:end]), status, note)) for (start, end), status, note in sorted(sides)]
