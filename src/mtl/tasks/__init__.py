"""The kinds of task: each is one file with target encoding, head, loss, decoding and metrics."""

from mtl.tasks.base import Label, Prediction, Span, State, TaskType, to_text
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression
from mtl.tasks.token_classification import TokenClassification

TASKS: dict[str, type[TaskType]] = {
    "classification": Classification,
    "regression": Regression,
    "token_classification": TokenClassification,
}
"""Task type, as ``params.yaml`` names it, to its class."""

__all__ = ["TASKS", "Label", "Prediction", "Span", "State", "TaskType", "to_text"]
