"""The objective of a search: the mean over tasks of a trial's validation score relative to that of trial 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl.config import Params
from mtl.errors import TrainingError
from mtl.tasks.base import Metric

Scores = dict[str, float]


def main_metrics(params: Params) -> dict[str, str]:
    """The metric that each task is judged by."""
    return {name: task.main_metric.name for name, task in params.tasks.items()}


def scores(params: Params, metrics: Mapping[str, Mapping[str, float]]) -> Scores:
    """Each task's main metric on the validation rows.

    Raises:
        TrainingError: a task has no validation rows.
    """
    if missing := params.tasks.keys() - metrics.keys():
        raise TrainingError(f"task {min(missing)!r}: no validation row has its label, so no trial can be judged by it")
    return {task: float(metrics[task][metric]) for task, metric in main_metrics(params).items()}


def relative(scores: Scores, reference: Scores, metrics: Mapping[str, Metric]) -> float:
    """1 + the mean over tasks of the relative gain (see ``Metric.relative_gain``): above 1 is better than the reference.

    For one task that is score / reference, unless the reference is near 0; and 2 - score / reference where lower is better.
    """
    gains = [metrics[task].relative_gain(scores[task], value) for task, value in reference.items()]
    return 1 + sum(gains) / len(gains)


def validations(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of validations in a run's history."""
    return [record for record in history if record["kind"] == "validation"]
