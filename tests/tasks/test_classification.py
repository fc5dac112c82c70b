"""Classes: scores agree with scikit-learn, losses are masked and normalised."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from mtl import plugins
from mtl.tasks.classification import Classification, ClassificationSettings, class_weights, counts, macro_f1

pairs = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40)


@given(pairs)
def test_scores_agree_with_scikit_learn(rows: list[tuple[str, str]]) -> None:
    gold, prediction = map(list, zip(*rows, strict=True))
    found = Classification.metrics(gold, prediction)
    assert found["accuracy"] == pytest.approx(accuracy_score(gold, prediction), abs=1e-15)
    assert found["macro_f1"] == pytest.approx(f1_score(gold, prediction, average="macro", zero_division=0), abs=1e-14)
    for average in ("weighted", "micro"):
        assert found[f"{average}_f1"] == pytest.approx(f1_score(gold, prediction, average=average, zero_division=0), abs=1e-14)
    table = Classification.confusion(gold, prediction)
    names, matrix = table["classes"], table["counts"]
    if len(names) > 1:  # scikit-learn warns of a single class
        assert np.array_equal(matrix, confusion_matrix(gold, prediction, labels=names))
    expected = f1_score(gold, prediction, average=None, labels=names, zero_division=0)
    assert [row["f1"] for row in Classification.per_class(gold, prediction).values()] == pytest.approx(expected.tolist())


@given(pairs, st.integers(0, 1000))
def test_counts_give_the_metric_of_any_resample(rows: list[tuple[str, str]], seed: int) -> None:
    gold, prediction = map(np.array, zip(*rows, strict=True))
    drawn = np.random.default_rng(seed).integers(0, len(rows), size=(3, len(rows)))
    weights = np.stack([np.bincount(sample, minlength=len(rows)) for sample in drawn])
    found = macro_f1(weights @ counts(gold.tolist(), prediction.tolist()))
    assert found == pytest.approx([Classification.metrics(gold[s].tolist(), prediction[s].tolist())["macro_f1"] for s in drawn])


def test_no_rows_score_zero() -> None:
    assert set(Classification.metrics([], []).values()) == {0.0}
    assert counts([], []).shape == (0, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_predicting_the_train_distribution_costs_one(smoothing: float) -> None:
    labels = ["a"] * 6 + ["b"] * 3 + [None] * 5 + ["c"]
    task = plugins.task_type("classification")(
        Classification.fit(labels, ClassificationSettings(type="classification", label="x", label_smoothing=smoothing))
    )
    shares = (1 - smoothing) * torch.tensor([0.6, 0.3, 0.1]) + smoothing / 3
    logits = shares.log().expand(len(labels), 3)
    assert task.loss(logits, task.targets(labels)).item() == pytest.approx(1.0, abs=1e-6)


BALANCED = {"a": 10 / 18, "b": 10 / 9, "c": 10 / 3}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("chosen", "ratios"), [("balanced", BALANCED), ({"a": 2, "b": 1}, {"a": 2, "b": 1, "c": 1})])
def test_rows_count_by_the_weight_of_their_class(smoothing: float, chosen: Any, ratios: dict[str, float]) -> None:
    labels = ["a"] * 6 + ["b"] * 3 + [None] + ["c"]
    settings = ClassificationSettings(type="classification", label="x", label_smoothing=smoothing, class_weights=chosen)
    plain, weighted = (
        Classification(Classification.fit(labels, given)) for given in (settings.model_copy(update={"class_weights": None}), settings)
    )
    assert class_weights(Counter(label for label in labels if label), "balanced") == pytest.approx(BALANCED)
    logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0))
    rows = [
        [float(task.loss_sum(logits[[i]], task.targets([label]))[0]) * task.state["loss_scale"] for i, label in enumerate(labels)]
        for task in (plain, weighted)
    ]
    factors = {label: b / a for label, a, b in zip(labels, *rows, strict=True) if label}
    assert {name: factor / factors["b"] for name, factor in factors.items()} == pytest.approx(
        {name: ratio / ratios["b"] for name, ratio in ratios.items()}, rel=1e-5
    )
    assert sum(factors[label] for label in labels if label) == pytest.approx(10, rel=1e-5)  # 1 on average
    shares = torch.tensor([ratios[name] * labels.count(name) for name in "abc"])
    best = (1 - smoothing) * shares / shares.sum() + smoothing / 3
    constant = best.log().expand(len(labels), 3)
    assert weighted.loss(constant, weighted.targets(labels)).item() == pytest.approx(1.0, abs=1e-5)


def test_unknown_metrics_are_named_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"'f2' is not a metric of classification; choose from: macro_f1, accuracy, .*f1:NAME \(of one class\)"
    ):
        ClassificationSettings(type="classification", label="x", metric="f2")
    assert ClassificationSettings(type="classification", label="x", metric="f1:a: b").main_metric.title == "F1 of a: b"
    assert ClassificationSettings(type="classification", label="x").main_metric.name == "macro_f1"


def test_masked_rows_neither_count_nor_move_the_loss() -> None:
    task = Classification(Classification.fit(["a", "b", "a"]))
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = task.targets(["a", None, "b", "never seen"])
    total, count = task.loss_sum(logits, targets)
    total.backward()
    assert count.item() == 2
    assert total.item() == pytest.approx(sum(task.loss(logits[[i]], targets[[i]]).item() for i in (0, 2)), rel=1e-6)
    assert logits.grad is not None
    assert logits.grad[[1, 3]].abs().sum() == 0
    assert logits.grad[[0, 2]].abs().sum() > 0


def test_parts_of_a_step_add_up_to_the_whole_step() -> None:
    labels = ["a", None, "b", "b", None, "a", "a"]
    task = Classification(Classification.fit(labels))
    logits, targets = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)), task.targets(labels)
    count = task.count(targets)
    parts = task.loss(logits[:2], targets[:2], count) + task.loss(logits[2:], targets[2:], count)
    assert parts.item() == pytest.approx(task.loss(logits, targets).item())


def test_a_batch_without_labels_has_zero_loss_and_gradient() -> None:
    task = Classification(Classification.fit(["a", "b"]))
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = task.loss(logits, task.targets([None, None]))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_the_loss_is_computed_in_float32() -> None:
    task = Classification(Classification.fit(["a", "b"]))
    logits = torch.tensor([[3.0, -3.0]], dtype=torch.float16)
    expected = -torch.tensor([3.0, -3.0]).log_softmax(0)[0] / math.log(2)
    loss = task.loss(logits, task.targets(["a"]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_one_class_only_has_a_finite_scale() -> None:
    task = Classification(Classification.fit(["a", "a"]))
    assert task.loss(torch.zeros(1, 1), task.targets(["a"])).item() == 0.0
    assert task.state["loss_scale"] == 0.1


def test_decoding_names_the_class_and_its_probability() -> None:
    task = Classification(Classification.fit(["x", "y", "z"]))
    [prediction] = task.decode(torch.tensor([[0.0, math.log(2), 0.0]]))
    assert (prediction.value, prediction.text) == ("y", "y")
    assert prediction.confidence == pytest.approx(0.5)
