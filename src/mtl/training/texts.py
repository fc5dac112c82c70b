"""The rows that a run learns from or is judged by, read from canonical tables into columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.data import schema
from mtl.errors import DataError
from mtl.params import Params, Split, Task
from mtl.tasks import Label
from mtl.training.batching import Rows


@dataclass(slots=True)
class Texts:
    """Rows of all data sets one after the other, in the order of ``params.datasets``."""

    tasks: tuple[str, ...]
    ids: list[str] = field(default_factory=list)
    """Unique over all data sets: ``<dataset>/<id>``."""
    parents: list[str | None] = field(default_factory=list)
    """Of an augmented row: the row that it was made from, in the form of ``ids``."""
    groups: list[int] = field(default_factory=list)
    """Each row's data set, as its place in ``params.datasets``."""
    tokens: list[list[str]] = field(default_factory=list)
    labels: dict[str, list[Label | None]] = field(default_factory=dict)
    """By task, one a row; ``None`` where the row has no label of that task."""

    def __post_init__(self) -> None:
        self.labels = {task: [] for task in self.tasks}

    def __len__(self) -> int:
        return len(self.ids)

    def labelled(self, tasks: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Whether each row has a label of any of these tasks, ``[rows]``."""
        found = np.zeros(len(self), dtype=np.bool_)
        for task in tasks:
            found |= np.array([label is not None for label in self.labels[task]], dtype=np.bool_)
        return found

    def add(self, params: Params, dataset: str, table: pa.Table) -> None:
        """Append the rows of a canonical table. A task finds no label in data sets and variants that it does not learn from."""
        self.ids += [f"{dataset}/{row}" for row in table.column("id").to_pylist()]
        self.parents += [None if row is None else f"{dataset}/{row}" for row in table.column("parent_id").to_pylist()]
        self.groups += [list(params.datasets).index(dataset)] * table.num_rows
        self.tokens += table.column("tokens").to_pylist()
        for task in self.tasks:
            known = dataset in params.datasets_of(task)
            self.labels[task] += _labels(params.tasks[task], table) if known else [None] * table.num_rows

    def only(self, wanted: npt.NDArray[np.bool_]) -> "Texts":
        """The wanted rows, ``[rows]``."""
        kept, columns = Texts(self.tasks), ("ids", "parents", "groups", "tokens")
        for column in columns:
            setattr(kept, column, list(compress(getattr(self, column), wanted)))
        kept.labels = {task: list(compress(labels, wanted)) for task, labels in self.labels.items()}
        return kept


def _labels(task: Task, table: pa.Table) -> list[Label | None]:
    """The labels that a task finds in a canonical table."""
    labels: list[Label | None] = table.column(task.label).to_pylist()
    if task.methods is None:
        return labels
    parents = table.column("parent_id").to_pylist()
    return [
        label if parent is None or task.learns_from(*_origin(row)) else None
        for row, parent, label in zip(table.column("id").to_pylist(), parents, labels, strict=True)
    ]


def _origin(row: str) -> tuple[str, int]:
    """Method and copy of an augmented row, which its id ends with."""
    _, method, copy = row.rsplit("~", 2)
    return method, int(copy)


def used_datasets(params: Params, tasks: Iterable[str]) -> tuple[str, ...]:
    """The data sets that any of the tasks learns from, in the order of ``params.datasets``."""
    used = {dataset for task in tasks for dataset in params.datasets_of(task)}
    return tuple(dataset for dataset in params.datasets if dataset in used)


def read_split(params: Params, split: Split, examples: Path, tasks: Sequence[str]) -> Texts:
    """All rows of one split.

    Raises:
        DataError: a table is missing or damaged.
    """
    texts = Texts(tuple(tasks))
    for dataset in used_datasets(params, tasks):
        table = _table(examples / f"{dataset}.parquet", params, dataset)
        texts.add(params, dataset, table.filter(pc.equal(table.column("split"), split)))
    return texts


def augmented_datasets(params: Params, tasks: Iterable[str]) -> tuple[str, ...]:
    """The data sets to which some augmentation method is applied that one of the tasks learns from there."""
    tasks = tuple(tasks)
    return tuple(
        name
        for name in used_datasets(params, tasks)
        if any(params.tasks[task].learns_from(method, 0) for method in params.methods_of(name) for task in _learners(params, name, tasks))
    )


def _learners(params: Params, dataset: str, tasks: Iterable[str]) -> list[str]:
    """Those of the tasks that learn from a data set."""
    return [task for task in tasks if dataset in params.datasets_of(task)]


def read_variants(params: Params, shards: Path, tasks: Sequence[str]) -> Texts:
    """The augmented rows that teach one of the tasks something.

    Raises:
        DataError: a shard is missing or damaged.
    """
    texts, count = Texts(tuple(tasks)), params.augment.shards
    for dataset in augmented_datasets(params, tasks):
        for index in range(count):
            texts.add(params, dataset, _table(shards / f"{dataset}-{index:05d}-of-{count:05d}.parquet", params, dataset))
    return texts.only(texts.labelled(tasks))


def _table(path: Path, params: Params, dataset: str) -> pa.Table:
    """A canonical table, after a check that it has the labels that the settings declare."""
    table = schema.read(path)
    missing = set(params.datasets[dataset].labels) - set(schema.labels_of(table.schema))
    if missing:
        raise DataError(f"{path}: has no label column {sorted(missing)[0]!r}; its labels: {', '.join(schema.labels_of(table.schema))}")
    return table


def variants_of(rows: Texts, variants: Texts) -> list[Rows]:
    """For each row the places of its variants in ``variants``.

    Raises:
        DataError: a variant names a row that is not among ``rows``.
    """
    place: Mapping[str, int] = {row: i for i, row in enumerate(rows.ids)}
    found: list[list[int]] = [[] for _ in range(len(rows))]
    for i, parent in enumerate(variants.parents):
        if parent is None or parent not in place:
            raise DataError(f"augmented row {variants.ids[i]!r} was made from {parent!r}, which is no train row")
        found[place[parent]].append(i)
    return [np.array(places, dtype=np.int64) for places in found]
