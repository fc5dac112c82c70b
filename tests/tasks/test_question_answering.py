"""Answers to questions: scores follow the rules of SQuAD's scorer, and the best passage is that of all pairs of a start and an end."""

import json
import re
import string
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl.tasks.base import Prediction, TextRow, to_text
from mtl.tasks.heads import MASKED
from mtl.tasks.question_answering import NO_ANSWER, QuestionAnswering, best_passage, best_threshold

WORDS = ["the", "a", "An", "fox", "dog", "dog's", "1,000", "-", "New", "york."]
answers = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
rows = st.lists(st.tuples(st.lists(answers.filter(str.strip), max_size=3), answers), min_size=1, max_size=20)


def sides(rows: list[tuple[list[str], str]]) -> tuple[list[str], list[str]]:
    gold = [to_text([{"text": text, "start": 0, "end": 1} for text in texts]) for texts, _ in rows]
    return gold, [to_text({"text": text, "answered": bool(text)}) for _, text in rows]


def official(golds: list[str], predicted: str) -> tuple[float, float]:
    """Exact match and F1 of a question, by the rules of the scorer of SQuAD 2.0, step by step."""

    def words(text: str) -> list[str]:
        text = "".join(character for character in text.lower() if character not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def f1(gold: str) -> float:
        expected, found = words(gold), words(predicted)
        if not expected or not found:
            return float(expected == found)
        same = sum((Counter(expected) & Counter(found)).values())
        precision, recall = same / len(found), same / len(expected)
        return 2 * precision * recall / (precision + recall) if same else 0.0

    counted = [gold for gold in golds if words(gold)] or [""]
    return max(float(words(gold) == words(predicted)) for gold in counted), max(map(f1, counted))


@given(rows)
def test_scores_are_those_of_the_official_rules(rows: list[tuple[list[str], str]]) -> None:
    exact, f1 = np.mean([official(golds, predicted) for golds, predicted in rows], axis=0)
    assert QuestionAnswering.metrics(*sides(rows)) == pytest.approx({"f1": f1, "exact_match": exact}, abs=1e-14)


@pytest.mark.parametrize(
    ("golds", "predicted", "exact", "f1"),
    [
        (["Denver Broncos", "The Denver Broncos!"], "the denver broncos", 1, 1),
        (["Denver Broncos"], "Broncos", 0, 2 / 3),
        ([], "", 1, 1),
        ([], "Broncos", 0, 0),
        (["Denver"], "", 0, 0),
        (["$1,000"], "1000", 1, 1),
    ],
)
def test_known_scores(golds: list[str], predicted: str, exact: float, f1: float) -> None:
    assert QuestionAnswering.metrics(*sides([(golds, predicted)])) == pytest.approx({"f1": f1, "exact_match": exact})


def every_passage(scores: np.ndarray, words: np.ndarray, longest: int) -> list[tuple[float, int, int]]:
    places = np.flatnonzero(words >= 0)
    return [
        (float(scores[a, 0] + scores[b, 1]), int(words[a]), int(words[b]) + 1)
        for a in places
        for b in places
        if words[a] <= words[b] < words[a] + longest
    ]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_best_passage_is_that_of_all_pairs(seed: int, longest: int) -> None:
    random = np.random.default_rng(seed)
    words = np.array([-1, -1, *(token for n in range(15) for token in (n, *[-1] * int(random.integers(2))))], dtype=np.int32)
    scores = random.normal(size=(len(words), 2)).astype(np.float32)
    found = best_passage(scores, words, longest)
    assert found is not None
    best, start, end = max(every_passage(scores.astype(np.float64), words, longest))
    assert (found.start, found.end, found.score) == (start, end, pytest.approx(best))
    assert 0 < found.probability <= 1


def test_a_start_without_an_end_near_it_leaves_a_single_token() -> None:
    words = np.arange(60, dtype=np.int32)
    scores = np.zeros((60, 2), dtype=np.float32)
    scores[40:, 0], scores[:20, 1] = 5, 5  # the best starts come after the best ends
    passage = best_passage(scores, words, 30)
    assert passage is not None
    assert (passage.end - passage.start, passage.score, passage.probability) == (1, 5, 1)
    assert best_passage(scores, np.full(60, -1, dtype=np.int32), 30) is None


def task(**state: Any) -> QuestionAnswering:
    return QuestionAnswering({"fields": ["question", "context"], "field": 1, "no_answer": True, "max_answer": 30, "threshold": 0.0} | state)


def label(*ranges: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"text": "x", "start": start, "end": end} for start, end in ranges]


def test_labels_become_positions_and_what_cannot_be_seen_is_masked() -> None:
    words = np.array([[-1, -1, 5, 6, -1, 7, -1]] * 5, dtype=np.int32)  # a window that begins with token 5
    labels = [label((6, 8), (5, 6)), label((4, 6)), label((7, 9)), [], None]
    assert task().targets(labels, words).tolist() == [[3, 5], [-100, -100], [-100, -100], [0, 0], [-100, -100]]
    assert task(no_answer=False).targets(labels, words)[3].tolist() == [-100, -100]
    assert task().count(task().targets(labels, words)) == 2
    assert [task().items_cut(label((5, 7)), range(*kept)) for kept in ((5, 7), (0, 9), (5, 6), (6, 9))] == [0, 0, 1, 1]
    assert (task().passage(label((5, 7), (1, 2))), task().passage([])) == ((5, 7), None)


def test_a_head_that_ignores_its_input_has_loss_1_however_long_the_context() -> None:
    scores = torch.full((2, 9, 2), MASKED)
    scores[0, 3:6], scores[1, 3:9] = 0.5, 0.5
    targets = torch.tensor([[3, 5], [4, 4]])
    assert task().loss(scores, targets).item() == pytest.approx(1)
    assert task().loss(scores, torch.full((2, 2), -100)).item() == 0


def test_a_question_has_no_answer_if_the_best_passage_scores_less_by_the_threshold() -> None:
    words = np.array([[-1, -1, 0, 1, 2]], dtype=np.int32)
    scores = torch.full((1, 5, 2), MASKED)
    scores[0, 0], scores[0, 2:] = 1.0, torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    for threshold, answered in ((0.0, True), (2.9, True), (3.1, False)):
        [prediction] = task(threshold=threshold).decode(scores, words)
        assert prediction.value["answered"] == answered
        assert (prediction.value["start"], prediction.value["end"], prediction.value["margin"]) == (0, 2, 3.0)
        assert 0 < prediction.confidence <= 1


def test_windows_are_joined_by_their_scores() -> None:
    parts = [torch.full((4, 2), MASKED) for _ in range(3)]
    for part, null, passage in zip(parts, (4.0, 1.0, 3.0), (0.5, 2.5, 1.0), strict=True):
        part[0], part[2:] = null, passage
    words = [np.array([-1, -1, token, token + 1], dtype=np.int32) for token in (0, 2, 4)]
    nowhere = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    joined = task().join(parts, words, nowhere, 6)
    assert (joined.value["start"], joined.value["end"], joined.value["margin"]) == (2, 3, 5.0 - 2.0)  # over the least of no answer


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([-1.0, 0.0, 0.5, 1.0])), min_size=1, max_size=12))
def test_no_threshold_scores_higher_than_the_best_one(rows: list[tuple[int, float]]) -> None:
    margins, gains = map(np.array, zip(*rows, strict=True))
    best = best_threshold(margins.astype(float), gains)
    total = gains[margins > best].sum()
    assert total == pytest.approx(max(gains[margins > threshold].sum() for threshold in (*margins, -10, 0)))


def test_the_threshold_is_tuned_and_kept() -> None:
    own = task()
    value = {"start": 0, "end": 2, "probability": 0.5}
    before = [Prediction({**value, "margin": margin, "answered": True}, 0.5) for margin in (1.0, 2.0, 3.0)]
    after = own.calibrate([[], [], label((0, 2))], before)
    assert own.state["threshold"] == 2.5
    assert [prediction.value["answered"] for prediction in after] == [False, False, True]
    assert own.constant(after[:2]) == NO_ANSWER
    assert own.constant(after) is None


def test_a_prediction_quotes_the_text_with_its_own_spacing() -> None:
    row = TextRow.of(["by", "Ann", "-", "Lee", "."], [True, False, False, False, False])
    assert (row.text, row.starts) == ("by Ann-Lee.", [0, 3, 6, 7, 10])
    value = {"start": 1, "end": 4, "probability": 0.5, "margin": 1.0, "answered": True}
    quoted = task().quoted(Prediction(value, 0.5), row)
    assert quoted.value["text"] == "Ann-Lee"
    assert task().to_json(quoted, row) == {"answer": "Ann-Lee", "start": 3, "end": 10, "confidence": 0.5}
    none = Prediction({**value, "answered": False}, 0.9)
    assert task().quoted(none, row).value["text"] == ""
    assert task().to_json(none, row) == {"answer": None, "start": None, "end": None, "confidence": 0.9}


def test_the_error_browser_shows_the_question_and_both_answers() -> None:
    text = task().shown([["Who", "?"], ["By", "Ann", "Lee", "or", "Bo", "."]], "unused")

    def judged(gold: list[dict[str, Any]], **value: Any) -> Any:
        row = {"text": text, "gold": to_text(gold), "prediction": to_text({"text": "", **value}), "confidence": 0.75}
        return QuestionAnswering.judge([row])(row)

    wrong = judged([{"text": "Ann Lee", "start": 1, "end": 3}], start=4, end=5, text="Bo", answered=True)
    assert [(mark.text, mark.status) for mark in wrong.marks] == [
        ("Who ?", "range"), ("By", ""), ("Ann Lee", "missed"), ("or", ""), ("Bo", "spurious"), (".", ""),
    ]  # fmt: skip
    assert (wrong.gold, wrong.prediction, wrong.severity) == ("Ann Lee", "Bo", 1.0)
    near = judged([{"text": "Ann Lee", "start": 1, "end": 3}], start=2, end=3, text="Lee", answered=True)
    assert [mark.status for mark in near.marks] == ["range", "", "bounds", ""]
    assert near.severity == pytest.approx(1 / 3)
    missed = judged([], start=2, end=3, text="Lee", answered=True)
    assert (missed.pairs, missed.gold) == ([("no answer", "answer")], NO_ANSWER)
    assert judged([], start=2, end=3, answered=False).severity == 0


def test_both_kinds_of_questions_are_counted_where_there_are_both() -> None:
    gold, prediction = sides([(["fox"], "fox"), (["fox"], ""), ([], "fox"), ([], ""), ([], "")])
    assert QuestionAnswering.confusion(gold, prediction) == {"classes": ["answer", "no answer"], "counts": [[1, 1], [1, 2]]}
    assert QuestionAnswering.per_class(gold, prediction)["no answer"]["recall"] == pytest.approx(2 / 3)
    only = sides([(["fox"], "fox"), (["fox"], "dog")])
    assert QuestionAnswering.confusion(*only) is None
    assert QuestionAnswering.per_class(*only) == {}
    assert json.loads(only[0][0])[0]["text"] == "fox"
