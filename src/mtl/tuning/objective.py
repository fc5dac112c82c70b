"""What a search makes as great as it can: the mean over tasks of a trial's validation score relative to that of trial 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl import plugins
from mtl.config import Params
from mtl.errors import TrainingError

FLOOR = 0.1
"""Least score that others are divided by: one near 0, or below it, would make any change look huge, or turn it round."""

Scores = dict[str, float]


def main_metrics(params: Params) -> dict[str, str]:
    """The metric that each task is judged by; of all of them more is better, and 1 is the best."""
    return {name: plugins.task_type(task.type).main_metric for name, task in params.tasks.items()}


def scores(params: Params, metrics: Mapping[str, Mapping[str, float]]) -> Scores:
    """Each task's main metric on the validation rows.

    Raises:
        TrainingError: a task has no validation rows.
    """
    if missing := params.tasks.keys() - metrics.keys():
        raise TrainingError(f"task {min(missing)!r}: no validation row has its label, so that no trial can be judged by it")
    return {task: float(metrics[task][metric]) for task, metric in main_metrics(params).items()}


def relative(found: Scores, reference: Scores) -> float:
    """Mean over tasks of 1 + (score - reference) / max(reference, ``FLOOR``): of score / reference, wherever that is not near 0."""
    gains = [(found[task] - value) / max(value, FLOOR) for task, value in reference.items()]
    return 1 + sum(gains) / len(gains)


def validations(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of validations in a run's history."""
    return [record for record in history if record["kind"] == "validation"]
