"""The objective of a search: the mean over tasks of a trial's validation score relative to that of trial 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl import plugins
from mtl.config import Params
from mtl.errors import TrainingError

FLOOR = 0.1
"""Smallest divisor of a score. Division by a score near 0 would make any change look huge; a negative one would reverse it."""

Scores = dict[str, float]


def main_metrics(params: Params) -> dict[str, str]:
    """The metric that each task is judged by; higher is better for all, and 1 is best."""
    return {name: plugins.task_type(task.type).main_metric for name, task in params.tasks.items()}


def scores(params: Params, metrics: Mapping[str, Mapping[str, float]]) -> Scores:
    """Each task's main metric on the validation rows.

    Raises:
        TrainingError: a task has no validation rows.
    """
    if missing := params.tasks.keys() - metrics.keys():
        raise TrainingError(f"task {min(missing)!r}: no validation row has its label, so no trial can be judged by it")
    return {task: float(metrics[task][metric]) for task, metric in main_metrics(params).items()}


def relative(scores: Scores, reference: Scores) -> float:
    """Mean over tasks of 1 + (score - reference) / max(reference, ``FLOOR``): that is score / reference, unless reference is near 0."""
    gains = [(scores[task] - value) / max(value, FLOOR) for task, value in reference.items()]
    return 1 + sum(gains) / len(gains)


def validations(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of validations in a run's history."""
    return [record for record in history if record["kind"] == "validation"]
