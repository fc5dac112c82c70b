"""Assigning rows to train, validation and test, with all datasets in view: what one of them holds out, the others should not train on."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mtl.config import SPLITS, Dataset
from mtl.data.duplicates import Matches, matches, near_groups
from mtl.data.keys import Keys, Numbers, joined
from mtl.data.scan import Codes, Scan
from mtl.data.splits import assign

NAMED = 2**18
"""Groups of near duplicates whose names are in memory at a time, at most."""


def assign_rows(datasets: Mapping[str, Dataset], scans: Mapping[str, Scan], seed: int) -> dict[str, Codes]:
    """The split of every row. The order of rows and datasets does not matter.

    A row whose source is a split stays there. The other rows are assigned in groups by a hash. Then a group moves from train to a held-out
    split if a text of it is held out anywhere. Groups that share a text are one, so afterwards no text that shares assign is in train in
    one dataset and held out in another. Two types of rows are never moved: groups of a column's values, which would be divided, and rows
    of a dataset that holds out nothing.

    Args:
        datasets: settings by name.
        scans: rows of the same datasets.
        seed: of the hash.
    """
    keys, rows = joined([part.keys for part in scans.values()]), numbers(scans)
    near = {name: rows[name] for name in scans if datasets[name].movable and group_by(datasets[name]) == "near"}
    # Rows without labels stay in train, and must not connect others: the splits are the same with and without them.
    searched = np.concatenate([np.array([], np.int64), *(own[~scans[name].unlabelled] for name, own in near.items())])
    groups = near_groups(keys, searched)
    splits = {name: part.splits.copy() for name, part in scans.items()}
    for part, names in _named_groups(keys, groups, searched):
        for name, own in near.items():
            chosen = np.flatnonzero(scans[name].by_share & np.isin(groups[own], part))
            splits[name][chosen] = _assigned(names, datasets[name], seed)[np.searchsorted(part, groups[own[chosen]])]
    held_out = np.zeros(len(groups), np.int8)
    for name, own_splits in splits.items():
        np.maximum.at(held_out, groups[rows[name]], own_splits)  # test, if several splits hold a group out
    return {name: _moved(datasets[name], scans[name], splits[name], held_out[groups[rows[name]]]) for name in scans}


def assign_all(datasets: Mapping[str, Dataset], scans: Mapping[str, Scan], seed: int) -> dict[str, Codes]:
    """The split of every row: ``assign_rows`` without the datasets that grow, then on each of these, so that they move no other row."""
    grow = [name for name in datasets if datasets[name].incoming]
    sets = [[name for name in datasets if name not in grow], *([name] for name in grow)]
    return {
        name: splits
        for names in sets
        if names
        for name, splits in assign_rows({name: datasets[name] for name in names}, {name: scans[name] for name in names}, seed).items()
    }


def repeats_others(name: str, scans: Mapping[str, Scan], splits: Mapping[str, Codes]) -> npt.NDArray[np.bool_]:
    """Which rows of a dataset are, exactly or nearly, held out by another one; of its own held-out rows also those in another's train."""
    rows, keys = numbers(scans), joined([part.keys for part in scans.values()])
    held_out = _those(rows, name, {other: codes > 0 for other, codes in splits.items()})
    train = _those(rows, name, {other: codes == 0 for other, codes in splits.items()})
    own_held_out = splits[name] > 0
    repeated = matches(keys, rows[name], held_out).others >= 0
    repeated[own_held_out] |= matches(keys, rows[name][own_held_out], train).others >= 0
    return repeated


def _those(rows: Mapping[str, Numbers], name: str, wanted: Mapping[str, npt.NDArray[np.bool_]]) -> Numbers:
    """The numbers of rows of all datasets but one."""
    return np.concatenate([np.array([], np.int64), *(rows[other][wanted[other]] for other in rows if other != name)])


def superseded(rows: Scan) -> npt.NDArray[np.bool_]:
    """Which rows are followed by one with the same text and labels of the same names."""
    names = sum((labelled.astype(np.int64) << i for i, labelled in enumerate(rows.labelled.values())), np.zeros(len(rows.splits), np.int64))
    pairs = list(zip(rows.keys.texts.tolist(), names.tolist(), strict=True))
    last = {pair: number for number, pair in enumerate(pairs)}
    return np.array([last[pair] != number for number, pair in enumerate(pairs)], np.bool_)


def numbers(scans: Mapping[str, Scan]) -> dict[str, Numbers]:
    """The numbers that the rows of each dataset have among those of all, one dataset after the other."""
    ends = np.cumsum([len(part.splits) for part in scans.values()])
    return {name: np.arange(end - len(part.splits), end) for (name, part), end in zip(scans.items(), ends, strict=True)}


def group_by(settings: Dataset) -> str:
    """What the rows of a dataset are grouped by; empty where each split has a source."""
    return settings.split.group_by if settings.split else ""


def _named_groups(keys: Keys, groups: Numbers, rows: Numbers) -> Iterator[tuple[Numbers, list[str]]]:
    """The groups of some rows with several keys, and the smallest key of each, which is its name; ``NAMED`` groups at a time."""
    distinct = np.sort(rows[np.unique(keys.keys[rows], return_index=True)[1]])
    found, counts = np.unique(groups[distinct], return_counts=True)
    several = found[counts > 1]
    for part in np.split(several, range(NAMED, len(several), NAMED)):
        smallest: dict[int, str] = {}
        for own, texts in keys.read(distinct[np.isin(groups[distinct], part)]):
            for group, key in zip(groups[own].tolist(), texts.to_pylist(), strict=True):
                smallest[group] = min(key, smallest.get(group, key))
        yield part, [smallest[group] for group in part.tolist()]


def _assigned(names: Sequence[str], settings: Dataset, seed: int) -> Codes:
    """The splits of groups by their names."""
    return np.array([SPLITS.index(assign(name, settings.split, seed)) if settings.split else 0 for name in names], np.int8)


def _moved(settings: Dataset, rows: Scan, splits: Codes, held_out: Codes) -> Codes:
    """Rows of train that are held out elsewhere are in the same held-out split, if the dataset has a share of it; else in its other one."""
    if not settings.movable or settings.split is None:
        return splits
    shares = np.array([getattr(settings.split, name) for name in SPLITS])
    other = SPLITS.index("test" if settings.split.test else "validation")
    target = np.where(shares[held_out] > 0, held_out, other)
    return np.where(rows.by_share & (splits == 0) & (held_out > 0), target, splits).astype(np.int8)


def groups_of(settings: Dataset, rows: Scan) -> Numbers:
    """A number for each row, the same for those of one group."""
    if group_by(settings) == "near":
        return near_groups(rows.keys, np.arange(len(rows.splits)))
    return np.unique(rows.groups, return_inverse=True)[1]


def leaked(name: str, scans: Mapping[str, Scan], splits: Mapping[str, Codes]) -> tuple[Numbers, Matches]:
    """The train rows of a dataset, and which of them are, exactly or nearly, held out by this or another dataset."""
    rows = numbers(scans)
    train = np.flatnonzero(splits[name] == 0)
    held_out = np.concatenate([rows[other][splits[other] > 0] for other in scans])
    return train, matches(joined([part.keys for part in scans.values()]), rows[name][train], held_out)
