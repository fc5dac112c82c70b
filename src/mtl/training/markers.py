"""What tasks want of the rows that a run learns from: markers between their tokens, and the passage that is kept of a long one."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from mtl.encoders import SubwordTokenizer
from mtl.encoders.store import Layout, Markers
from mtl.tasks.base import Label, TaskType
from mtl.training.columns import PART, Column

Labels = Mapping[str, Column]


def layout(tokenizer: SubwordTokenizer, max_length: int, tasks: Mapping[str, TaskType], labels: Labels) -> Layout:
    """How rows with these labels, by task, become input.

    Rows with a label of a task that has markers have them between their tokens. Of long rows the passage is kept that a task's label is
    about.
    """
    marking = {name: task for name, task in tasks.items() if task.markers}
    markers = [
        Markers(task.field, _places(task, labels[name]), np.array([*tokenizer.markers(task.markers).values()]))
        for name, task in marking.items()
    ]
    return Layout(tokenizer, max_length, markers, _passages(tasks, labels))


def _places(task: TaskType, labels: Column) -> npt.NDArray[np.int32]:
    """``[rows, markers]``."""
    none = [-1] * len(task.markers)
    parts = [[none if label is None else task.places(label) for label in part] for part in _parts(labels)]
    return np.concatenate([np.zeros((0, len(none)), dtype=np.int32), *(np.array(part, dtype=np.int32) for part in parts)])


def _passages(tasks: Mapping[str, TaskType], labels: Labels) -> npt.NDArray[np.int32] | None:
    """``[rows, 2]``, of each row that of the last task with one; -1 where there is none."""
    found, none = None, (-1, -1)
    for name, task in tasks.items():
        if task.has_passages:
            parts = [[none if label is None else task.passage(label) or none for label in part] for part in _parts(labels[name])]
            own = np.concatenate([np.zeros((0, 2), dtype=np.int32), *(np.array(part, dtype=np.int32) for part in parts)])
            found = own if found is None else np.where(own < 0, found, own)
    return found


def _parts(labels: Column) -> Iterator[list[Label | None]]:
    """Labels, some rows at a time."""
    return (labels[start : start + PART] for start in range(0, len(labels), PART))
