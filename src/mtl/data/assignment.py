"""Assigning rows to train, validation and test, with all datasets in view: what one of them holds out, the others should not train on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mtl.config import Dataset, Fractions, Split
from mtl.data.examples import Example
from mtl.data.splits import DisjointSets, assign, matches, near_groups, normalised


class Assigned(NamedTuple):
    """The first split of a row, from its source or the shares of its own dataset."""

    key: str
    """Normalised text."""
    split: Split
    movable: bool
    """Whether the row can be moved to a held-out split."""


def assign_rows(datasets: Mapping[str, Dataset], rows: Mapping[str, Sequence[Example]], seed: int) -> dict[str, list[Example]]:
    """Give every row its split. The order of rows and datasets does not matter.

    A row whose source is a split stays there. The other rows are assigned in groups by a hash. Then a group moves from train to a held-out
    split if a text of it is held out anywhere. Groups that share a text are one, so afterwards no text that shares assign is in train in
    one dataset and held out in another. Two types of rows are never moved: groups of a column's values, which would be divided, and rows
    of a dataset that holds out nothing.

    Args:
        datasets: settings by name.
        rows: of the same datasets, with the split of their source, or with none where shares assign them.
        seed: of the hash.
    """
    keys = {name: [normalised(example.text) for example in examples] for name, examples in rows.items()}
    near = near_groups(key for name in rows if datasets[name].movable and _group_by(datasets[name]) == "near" for key in keys[name])
    assigned = {
        name: [_first(datasets[name], example, key, near, seed) for example, key in zip(examples, keys[name], strict=True)]
        for name, examples in rows.items()
    }
    held_out = _held_out((row for part in assigned.values() for row in part), near)
    return {
        name: [
            example._replace(split=_final(datasets[name].split, row, held_out.get(near.name(row.key))))
            for example, row in zip(examples, assigned[name], strict=True)
        ]
        for name, examples in rows.items()
    }


def _group_by(settings: Dataset) -> str:
    """What the rows of a dataset are grouped by; empty where each split has a source."""
    return settings.split.group_by if settings.split else ""


def _group(settings: Dataset, example: Example, key: str, near: DisjointSets) -> str:
    """The group of a row. Rows without a value of the column are grouped by their text."""
    return example.group or (near.name(key) if _group_by(settings) == "near" else key)


def _first(settings: Dataset, example: Example, key: str, near: DisjointSets, seed: int) -> Assigned:
    if example.split or settings.split is None:
        return Assigned(key, example.split or "train", movable=False)
    return Assigned(key, assign(_group(settings, example, key, near), settings.split, seed), settings.movable)


def _held_out(rows: Iterable[Assigned], near: DisjointSets) -> dict[str, Split]:
    """The split that holds out each group of texts: test, if several do."""
    held_out: dict[str, Split] = {}
    for row in rows:
        if row.split == "test" or (row.split == "validation" and near.name(row.key) not in held_out):
            held_out[near.name(row.key)] = row.split
    return held_out


def _final(fractions: Fractions | None, row: Assigned, held_out: Split | None) -> Split:
    """The same held-out split as elsewhere, if the dataset has a share of it; else its other one."""
    if not row.movable or row.split != "train" or held_out is None or fractions is None:
        return row.split
    return held_out if getattr(fractions, held_out) else "test" if fractions.test else "validation"


def groups(settings: Dataset, examples: Sequence[Example]) -> list[str]:
    """The group of each row."""
    keys = [normalised(example.text) for example in examples]
    near = near_groups(keys if _group_by(settings) == "near" else ())
    return [_group(settings, example, key, near) for example, key in zip(examples, keys, strict=True)]


def without_leaks(examples: Sequence[Example], held_out: Sequence[str]) -> tuple[list[Example], dict[str, int]]:
    """Rows without those of train whose text is, exactly or nearly, among held-out texts; and how many were dropped of each type."""
    train = [row for row, example in enumerate(examples) if example.split == "train"]
    leaked = {train[match.row]: match.similarity for match in matches([examples[row].text for row in train], held_out)}
    exact = sum(similarity == 1.0 for similarity in leaked.values())
    kept = [example for row, example in enumerate(examples) if row not in leaked]
    return kept, {"exact": exact, "near": len(leaked) - exact}
