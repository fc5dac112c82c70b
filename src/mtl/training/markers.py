"""What tasks want of the rows that a run learns from: markers between their tokens, and the passage that is kept of a long one."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mtl.encoders import SubwordTokenizer
from mtl.encoders.store import Coded, coded
from mtl.encoders.tokenizer import Field, with_markers
from mtl.model.batch import TokenRow, marked
from mtl.tasks.base import Label, TaskType
from mtl.training.texts import Texts


def coded_parts(texts: Texts, tasks: Mapping[str, TaskType], tokenizer: SubwordTokenizer) -> Iterator[Coded]:
    """The tokens of all rows, some rows at a time.

    Rows with a label of a task that has markers have them between their tokens. Of long rows the passage is kept that a task's label is
    about.
    """
    start = 0
    for left, right in texts.tokens.parts():
        part = coded(left, right)
        for name, task in tasks.items():
            labels = texts.labels[name][start : start + len(left)] if task.markers or task.has_passages else []
            if task.markers:
                part = _with_markers(part, task, labels, tokenizer)
            if task.has_passages:
                part = _with_passages(part, task, labels)
        start += len(left)
        yield part


def _with_passages(part: Coded, task: TaskType, labels: Sequence[Label | None]) -> Coded:
    none = (-1, -1)
    passages = np.array([none if label is None else task.passage(label) or none for label in labels], dtype=np.int64).reshape(-1, 2)
    return part._replace(passages=passages if part.passages is None else np.where(passages < 0, part.passages, passages))


def _with_markers(part: Coded, task: TaskType, labels: Sequence[Label | None], tokenizer: SubwordTokenizer) -> Coded:
    none = [-1] * len(task.markers)
    places = np.array([none if label is None else task.places(label) for label in labels], dtype=np.int64).reshape(len(labels), -1)
    ids = np.array([*tokenizer.markers(task.markers).values()])

    def own(number: int, field: Field | None) -> Field | None:
        return with_markers(field, places, ids) if field is not None and number == task.field else field

    return part._replace(left=own(0, part.left) or part.left, right=own(1, part.right))


def marked_rows(texts: Texts, tasks: Mapping[str, TaskType]) -> list[TokenRow]:
    """The same as a list of rows."""
    rows = list(texts.tokens)
    for name, task in tasks.items():
        if task.markers:
            labels = texts.labels[name]
            rows = [row if label is None else marked(row, task, task.places(label)) for row, label in zip(rows, labels, strict=True)]
    return rows
