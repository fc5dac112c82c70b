"""The score of a trial."""

import math

import pytest

from mtl.config import Params
from mtl.errors import TrainingError
from mtl.tasks.base import Metric
from mtl.tuning.objective import relative, scores


@pytest.mark.parametrize(
    ("scores", "reference", "score"),
    [
        ({"a": 0.6, "b": 0.4}, {"a": 0.6, "b": 0.4}, 1.0),
        ({"a": 0.9, "b": 0.4}, {"a": 0.6, "b": 0.4}, 1.25),
        ({"a": 0.6, "b": 0.2}, {"a": 0.6, "b": 0.4}, 0.75),
        ({"a": 0.05}, {"a": 0.0}, 1.5),  # divided by the floor
        ({"a": -0.1}, {"a": -0.2}, 2.0),  # better is better below 0 too
    ],
)
def test_the_mean_over_tasks_of_scores_relative_to_those_of_trial_0(
    scores: dict[str, float], reference: dict[str, float], score: float
) -> None:
    assert relative(scores, reference, dict.fromkeys(reference, Metric("f1"))) == pytest.approx(score)


def test_a_lower_error_is_better() -> None:
    metrics = {"a": Metric("mse", high=math.inf, higher_is_better=False), "b": Metric("f1")}
    assert relative({"a": 1.5, "b": 0.5}, {"a": 2.0, "b": 0.5}, metrics) == pytest.approx(1 + 0.25 / 2)
    assert relative({"a": 2.5, "b": 0.5}, {"a": 2.0, "b": 0.5}, metrics) == pytest.approx(1 - 0.25 / 2)


def test_a_task_without_a_score_is_named(small: Params) -> None:
    metrics = {"names": {"f1": 0.5}, "mood": {"macro_f1": 0.6, "accuracy": 0.7}}
    with pytest.raises(TrainingError, match="task 'rating': no validation row"):
        scores(small, metrics)
    assert scores(small, metrics | {"rating": {"pearson": 0.4}}) == {"names": 0.5, "mood": 0.6, "rating": 0.4}
