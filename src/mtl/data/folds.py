"""Folds of the train rows for cross-validation: rows of a group, and near duplicates, are in the same fold."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mtl.data import schema
from mtl.data.duplicates import near_groups
from mtl.data.keys import KeysWriter, Numbers
from mtl.seeds import seed_of

Row = tuple[str, str]
"""Dataset and id."""


def folds_of(tables: Mapping[str, Path], groups: Mapping[Row, str], count: int, seed: int) -> dict[Row, int]:
    """The fold of each train row. It follows from seed, ids and texts; the order of rows does not matter.

    Args:
        tables: canonical tables by dataset. Near duplicates across them share a fold too.
        groups: what rows are grouped by, for rows of datasets with such a column; see ``mtl.data.prepare.row_groups``.
        count: number of folds.
        seed: of the assignment.
    """
    rows, joined = _joined(tables, groups)
    names: dict[int, str] = {}
    for row, group in zip(rows, joined.tolist(), strict=True):
        names[group] = min("/".join(row), names.get(group, "\U0010ffff"))
    return {row: seed_of("fold", seed, names[group]) % count for row, group in zip(rows, joined.tolist(), strict=True)}


def _joined(tables: Mapping[str, Path], groups: Mapping[Row, str]) -> tuple[list[Row], Numbers]:
    """The train rows of all datasets, and for each the number of its group."""
    rows: list[Row] = []
    with TemporaryDirectory() as scratch:
        with KeysWriter(Path(scratch) / "texts.keys") as keys:
            for dataset, path in tables.items():
                for table in schema.read_parts(path, schema.ROW_GROUP):
                    train = table.filter(pc.equal(table.column("split"), "train"))
                    rows += [(dataset, row) for row in train.column("id").to_pylist()]
                    keys.add(_texts(train))
        near = near_groups(keys.keys, np.arange(len(rows))) if rows else np.array([], dtype=np.int64)
    first: dict[Any, int] = {}
    same = [first.setdefault((row[0], groups[row]), number) if row in groups else number for number, row in enumerate(rows)]
    starts = [first.setdefault(group, number) for number, group in enumerate(near.tolist())]
    edges = np.array([np.tile(np.arange(len(rows)), 2), [*same, *starts]], dtype=np.int64)
    graph = coo_array((np.ones(edges.shape[1]), edges), shape=(len(rows), len(rows)))
    return rows, connected_components(graph, directed=False)[1].astype(np.int64) if rows else near


def _texts(table: Any) -> list[str]:
    """The text of each row; of two text fields both."""
    fields = [
        zip(*(table.column(name).to_pylist() for name in schema.columns_of(field)), strict=True) for field in schema.fields_of(table.schema)
    ]
    return [" ".join(schema.text_of(*text) for text in texts) for texts in zip(*fields, strict=True)]
