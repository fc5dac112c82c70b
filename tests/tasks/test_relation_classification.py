"""Relations between marked ranges: scores agree with scikit-learn and with the rules of SemEval-2010 Task 8."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from mtl.tasks.base import Positions, to_text
from mtl.tasks.relation_classification import RelationClassification

CLASSES = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Member-Collection(e1,e2)", "Member-Collection(e2,e1)", "Other"]
rows = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)


def relation(name: str, head: tuple[int, int] = (0, 1), tail: tuple[int, int] = (2, 3)) -> dict[str, Any]:
    return {"class": name, "head_start": head[0], "head_end": head[1], "tail_start": tail[0], "tail_end": tail[1]}


def sides(rows: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [to_text(relation(gold)) for gold, _ in rows], [prediction for _, prediction in rows]


def semeval(rows: list[tuple[str, str]]) -> float:
    """By the rules of the official scorer: a hit needs the direction too; only relations among the gold labels count."""
    scores = []
    for name in ("Cause-Effect", "Member-Collection"):
        hits = sum(gold == prediction and gold.startswith(name) for gold, prediction in rows)
        predicted = sum(prediction.startswith(name) for _, prediction in rows)
        expected = sum(gold.startswith(name) for gold, _ in rows)
        if expected:
            precision, recall = hits / max(predicted, 1), hits / expected
            scores.append(2 * precision * recall / max(precision + recall, 1e-300))
    return sum(scores) / max(len(scores), 1)


@given(rows)
def test_scores_agree_with_scikit_learn_and_the_task(rows: list[tuple[str, str]]) -> None:
    found = RelationClassification.metrics(*sides(rows))
    gold, prediction = map(list, zip(*rows, strict=True))
    assert found["macro_f1"] == pytest.approx(f1_score(gold, prediction, average="macro", zero_division=0), abs=1e-14)
    assert found["accuracy"] == pytest.approx(np.mean([a == b for a, b in rows]), abs=1e-15)
    micro = f1_score(gold, prediction, average="micro", labels=CLASSES[:4], zero_division=0) if {*gold, *prediction} - {"Other"} else 0.0
    assert found["micro_f1"] == pytest.approx(micro, abs=1e-14)
    assert found["semeval_f1"] == pytest.approx(semeval(rows), abs=1e-14)


@given(rows, st.integers(0, 1000))
def test_weights_give_the_metrics_of_any_resample(rows: list[tuple[str, str]], seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, len(rows), size=(3, len(rows)))
    weights = np.stack([np.bincount(sample, minlength=len(rows)) for sample in drawn]).astype(float)
    expected = [RelationClassification.metrics(*sides([rows[i] for i in sample])) for sample in drawn]
    for name, of in RelationClassification.weighted(*sides(rows)).items():
        assert of(weights) == pytest.approx([values[name] for values in expected])


def test_a_relation_in_the_wrong_direction_is_wrong() -> None:
    assert RelationClassification.metrics(*sides([("Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)")]))["semeval_f1"] == 0.0
    assert RelationClassification.metrics(*sides([("Other", "Other")]))["semeval_f1"] == 0.0
    assert set(RelationClassification.metrics([], []).values()) == {0.0}


def test_labels_become_classes_and_places() -> None:
    labels = [relation("b", (3, 5), (0, 2)), None, relation("a")]
    task = RelationClassification(RelationClassification.fit(labels))
    assert task.classes == ["a", "b"]
    assert task.targets(labels).tolist() == [1, -100, 0]
    assert dict(zip(task.markers, task.places(labels[0]), strict=True)) == {"<e1>": 3, "</e1>": 5, "<e2>": 0, "</e2>": 2}
    assert [task.items_cut(relation("a", (3, 5), (0, 2)), range(kept)) for kept in (3, 4)] == [1, 0]


def test_only_the_states_of_the_opening_markers_are_needed() -> None:
    task = RelationClassification(RelationClassification.fit([relation("a")]))
    pooled = torch.ones(2, 6, dtype=torch.bool)
    markers = {"<e1>": torch.tensor([1, -1]), "</e1>": torch.tensor([2, -1]), "<e2>": torch.tensor([3, -1]), "</e2>": torch.tensor([5, -1])}
    assert task.positions(Positions(pooled, pooled, markers, pooled)).nonzero().tolist() == [[0, 1], [0, 3]]


def test_the_error_browser_marks_both_ranges() -> None:
    text = to_text(["water", "causes", "rust", "."])
    judge = RelationClassification.judge([])
    judged = judge({"text": text, "gold": to_text(relation("x", (2, 3), (0, 1))), "prediction": "y", "confidence": 0.5})
    assert [(mark.text, mark.note) for mark in judged.marks] == [("water", "e2"), ("causes", ""), ("rust", "e1"), (".", "")]
    assert (judged.gold, judged.prediction, judged.pairs, judged.severity) == ("x", "y", [("x", "y")], 1.0)
    assert json.loads(text)[0] == "water"
