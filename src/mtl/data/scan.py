"""The rows of a dataset as they are read: what decides their splits and fills the data card in memory, the rows themselves on disk."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.config import SPLITS, Dataset
from mtl.data import schema
from mtl.data.examples import Example
from mtl.data.keys import Keys, KeysWriter, Numbers, hash_of
from mtl.data.spill import Spill, parts
from mtl.data.splits import assign

Codes = npt.NDArray[np.int8]
"""Splits by their places in ``SPLITS``."""


@dataclass(frozen=True)
class Scan:
    """The rows of a dataset in the order of its sources. Each array has a value for each row."""

    keys: Keys
    groups: npt.NDArray[np.uint64]
    """Hash of what a row is grouped by: the value of its column, or else its key."""
    splits: Codes
    """By the row's source or the shares of its dataset."""
    by_share: npt.NDArray[np.bool_]
    """Whether shares assigned a row."""
    tokens: npt.NDArray[np.int32]
    characters: npt.NDArray[np.int32]
    labelled: dict[str, npt.NDArray[np.bool_]]
    """By label, whether a row has it."""
    first: dict[int, Example]
    """Rows that are the first of their source, by their numbers."""
    rows: Spill
    """The canonical rows, if they were kept; their column ``split`` is not filled in yet."""

    @property
    def unlabelled(self) -> npt.NDArray[np.bool_]:
        """Whether a row has no label at all."""
        found = np.ones(len(self.splits), np.bool_)
        for labelled in self.labelled.values():
            found &= ~labelled
        return found


class _Columns:
    """The arrays of a scan while they grow."""

    def __init__(self, settings: Dataset, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self.groups, self.splits, self.by_share = array("Q"), array("b"), array("b")
        self.tokens, self.characters = array("i"), array("i")
        self.labelled = {name: array("b") for name in settings.labels}
        self.first: dict[int, Example] = {}

    def add(self, examples: Sequence[Example], texts: Sequence[str], keys: Sequence[str]) -> None:
        groups = [example.group or key for example, key in zip(examples, keys, strict=True)]
        self.groups.extend(map(hash_of, groups))
        self.splits.extend(self._split(example, group) for example, group in zip(examples, groups, strict=True))
        self.by_share.extend(self._by_share(example) for example in examples)
        self.tokens.extend(map(_tokens, examples))
        self.characters.extend(map(len, texts))
        for name, labelled in self.labelled.items():
            labelled.extend(example.labels[name] is not None for example in examples)
        start = len(self.splits) - len(examples)
        self.first.update((start + i, example) for i, example in enumerate(examples) if example.id.endswith("-1"))

    def _by_share(self, example: Example) -> bool:
        return not example.split and self._settings.split is not None

    def _split(self, example: Example, group: str) -> int:
        if self._settings.split is None or example.split:
            return SPLITS.index(example.split or "train")
        return SPLITS.index(assign(group, self._settings.split, self._seed))


def scan(settings: Dataset, examples: Iterable[Example], seed: int, scratch: Path, *, keep: bool) -> Scan:
    """Read all rows once.

    Args:
        settings: the dataset.
        examples: its rows, with the split of their source, or with none where shares assign them.
        seed: of the hash by which shares assign rows.
        scratch: path of the scratch files, without a suffix.
        keep: whether to write the rows to one, so that they can be read again.
    """
    columns = _Columns(settings, seed)
    with KeysWriter(scratch.with_suffix(".keys")) as keys, Spill(scratch.with_suffix(".rows"), table_schema(settings)) as rows:
        for part in parts(examples, _tokens):
            texts = [example.text for example in part]
            columns.add(part, texts, keys.add(texts))
            if keep:
                rows.write(_table(settings, part))
    return Scan(
        keys.keys,
        np.array(columns.groups, np.uint64),
        np.array(columns.splits, np.int8),
        np.array(columns.by_share, np.bool_),
        np.array(columns.tokens, np.int32),
        np.array(columns.characters, np.int32),
        {name: np.array(labelled, np.bool_) for name, labelled in columns.labelled.items()},
        columns.first,
        rows,
    )


def _tokens(example: Example) -> int:
    return sum(map(len, example.fields.values()))


def table_schema(settings: Dataset, segmentation: str = "words") -> pa.Schema:
    """The schema of a dataset's canonical table; ``segmentation`` says how new texts become tokens like these."""
    types = {name: label.type for name, label in settings.labels.items()}
    return schema.schema(types, list(settings.fields), {name: settings.field_of(name) for name in settings.labels}, segmentation)


def _table(settings: Dataset, examples: Sequence[Example]) -> pa.Table:
    texts: dict[str, list[Any]] = {}
    for field in settings.fields:
        rows = [example.fields[field] for example in examples], [example.spaces[field] for example in examples]
        texts |= dict(zip(schema.columns_of(field), rows, strict=True))
    columns: dict[str, list[Any]] = {
        "id": [example.id for example in examples],
        "split": [example.split for example in examples],
        **texts,
        **{name: [example.labels[name] for example in examples] for name in settings.labels},
        "parent_id": [None] * len(examples),
        "augmenter": [None] * len(examples),
    }
    return pa.table(columns, schema=table_schema(settings))


def write(rows: Spill, numbers: Sequence[Numbers], path: Path, whole: pa.Schema) -> None:
    """Write the canonical table of a dataset.

    Args:
        rows: the rows in the order of their sources.
        numbers: for each split, those of its rows, ascending.
        path: the table.
        whole: its schema, which names the segmentation too.

    Raises:
        DataError: a row breaks a rule of ``mtl.data.schema.check``.
    """
    with schema.Writer(path, whole) as file:
        for table in _groups(rows, numbers):
            schema.check(table, path.name)
            file.write(table)


def _groups(rows: Spill, numbers: Sequence[Numbers]) -> Iterator[pa.Table]:
    """The rows split by split, in tables of one row group each."""
    held: list[pa.Table] = []
    for split, own in zip(SPLITS, numbers, strict=True):
        for _, table in rows.read(own):
            column = table.schema.get_field_index("split")
            held.append(table.set_column(column, table.schema.field(column), pa.repeat(split, len(table))))
            while sum(map(len, held)) >= schema.ROW_GROUP:
                joined = pa.concat_tables(held)
                yield joined.slice(0, schema.ROW_GROUP).combine_chunks()
                held = [joined.slice(schema.ROW_GROUP)]
    if sum(map(len, held)):
        yield pa.concat_tables(held).combine_chunks()
