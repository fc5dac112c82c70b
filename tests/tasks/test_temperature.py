"""A temperature changes confidences and no label; what a prediction states is checked against the gold label."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl.tasks.base import Prediction, TaskType
from mtl.tasks.classification import Classification
from mtl.tasks.multilabel_classification import MultilabelClassification
from mtl.tasks.question_answering import QuestionAnswering
from mtl.tasks.regression import Regression
from mtl.tasks.relation_classification import RelationClassification
from mtl.tasks.token_classification import TokenClassification

WORDS = np.array([[-1, 0, 1, 2, -1]] * 3, dtype=np.int32)
TAGS = TokenClassification.fit([["B-person", "I-person", "O", "B-place", "I-place"]])
TASKS: dict[str, tuple[TaskType, tuple[int, ...]]] = {
    "class": (Classification({"classes": ["a", "b", "c"]}), (3, 3)),
    "classes": (MultilabelClassification({"classes": ["a", "b", "c"], "threshold": "tuned", "thresholds": [0.2, 0.5, 0.9]}), (3, 3)),
    "tags": (TokenClassification(TAGS), (3, 5, 5)),
    "answers": (QuestionAnswering({"no_answer": True, "max_answer": 3, "threshold": 0.7}), (3, 5, 2)),
}


def label(prediction: Prediction) -> Any:
    """What is predicted, without probabilities."""
    value = prediction.value
    if not isinstance(value, dict):
        return value
    return {key: of for key, of in value.items() if not key.startswith("probabilit")}


@pytest.mark.parametrize("name", TASKS)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.05, 20))
def test_no_label_changes(name: str, seed: int, temperature: float) -> None:
    task, shape = TASKS[name]
    logits = torch.from_numpy(np.random.default_rng(seed).normal(scale=2, size=shape).astype(np.float32))
    own = type(task)({**task.state, "temperature": temperature})
    before, after = (found.decode(logits, WORDS, [3] * 3) for found in (task, own))
    assert [label(prediction) for prediction in before] == [label(prediction) for prediction in after]
    assert [p.confidence for p in own.uncalibrated().decode(logits, WORDS, [3] * 3)] == [p.confidence for p in before]


@pytest.mark.parametrize("name", TASKS)
def test_a_high_temperature_lowers_confidence(name: str) -> None:
    task, shape = TASKS[name]
    logits = 4 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    states = [{**task.state, "thresholds": [0.5] * 3, "temperature": temperature} for temperature in (1, 4)]
    low, high = ([p.confidence for p in type(task)(state).decode(logits, WORDS, [3] * 3)] for state in states)
    assert all(a > b for a, b in zip(low, high, strict=True))


def test_probabilities_are_those_of_divided_logits() -> None:
    task = Classification({"classes": ["a", "b"], "temperature": 2.0})
    (prediction,) = task.decode(torch.tensor([[3.0, 1.0]]))
    assert prediction.confidence == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_what_is_stated_is_checked() -> None:
    tags = TokenClassification(TAGS)
    logits = torch.full((1, 5, 5), -4.0)
    logits[0, 1, tags.tags.index("B-person")] = logits[0, 2, 0] = logits[0, 3, tags.tags.index("B-place")] = 2.0
    (entities,) = tags.decode(logits, WORDS[:1], [3])
    assert [right for _, right in tags.checked(entities, ["B-person", "O", "B-person"])] == [True, False]
    classes = Prediction({"classes": ["a"], "probabilities": {"a": 0.7, "b": 0.1}}, 0.7)
    assert TASKS["classes"][0].checked(classes, ["a", "b"]) == [(0.7, True), (0.9, False)]
    assert RelationClassification({"classes": ["x"]}).checked(Prediction("x", 0.6), {"class": "x"}) == [(0.6, True)]
    answer = Prediction({"start": 1, "end": 2, "answered": True}, 0.4)
    questions = TASKS["answers"][0]
    assert questions.checked(answer, [{"start": 1, "end": 2}]) == [(0.4, True)]
    assert questions.checked(answer, []) == [(0.4, False)]
    assert Regression({"mean": 0, "std": 1}).checked(Prediction(1.0, 1.0), 1.0) == []


def test_entities_below_the_minimum_are_left_out() -> None:
    tags = TokenClassification(TAGS)
    logits = torch.zeros(1, 5, 5)
    logits[0, 1, tags.tags.index("B-person")], logits[0, 2, 0], logits[0, 3, tags.tags.index("B-place")] = 9.0, 9.0, 2.0
    (prediction,) = tags.decode(logits, WORDS[:1], [3])
    kept = tags.confident(prediction, 0.8)
    assert [span.type for span in prediction.spans] == ["person", "place"]
    assert kept == replace(prediction, spans=prediction.spans[:1])
    assert tags.confident(prediction, 0.9) is None  # the tags are less certain on average


def test_a_threshold_of_the_settings_has_no_temperature() -> None:
    assert not MultilabelClassification({"classes": ["a"], "threshold": 0.3}).has_temperature
    assert not Regression({"mean": 0, "std": 1}).has_temperature
