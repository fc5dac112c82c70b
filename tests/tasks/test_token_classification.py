"""Tags: entity scores agree with seqeval, decoding is the best legal sequence, targets sit on first subwords."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from mtl.data.spans import entities, legal_iob2
from mtl.tasks.base import IGNORED, to_text
from mtl.tasks.token_classification import TokenClassification, counts, micro, viterbi

TAGS = ["O", "B-LOC", "I-LOC", "B-per-son", "I-per-son"]
row_pairs = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8), min_size=1, max_size=6)


def split(rows: list[list[tuple[str, str]]]) -> tuple[list[list[str]], list[list[str]]]:
    return [[a for a, _ in row] for row in rows], [[b for _, b in row] for row in rows]


@given(row_pairs)
@settings(max_examples=200)
def test_scores_agree_with_seqeval_to_the_last_digit(rows: list[list[tuple[str, str]]]) -> None:
    gold, prediction = split(rows)
    found = TokenClassification.metrics([to_text(row) for row in gold], [to_text(row) for row in prediction])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where a quotient is undefined
        assert found["precision"] == precision_score(gold, prediction)
        assert found["recall"] == recall_score(gold, prediction)
        assert found["f1"] == f1_score(gold, prediction)
        report = classification_report(gold, prediction, output_dict=True) if any(map(entities, gold)) else {}
    types = TokenClassification.per_class([to_text(row) for row in gold], [to_text(row) for row in prediction])
    for name in set(report) - {"micro avg", "macro avg", "weighted avg"}:
        assert types[name]["f1"] == report[name]["f1-score"]
        assert types[name]["support"] == report[name]["support"]


@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_entities_are_those_of_seqeval(tags: list[str]) -> None:
    assert [(kind, start, end - 1) for kind, start, end in entities(tags)] == get_entities(tags)


@given(row_pairs, st.integers(0, 1000))
def test_counts_give_the_metric_of_any_resample(rows: list[list[tuple[str, str]]], seed: int) -> None:
    gold, prediction = (np.array([to_text(row) for row in side]) for side in split(rows))
    drawn = np.random.default_rng(seed).integers(0, len(rows), size=(3, len(rows)))
    weights = np.stack([np.bincount(sample, minlength=len(rows)) for sample in drawn])
    found = micro(weights @ counts(gold.tolist(), prediction.tolist()))[2]
    assert found.tolist() == [TokenClassification.metrics(gold[s].tolist(), prediction[s].tolist())["f1"] for s in drawn]


def test_no_rows_and_no_entities_score_zero() -> None:
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert TokenClassification.metrics([], []) == nothing
    assert TokenClassification.metrics(['["O"]'], ['["O"]']) == nothing


@given(st.integers(0, 10_000), st.lists(st.integers(0, 4), min_size=1, max_size=4))
@settings(max_examples=60)
def test_viterbi_finds_the_best_legal_sequence(seed: int, lengths: list[int]) -> None:
    scores = np.random.default_rng(seed).normal(size=(len(lengths), 4, len(TAGS)))
    path = viterbi(scores, np.array(lengths), TAGS)
    for row, n in enumerate(lengths):
        legal = [p for p in itertools.product(range(len(TAGS)), repeat=n) if legal_iob2([TAGS[i] for i in p])]
        best = max(legal, key=lambda p: sum(scores[row, t, i] for t, i in enumerate(p)))
        assert tuple(path[row, :n]) == best


WORD = np.array([[-1, 0, -1, 1, -1], [-1, 0, 1, 2, -1], [-1, 0, -1, -1, -1]])


def task_of(*rows: list[str]) -> TokenClassification:
    return TokenClassification(json.loads(json.dumps(TokenClassification.fit(rows))))


def test_targets_sit_on_first_subwords_of_labelled_tokens() -> None:
    task = task_of(["B-LOC", "O"], ["B-PER", "I-PER"])
    assert task.tags == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    targets = task.targets([["B-PER", "I-PER"], ["O", None, "B-NEW"], None], WORD)
    x = IGNORED
    assert targets.tolist() == [[x, 3, x, 4, x], [x, 0, x, x, x], [x, x, x, x, x]]
    assert task.count(targets).item() == 3
    assert torch.equal(targets, task.targets([["B-PER", "I-PER"], ["O", None, "B-NEW"], None], torch.from_numpy(WORD)))


def test_predicting_the_train_distribution_costs_one() -> None:
    rows = [["O", "O"], ["O", "B-A", "I-A"], ["O"]]
    task = task_of(*rows)
    logits = torch.tensor([4 / 6, 1 / 6, 1 / 6]).log().expand(3, 5, 3)
    assert task.loss(logits, task.targets(rows, WORD)).item() == pytest.approx(1.0, abs=1e-6)


def test_decoding_is_legal_and_covers_tokens_cut_off() -> None:
    task = task_of(["B-A", "I-A"])
    logits = torch.zeros(3, 5, 3)
    logits[0, 1] = torch.tensor([0.0, 1.0, 4.0])  # I-A first is illegal: B-A I-A is the best legal reading
    logits[0, 3] = torch.tensor([0.0, 0.0, 4.0])
    logits[1, 1:4, 0] = 9.0
    first, second, third = task.decode(logits, WORD, [4, 3, 1])
    assert first.value == ("B-A", "I-A", "O", "O")
    p = [logits[0, 1].softmax(0)[1].item(), logits[0, 3].softmax(0)[2].item()]
    assert first.confidence == pytest.approx(sum(p) / 2)
    [span] = first.spans
    assert (span.type, span.start, span.end) == ("A", 0, 2)
    assert span.confidence == pytest.approx(p[0] * p[1])
    assert second.text == '["O", "O", "O"]'
    assert len(third.value) == 1  # type: ignore[arg-type]


def test_a_row_of_which_nothing_was_seen_is_all_o() -> None:
    task = task_of(["B-A"])
    predictions = task.decode(torch.zeros(2, 2, 3), np.full((2, 2), -1), [0, 2])
    assert [(a.value, a.confidence) for a in predictions] == [((), 1.0), (("O", "O"), 1.0)]


def test_logits_without_a_word_array_are_refused() -> None:
    with pytest.raises(ValueError, match="needs word_ids"):
        task_of(["O"]).decode(torch.zeros(1, 1, 1))


def test_tags_of_characters_keep_the_entities() -> None:
    tags = TokenClassification.of_characters(["B-LOC", "I-LOC", "B-LOC", "O", "I-x"], ["New", "York", "LA", "é", "ab"])
    assert tags == ["B-LOC", *["I-LOC"] * 6, "B-LOC", "I-LOC", "O", "B-x", "I-x"]
    assert [tuple(entity) for entity in entities(tags)] == [("LOC", 0, 7), ("LOC", 7, 9), ("x", 10, 12)]
    assert TokenClassification.of_characters([], []) == []
