"""Sets of classes: scores agree with scikit-learn, thresholds are tuned, losses are masked and normalised."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, label_ranking_average_precision_score

from mtl import plugins
from mtl.tasks.base import Prediction, TextRow, to_text
from mtl.tasks.multilabel_classification import (
    DEFAULT,
    MultilabelClassification,
    MultilabelClassificationSettings,
    counts,
    names,
    ranking_precision,
    thresholds,
)

CLASSES = ["a", "b", "c", "d"]
sets = st.sets(st.sampled_from(CLASSES))
probabilities = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), min_size=4, max_size=4)
rows = st.lists(st.tuples(sets, sets, probabilities), min_size=1, max_size=30)


def task(labels: list[list[str] | None], **settings: object) -> MultilabelClassification:
    given = MultilabelClassificationSettings.model_validate({"type": "multilabel_classification", "label": "x", **settings})
    return MultilabelClassification(MultilabelClassification.fit(labels, given))


def texts(rows: list[tuple[set[str], set[str], list[float]]]) -> tuple[list[str], list[str]]:
    gold = [to_text(sorted(gold)) for gold, _, _ in rows]
    return gold, [to_text({"classes": sorted(chosen), "probabilities": dict(zip(CLASSES, p, strict=True))}) for _, chosen, p in rows]


def one_hot(chosen: list[set[str]]) -> np.ndarray:
    return np.array([[name in row for name in CLASSES] for row in chosen]).astype(int)


@given(rows)
def test_scores_agree_with_scikit_learn(rows: list[tuple[set[str], set[str], list[float]]]) -> None:
    found = MultilabelClassification.metrics(*texts(rows))
    gold, chosen = [row[0] for row in rows], [row[1] for row in rows]
    a, b = one_hot(gold), one_hot(chosen)
    if occurring := [CLASSES.index(name) for name in names(gold, chosen)]:
        for average in ("macro", "micro"):
            expected = f1_score(a, b, average=average, labels=occurring, zero_division=0)
            assert found[f"{average}_f1"] == pytest.approx(expected, abs=1e-15)
        table = MultilabelClassification.per_class(*texts(rows))
        each = f1_score(a, b, average=None, labels=occurring, zero_division=0)
        assert [row["f1"] for row in table.values()] == pytest.approx(each.tolist())
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(a, b), abs=1e-15)
    expected = label_ranking_average_precision_score(a, np.array([p for _, _, p in rows]))
    assert found["label_ranking_average_precision"] == pytest.approx(expected, abs=1e-15)


@given(rows, st.integers(0, 1000))
def test_weights_give_the_metrics_of_any_resample(rows: list[tuple[set[str], set[str], list[float]]], seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, len(rows), size=(3, len(rows)))
    weights = np.stack([np.bincount(sample, minlength=len(rows)) for sample in drawn]).astype(float)
    by_metric = MultilabelClassification.weighted(*texts(rows))
    expected = [MultilabelClassification.metrics(*texts([rows[i] for i in sample])) for sample in drawn]
    for name, of in by_metric.items():
        assert of(weights) == pytest.approx([values[name] for values in expected])


def test_no_rows_score_zero() -> None:
    assert set(MultilabelClassification.metrics([], []).values()) == {0.0}
    assert counts([], []).shape == (0, 0)


def test_a_class_that_the_model_does_not_know_is_ranked_last() -> None:
    prediction = to_text({"classes": ["a"], "probabilities": {"a": 0.9, "b": 0.1}})
    assert ranking_precision([to_text(["a", "new"])], [prediction]).tolist() == [pytest.approx((1 + 2 / 3) / 2)]


def test_predicting_the_train_distribution_costs_one() -> None:
    labels = [["a"], ["a", "b"], [], None, ["a"]]
    own = task(labels)
    logits = torch.tensor([0.75, 0.25]).logit().expand(len(labels), 2)
    assert own.loss(logits, own.targets(labels)).item() == pytest.approx(1.0, abs=1e-6)


def test_masked_rows_neither_count_nor_move_the_loss() -> None:
    own = task([["a"], ["b"], []])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = own.targets([["a"], None, ["b", "never seen"], []])
    total, count = own.loss_sum(logits, targets)
    total.backward()
    assert count.item() == 3  # an empty set is a label
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == 0
    assert logits.grad[[0, 2, 3]].abs().sum(1).min() > 0
    assert torch.equal(targets[2], torch.tensor([0.0, 1.0]))


def test_thresholds_are_those_of_the_highest_f1() -> None:
    generator = np.random.default_rng(3)
    scores = generator.random((60, 3)).astype(np.float32)
    gold = generator.random((60, 3)) < scores**2
    for column, threshold in enumerate(thresholds(scores, gold)):
        best = max(f1_score(gold[:, column], scores[:, column] >= value) for value in np.unique(scores[:, column]))
        assert f1_score(gold[:, column], scores[:, column] >= threshold) == pytest.approx(best)


def test_rare_classes_share_a_threshold() -> None:
    scores = np.array([[0.9, 0.3], [0.8, 0.2], [0.7, 0.1], [0.6, 0.0], [0.55, 0.0], [0.1, 0.05]], dtype=np.float32)
    gold = np.array([[1, 0], [1, 1], [1, 0], [1, 0], [1, 0], [0, 0]], dtype=bool)
    own, shared = thresholds(scores, gold)
    assert 0.1 < own < 0.55
    assert shared == pytest.approx((0.2 + 0.1) / 2)  # six of seven decisions at or above it are right, and none is missed
    assert thresholds(scores, np.zeros_like(gold)).tolist() == [DEFAULT, DEFAULT]


def test_calibration_changes_what_is_predicted_from_then_on() -> None:
    labels = [["a"]] * 6 + [[]] * 6
    own = task(labels)
    logits = torch.full((12, 1), -2.0)
    logits[6:] = -3.0
    before = own.decode(logits)
    assert [prediction.value["classes"] for prediction in before] == [[]] * 12
    after = own.calibrate(labels, before)
    assert [prediction.value["classes"] for prediction in after] == labels
    restored = plugins.task_type("multilabel_classification")(json.loads(json.dumps(own.state)))
    assert restored.decode(logits) == after == own.decode(logits)
    assert own.calibrates
    assert not task(labels, threshold=0.3).calibrates
    assert all(prediction.value["classes"] == ["a"] for prediction in task(labels, threshold=0.01).decode(logits))


def test_the_confidence_is_that_of_the_least_certain_decision() -> None:
    prediction = task([["a"], ["b"]]).decode(torch.tensor([[0.9, 0.4]]).logit())[0]
    assert prediction.value["classes"] == ["a"]
    assert prediction.confidence == pytest.approx(0.6)


def test_json_lists_the_most_probable_class_first() -> None:
    own = task([["a"], ["b"], ["c"]], threshold=0.2)
    answer = own.to_json(own.decode(torch.tensor([[0.3, 0.8, 0.1]]).logit())[0], TextRow("x", ["x"], [0]))
    assert [item["label"] for item in answer["labels"]] == ["b", "a"]
    assert answer["labels"][0]["probability"] == pytest.approx(0.8)


def test_the_error_browser_pairs_what_was_missed_with_what_was_predicted_instead() -> None:
    gold, prediction = texts([({"a", "b"}, {"b", "c"}, [0.1, 0.9, 0.8, 0.0])])
    judge = MultilabelClassification.judge([])
    judged = judge({"text": "t", "gold": gold[0], "prediction": prediction[0], "confidence": 0.5})
    assert (judged.gold, judged.prediction, judged.pairs, judged.severity) == ("a, b", "b, c", [("a", "c")], 2.0)
    right = judge({"text": "t", "gold": "[]", "prediction": to_text({"classes": [], "probabilities": {}}), "confidence": 0.5})
    assert (right.gold, right.severity, right.pairs) == ("no class", 0.0, [])


def test_missed_classes_are_confused_with_those_predicted_instead() -> None:
    rows = [({"a", "b"}, {"b", "c"}), ({"a"}, set()), (set(), {"c"}), ({"a"}, {"a"}), (set(), set()), ({"a", "b"}, {"c"})]
    found = MultilabelClassification.confusion(*texts([(gold, predicted, [0.5] * 4) for gold, predicted in rows]))
    order = ["a", "b", "c", "no class"]
    cells = {
        (gold, predicted): count
        for gold, counts in zip(order, found["counts"], strict=True)
        for predicted, count in zip(order, counts, strict=True)
        if count
    }
    right = {("a", "a"): 1, ("b", "b"): 1, ("no class", "no class"): 2}
    assert cells == right | {("a", "c"): 2, ("b", "c"): 1, ("a", "no class"): 1, ("no class", "c"): 1}
    assert (found["classes"], found["gold"]) == (order, [4, 2, 0, 3])  # rows of each class; rows that miss none


def test_a_head_that_predicts_one_set_for_all_rows_is_constant() -> None:
    value = {"classes": [], "probabilities": {"a": 0.1}}
    assert task([["a"]]).constant([Prediction(value, 0.9), Prediction({**value, "probabilities": {"a": 0.2}}, 0.8)]) == "no class"
    assert task([["a"]]).constant([Prediction(value, 0.9), Prediction({**value, "classes": ["a"]}, 0.8)]) is None


def test_a_head_of_no_class_at_all_is_finite() -> None:
    own = task([[], []])
    loss = own.loss(torch.zeros(2, 0), own.targets([[], []]))
    assert math.isfinite(loss.item())
    assert own.decode(torch.zeros(2, 0))[0].confidence == 1.0
