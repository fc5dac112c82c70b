"""Scores of the model on the validation rows, and warnings about what looks wrong in them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtl.model.device import Precision
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.model.prediction import BATCH_TOKENS, predictions
from mtl.tasks.base import Prediction, TaskType, to_text
from mtl.training.columns import Mask
from mtl.training.feed import Data

Metrics = dict[str, dict[str, float]]
"""By task, its metrics by name."""


def validate(model: Model, data: Data, precision: Precision, limit: int | None, *, calibrate: bool = True) -> tuple[Metrics, list[str]]:
    """Metrics on the rows that have a task's label, and warnings. A task without such rows has no metrics.

    Args:
        limit: largest size of a batch in subwords, where the device's memory is short.
        calibrate: first fit what tasks learn from validation rows, such as thresholds.
    """
    metrics: Metrics = {}
    warnings = []
    usual = BATCH_TOKENS[precision.device.type]
    size = min(usual, limit or usual)
    rows = {name: _rows(task, data.validation.labels[name].known) for name, task in model.tasks.items()}
    by_task = _predictions(model, data, rows, size, precision)
    for name, task in model.tasks.items():
        labels = [label for row in rows[name].tolist() if (label := data.validation.labels[name][row]) is not None]
        if not labels:
            continue
        predicted = by_task[name]
        gold = [to_text(label) for label in labels]
        if calibrate and task.calibrates:
            predicted = task.calibrate(labels, predicted)
        if task.quotes:
            predicted = quoted(task, predicted, data, name)
        metrics[name] = task.scores(gold, [prediction.text for prediction in predicted], task.main_metric)
        if warning := constant_prediction(name, task, predicted, gold):
            warnings.append(warning)
    return metrics, warnings


def _rows(task: TaskType, known: Mask) -> Rows:
    """The rows that a task is scored on: those with its label, or a sample of them where the task writes."""
    labelled = np.flatnonzero(known)
    return task.validated(labelled) if task.writes else labelled


def _predictions(model: Model, data: Data, rows: Mapping[str, Rows], size: int, precision: Precision) -> dict[str, list[Prediction]]:
    """The predictions of each task for its rows: one pass for all tasks that read, and one over few rows for each task that writes."""
    encoded, counts = data.validation.encoded, data.validation_counts
    reading = [name for name, task in model.tasks.items() if not task.writes]
    found = predictions(model, encoded, counts, reading, batch_tokens=size, precision=precision) if reading else {}
    result = {name: [found[name][row] for row in rows[name].tolist()] for name in reading}
    for name in model.tasks.keys() - set(reading):
        own, lengths = replace(encoded.take(rows[name]), owner=None), [[count[row] for row in rows[name].tolist()] for count in counts]
        result |= predictions(model, own, lengths, [name], batch_tokens=size, precision=precision)
    return result


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
