"""Scores of the model on the validation rows, and warnings about what looks wrong in them."""

from collections.abc import Sequence

from mtl.model.device import Precision
from mtl.model.model import Model
from mtl.model.prediction import BATCH_TOKENS, predictions
from mtl.tasks.base import Label, Prediction, TaskType, to_text
from mtl.training.feed import Data

Metrics = dict[str, dict[str, float]]
"""By task, its metrics by name."""


def validate(model: Model, data: Data, precision: Precision, limit: int | None) -> tuple[Metrics, list[str]]:
    """Metrics on the rows that have a task's label, and warnings. A task without such rows has no metrics. Calibrates the tasks.

    Args:
        limit: largest size of a batch in subwords, where the device's memory is short.
    """
    metrics: Metrics = {}
    warnings = []
    usual = BATCH_TOKENS[precision.device.type]
    size = min(usual, limit or usual)
    encoded, counts = data.validation.encoded, data.validation_counts
    by_task = predictions(model, encoded, counts, model.tasks, batch_tokens=size, precision=precision)
    for name, task in model.tasks.items():
        pairs = [
            (label, prediction) for label, prediction in zip(data.validation.labels[name], by_task[name], strict=True) if label is not None
        ]
        if not pairs:
            continue
        labels: list[Label] = [label for label, _ in pairs]
        gold, predicted = [to_text(label) for label in labels], [prediction for _, prediction in pairs]
        if task.calibrates:
            predicted = task.calibrate(labels, predicted)
        if task.quotes:
            predicted = quoted(task, predicted, data, name)
        metrics[name] = task.scores(gold, [prediction.text for prediction in predicted], task.main_metric)
        if warning := constant_prediction(name, task, predicted, gold):
            warnings.append(warning)
    return metrics, warnings


def quoted(task: TaskType, predictions: Sequence[Prediction], data: Data, name: str) -> list[Prediction]:
    """Predictions for the labelled validation rows of a task, with what they quote."""
    rows = data.validation_texts.only(data.validation.labels[name].known).field(task.field)
    return [task.quoted(prediction, row) for prediction, row in zip(predictions, rows, strict=True)]


def constant_prediction(name: str, task: TaskType, predicted: Sequence[Prediction], gold: Sequence[str]) -> str | None:
    """A warning if a head predicts the same for every row (or token) although the labels differ."""
    value = task.constant(predicted)
    if value is None or len(set(gold)) < 2:
        return None
    return f"{name}: the head predicts {value!r} for every validation row: it has learned nothing useful"
