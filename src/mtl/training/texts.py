"""The rows that a run learns from or is judged by, read from canonical tables part by part: labels into columns, tokens when asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.config import Params, Split, Task, takes
from mtl.data import schema
from mtl.data.labels import label_type
from mtl.data.labels.base import Storage
from mtl.errors import DataError
from mtl.model.batch import Pair, TokenRow
from mtl.names import VariantId
from mtl.tasks.base import TextRow
from mtl.training.columns import PART, Column, Columns, Groups, Growing, Mask, Strings

NO_STRINGS = Strings(pa.chunked_array([], pa.string()))


class TokenFile(NamedTuple):
    """The tokens of some rows of a canonical table."""

    path: Path
    mask: Mask
    """Which rows of the table, ``[rows of the table]``."""
    columns: tuple[str, ...]
    """Columns of tokens: of one text field, or of two."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of rows, read from their tables on each pass: those of many rows do not fit the memory."""

    files: tuple[TokenFile, ...] = ()

    def parts(self) -> Iterator[tuple[pa.Array, pa.Array | None]]:
        """Lists of strings of some rows at a time, of the first text field and of the second, if there is one."""
        for path, mask, columns in self.files:
            start = 0
            for table in schema.read_parts(path, PART, list(columns)):
                part = table.filter(pa.array(mask[start : start + table.num_rows]))
                start += table.num_rows
                fields = [part.column(name).combine_chunks() for name in columns]
                chunks = [field.chunks if isinstance(field, pa.ChunkedArray) else [field] for field in fields]
                yield from zip(chunks[0], chunks[1] if len(chunks) > 1 else [None] * len(chunks[0]), strict=True)

    def field(self, number: int) -> Iterator[TextRow]:
        """Every row's text field of that number, which all of these rows have, with its text."""
        used = [(file, file.columns[number]) for file in self.files if file.mask.any()]
        files = tuple(file._replace(columns=(column, schema.space_of(column))) for file, column in used)
        for tokens, spaces in Tokens(files).parts():
            yield from map(TextRow.of, tokens.to_pylist(), spaces.to_pylist() if spaces is not None else ())

    def texts(self) -> Iterator[list[str]]:
        """The tokens of every text field by itself."""
        for fields in self.parts():
            for texts in fields:
                yield from [] if texts is None else texts.to_pylist()

    def only(self, selected: Mask) -> "Tokens":
        """Those of the selected rows, ``[rows]``."""
        files, start = [], 0
        for file in self.files:
            kept, count = file.mask.copy(), int(file.mask.sum())
            kept[file.mask] = selected[start : start + count]
            files.append(file._replace(mask=kept))
            start += count
        return Tokens(tuple(files))

    def __iter__(self) -> Iterator[TokenRow]:
        for left, right in self.parts():
            if right is None:
                yield from left.to_pylist()
            else:
                yield from map(Pair, left.to_pylist(), right.to_pylist())

    def __len__(self) -> int:
        return sum(int(file.mask.sum()) for file in self.files)


@dataclass(slots=True)
class Texts:
    """Rows of all datasets one after the other, in the order of ``params.datasets``."""

    tasks: tuple[str, ...]
    ids: Strings = NO_STRINGS
    """Unique over all datasets: ``<dataset>/<id>``."""
    parents: Strings = NO_STRINGS
    """Of an augmented row: the row that it was made from, in the form of ``ids``; else null."""
    groups: npt.NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    """Each row's dataset, as its place in ``params.datasets``."""
    tokens: Tokens = Tokens()
    labels: dict[str, Column] = field(default_factory=dict)
    """By task, one a row; ``None`` where the row has no label of that task."""
    compared: dict[str, Mask] = field(default_factory=dict)
    """By task with consistency, whether it compares a row: an original row without its label, or a variant of one; ``[rows]``."""

    def __len__(self) -> int:
        return len(self.ids)

    def labelled(self, tasks: Iterable[str]) -> Mask:
        """Whether each row has a label of any of these tasks, ``[rows]``."""
        found = np.zeros(len(self), dtype=np.bool_)
        for task in tasks:
            if task in self.labels:
                found |= self.labels[task].known
        return found

    def without_label(self, tasks: Iterable[str]) -> Mask:
        """Whether any of these tasks compares each row, ``[rows]``."""
        found = np.zeros(len(self), dtype=np.bool_)
        for task in tasks:
            if task in self.compared:
                found |= self.compared[task]
        return found

    def only(self, wanted: Mask) -> "Texts":
        """The wanted rows, ``[rows]``."""
        mask = pa.array(wanted)
        return Texts(
            self.tasks,
            Strings(self.ids.array.filter(mask)),
            Strings(self.parents.array.filter(mask)),
            self.groups[wanted],
            self.tokens.only(wanted),
            {task: labels.only(wanted) for task, labels in self.labels.items()},
            {task: compared[wanted] for task, compared in self.compared.items()},
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """A canonical table, and the split of it that is meant; all of it if none is."""

    dataset: str
    path: Path
    split: Split | None = None


def _read(params: Params, tasks: Sequence[str], tables: Sequence[_Table]) -> Texts:
    """Rows of canonical tables. A task finds no label in datasets and variants that it does not learn from.

    Raises:
        DataError: a table is missing or damaged.
    """
    ids, parents, groups, files = [], [], Growing(np.int16), []
    storages = {task: label_type(params.label_of(task).type).storage for task in tasks}
    labels = {task: Columns(storage) for task, storage in storages.items()}
    compared = {task: Growing(np.bool_) for task in tasks if params.tasks[task].consistency}
    for source in tables:
        _check(source.path, params, source.dataset)
        masks = Growing(np.bool_)
        known = [task for task in tasks if source.dataset in params.datasets_of(task)]
        columns = list(dict.fromkeys(["id", "split", "parent_id", *(params.tasks[task].label for task in known)]))
        for whole in schema.read_parts(source.path, PART, columns):
            mask = np.asarray(pc.equal(whole.column("split"), source.split)) if source.split else np.ones(len(whole), dtype=np.bool_)
            part = whole.filter(pa.array(mask))
            masks.add(mask)
            ids += _prefixed(source.dataset, part.column("id")).chunks
            parents += _prefixed(source.dataset, part.column("parent_id")).chunks
            groups.add(np.full(len(part), list(params.datasets).index(source.dataset)))
            for task in tasks:
                if task in known:
                    labels[task].add(_labels(params.tasks[task], part, storages[task]))
                else:
                    labels[task].skip(len(part))
            for task, grown in compared.items():
                grown.add(_compared(params, task, source.dataset, part))
        columns_of_tokens = tuple(schema.columns_of(field)[0] for field in params.datasets[source.dataset].fields)
        files.append(TokenFile(source.path, masks.array(), columns_of_tokens))
    pa.default_memory_pool().release_unused()
    return Texts(
        tuple(tasks),
        Strings(pa.chunked_array(ids, pa.string())),
        Strings(pa.chunked_array(parents, pa.string())),
        groups.array(),
        Tokens(tuple(files)),
        {task: column.joined() for task, column in labels.items()},
        {task: grown.array() for task, grown in compared.items()},
    )


def _prefixed(dataset: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids that are unique over all datasets."""
    return pc.binary_join_element_wise(pa.scalar(dataset), column, "/")


def _labels(task: Task, table: pa.Table, storage: Storage) -> Column:
    """The labels that a task finds in a canonical table."""
    labels = Column.of(table.column(task.label), storage)
    return labels if task.methods is None else labels.masked(_made_by(table, task.learns_from))


def _compared(params: Params, task: str, dataset: str, table: pa.Table) -> Mask:
    """The rows of a canonical table that a task compares: original rows without its label, and their variants by its methods."""
    spec = params.tasks[task]
    if spec.consistency is None or dataset not in params.unlabelled_of(task):
        return np.zeros(len(table), dtype=np.bool_)
    rows = np.ones(len(table), dtype=np.bool_)
    if dataset in params.datasets_of(task):
        rows &= ~np.asarray(table.column(spec.label).is_valid(), dtype=np.bool_)
    methods = spec.consistency.methods
    return rows if methods is None else rows & _made_by(table, lambda method, copy: takes(methods, method, copy))


def _made_by(table: pa.Table, wanted: Callable[[str, int], bool]) -> Mask:
    """Which rows are original ones, or wanted variants by their method and copy."""
    rows = zip(table.column("id").to_pylist(), table.column("parent_id").to_pylist(), strict=True)
    return np.array([parent is None or wanted(*VariantId.parse(row)[1:]) for row, parent in rows], dtype=np.bool_)


def read_split(params: Params, split: Split, examples: Path, tasks: Sequence[str]) -> Texts:
    """All rows of one split.

    Raises:
        DataError: a table is missing or damaged.
    """
    return _read(params, tasks, [_Table(name, examples / f"{name}.parquet", split) for name in params.used_datasets(tasks)])


def read_variants(params: Params, shards: Path, tasks: Sequence[str]) -> Texts:
    """The augmented rows that teach one of the tasks something.

    Raises:
        DataError: a shard is missing or damaged.
    """
    tables = [_Table(shard.dataset, shards / shard.file) for shard in params.shards_for(tasks)]
    texts = _read(params, tasks, tables)
    return texts.only(texts.labelled(tasks) | texts.without_label(tasks))


def _check(path: Path, params: Params, dataset: str) -> None:
    """Check that a canonical table has the labels that the settings declare."""
    found = schema.labels_of(schema.read_schema(path))
    if missing := set(params.datasets[dataset].labels) - set(found):
        raise DataError(f"{path}: has no label column {sorted(missing)[0]!r}; its labels: {', '.join(found)}")


def variants_of(rows: Texts, variants: Texts) -> Groups:
    """For each row the places of its variants in ``variants``.

    Raises:
        DataError: a variant names a row that is not among ``rows``.
    """
    if not len(variants):
        return Groups(np.zeros(len(rows) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    parents = variants.parents.array
    found = pc.index_in(parents, value_set=rows.ids.array, skip_nulls=True)
    if found.null_count:
        i = int(np.flatnonzero(np.asarray(found.is_null()))[0])
        raise DataError(f"augmented row {variants.ids[i]!r} was made from {parents[i].as_py()!r}, which is not a train row")
    parent = np.asarray(found, dtype=np.int64)
    counts = np.bincount(parent, minlength=len(rows))
    return Groups(np.concatenate([[0], np.cumsum(counts)]), np.argsort(parent, kind="stable"))
