"""Corrected predictions as labelled rows of a JSON lines file."""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl.data.labels.base import range_tags
from mtl.errors import ServingError
from mtl.predict import Fields
from mtl.serving.messages import ClassCorrection, ClassesCorrection, Correction, EntitiesCorrection, EntityRange, NumberCorrection
from mtl.tasks.base import TaskType, TextRow


def check_file(path: Path) -> None:
    """Make the file if it is not there.

    Raises:
        ServingError: it cannot be appended to.
    """
    try:
        path.open("ab").close()
    except OSError as error:
        raise ServingError(f"--corrections {path}: cannot be written: {error.strerror}") from None


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Append one line. It is on the disk when this returns, and not mixed with lines of other processes.

    Raises:
        OSError: the file cannot be written, for example because the disk is full. Then it is as long as before.
    """
    line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        try:
            if file.write(line) < len(line):
                raise OSError("the line was not written whole")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def labelled_row(
    fields: Fields, tasks: Mapping[str, TaskType], labels: Mapping[str, str], name: str, correction: Correction
) -> dict[str, Any]:
    """The text fields, the tokens of a single one, and the label, as a reader of JSON lines takes them.

    Labels of other tasks with these fields are null, so that each row has the same columns.

    Args:
        fields: the text.
        tasks: of the model, by name.
        labels: name of the label of each task.
        name: the corrected task.
        correction: of the form that the task predicts.

    Raises:
        ValueError: a class or range is not one of the task and text.
    """
    task = tasks[name]
    rows = {field: fields[field][task.segmentation] for field in task.fields}
    texts = {field: row.text for field, row in rows.items()}
    tokens = {"tokens": list(rows[task.fields[0]].tokens)} if len(texts) == 1 else {}
    others = {labels[other]: None for other in tasks if tasks[other].fields == task.fields}
    label = _label(correction, task.class_names, rows[task.fields[task.field]])
    return {**texts, **tokens, **others, labels[name]: label}


def _label(correction: Correction, classes: Sequence[str], row: TextRow) -> Any:
    match correction:
        case NumberCorrection(value=value):
            return value
        case ClassCorrection(label=name):
            return _known(name, classes)
        case ClassesCorrection(labels=names):
            return [_known(name, classes) for name in dict.fromkeys(names)]
        case EntitiesCorrection(entities=entities):
            return _tags(entities, classes, row)


def _known(name: str, classes: Sequence[str]) -> str:
    if name not in classes:
        raise ValueError(f"{name!r} is unknown; choose from: {', '.join(classes)}")
    return name


def _tags(entities: Sequence[EntityRange], classes: Sequence[str], row: TextRow) -> list[str]:
    """IOB2 tags of the tokens."""
    starts = {start: number for number, start in enumerate(row.starts)}
    ends = {start + len(token): number + 1 for number, (start, token) in enumerate(zip(row.starts, row.tokens, strict=True))}
    ranges: list[tuple[int, int, str]] = []
    for entity in sorted(entities, key=lambda entity: entity.start):
        if entity.start not in starts or entity.end not in ends or entity.start >= entity.end:
            raise ValueError(f"characters {entity.start} to {entity.end} do not begin and end with a token")
        if ranges and starts[entity.start] < ranges[-1][1]:
            raise ValueError(f"the entity at character {entity.start} overlaps another one")
        ranges.append((starts[entity.start], ends[entity.end], _known(entity.type, classes)))
    return range_tags(ranges, len(row.tokens))
