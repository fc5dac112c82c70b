"""The data card of a dataset: rows read and left out, splits, labels, duplicates, leakage and warnings."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl.config import SPLITS, Dataset, Split
from mtl.data import schema
from mtl.data.coded import plain
from mtl.data.duplicates import Matches, matches, repeats
from mtl.data.examples import FIELD_SEPARATOR, Counts
from mtl.data.keys import Numbers
from mtl.data.labels import label_type
from mtl.data.matching import Match
from mtl.data.scan import Scan

SAMPLES = 5
"""Leaked rows in the card, exact and near ones each."""


class Kept(NamedTuple):
    """The rows of the canonical table."""

    scan: Scan
    numbers: dict[Split, Numbers]
    """For each split the numbers of its rows in the scan, ascending. The table has them in this order."""
    table: Path

    @property
    def order(self) -> Numbers:
        """The numbers of all rows in the order of the table."""
        return np.concatenate(list(self.numbers.values()))

    @property
    def used(self) -> list[Split]:
        """The splits with rows."""
        return [split for split, own in self.numbers.items() if len(own)]


def make(
    dataset: str, settings: Dataset, kept: Kept, labels: Mapping[str, Any], segmentation: Match, language: str | None, counts: Counts
) -> dict[str, Any]:
    """The card, the JSON content of ``<dataset>.json``.

    Args:
        dataset: its name.
        settings: the dataset.
        kept: its rows.
        labels: what ``labels_of`` returned.
        segmentation: of new texts.
        language: as guessed, where the settings do not give it; None where they do, or where it is not clear.
        counts: of the rows that were read.
    """
    scan, order = kept.scan, kept.order
    tokens = {split: int(scan.tokens[own].sum(dtype=np.int64)) for split, own in kept.numbers.items()}
    longest = int(np.argmax(scan.tokens[order]))
    total, malformed = sum(counts.read.values()), sum(counts.malformed.values())
    return {
        "dataset": dataset,
        "sources": {name: {"url": source.url, "sha256": source.sha256} for name, source in settings.sources.items()},
        "format": settings.reader.format,
        "rows_read": {"total": total, **counts.read},
        "malformed": {"total": malformed, "share": malformed / total, **counts.malformed, "samples": counts.samples},
        "unlabelled": {"total": sum(counts.unlabelled.values()), **counts.unlabelled, **_kept_unlabelled(kept)},
        **({"dropped": {"total": sum(counts.dropped.values()), **counts.dropped}} if counts.dropped else {}),
        "rows": {"total": len(order), **{split: len(own) for split, own in kept.numbers.items()}},
        "tokens": {"total": sum(tokens.values()), **tokens},
        "segmentation": {"name": segmentation.name, "reproduced": segmentation.shares, "rows": segmentation.rows},
        "language": {"tag": settings.language or language, "guessed": settings.language is None},
        "longest": {
            "id": rows_at(kept.table, [longest])[longest].id,
            "tokens": int(scan.tokens[order[longest]]),
            "characters": int(scan.characters[order].max()),
        },
        "labels": labels,
        "duplicates": {
            "total": repeats(scan.keys.texts[order]),
            **{split: repeats(scan.keys.texts[kept.numbers[split]]) for split in kept.used},
        },
        "leakage": _leakage(kept),
        "warnings": counts.warnings,
    }


def _kept_unlabelled(kept: Kept) -> dict[str, int]:
    """The number of rows without a label in the table, if there are some."""
    count = int(kept.scan.unlabelled[kept.order].sum())
    return {"kept": count} if count else {}


def describe_segmentation(segmentation: Mapping[str, Any]) -> str:
    """The entry of a card in words."""
    name, reproduced = segmentation["name"], segmentation["reproduced"].get(segmentation["name"])
    unit = "at spaces" if name == "spaces" else {"tweets": "into words as in tweets"}.get(name, f"into {name}")
    return f"New texts are split {unit}" + ("." if reproduced is None else f", which reproduces {reproduced:.1%} of the given tokens.")


def describe_language(language: Mapping[str, Any], dataset: str) -> str:
    """The entry of a card in words."""
    tag = language["tag"]
    if not language["guessed"]:
        return f"Language: {tag}."
    advice = f"set datasets.{dataset}.language"
    return f"Language: {tag}, as the texts look; if they are not, {advice}." if tag else f"Language: not clear from the texts; {advice}."


# --- labels -----------------------------------------------------------------------------------------------------------


def labels_of(settings: Dataset, kept: Kept) -> dict[str, dict[str, Any]]:
    """The type of each label, and its statistics by split."""
    return {
        name: {"type": label.type, **{split: _distribution(kept, name, label.type, split) for split in kept.used}}
        for name, label in settings.labels.items()
    }


def _distribution(kept: Kept, label: str, type_: str, split: Split) -> dict[str, Any]:
    values = Values(kept, label, split)
    return {"rows": len(values), **label_type(type_).summary(values)}


class Values(Sequence[Any]):
    """The labels of a split, read from the table part by part each time that they are iterated."""

    def __init__(self, kept: Kept, label: str, split: Split) -> None:
        self._path, self._label = kept.table, label
        self._start = sum(len(own) for name, own in kept.numbers.items() if SPLITS.index(name) < SPLITS.index(split))
        self._stop = self._start + len(kept.numbers[split])
        self._length = int(kept.scan.labelled[label][kept.numbers[split]].sum())

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Any]:
        groups = range(self._start // schema.ROW_GROUP, -(-self._stop // schema.ROW_GROUP))
        for group, part in zip(groups, schema.read_parts(self._path, schema.ROW_GROUP, [self._label], groups=groups), strict=True):
            at = group * schema.ROW_GROUP
            column = plain(part[max(self._start - at, 0) : self._stop - at]).column(0)
            yield from column.drop_null().to_pylist()


# --- leakage ----------------------------------------------------------------------------------------------------------


def _leakage(kept: Kept) -> dict[str, Any]:
    """Rows of validation and test with their text in train: ``exact``, or ``near`` (same letters, or Jaccard similarity at least 0.8)."""
    places = np.zeros(len(kept.scan.splits), np.int64)
    places[kept.order] = np.arange(len(kept.order))
    held_out = {split: own for split, own in kept.numbers.items() if split in kept.used and split != "train"}
    rows = np.concatenate([*held_out.values(), np.array([], np.int64)])
    found = matches(kept.scan.keys, rows, kept.numbers["train"])
    parts = np.repeat(np.arange(len(held_out)), [len(own) for own in held_out.values()])
    counts = leaks_by_type(found, {split: parts == number for number, split in enumerate(held_out)})
    pairs = sampled(found)
    texts = rows_at(kept.table, [*places[rows[pairs]].tolist(), *places[found.others[pairs]].tolist()])
    samples = [sample(texts[places[rows[i]]], texts[places[found.others[i]]], found.similarities[i]) for i in pairs.tolist()]
    return {**counts, "samples": samples}


class Row(NamedTuple):
    """A row that is compared with others."""

    id: str
    split: str
    text: str


def rows_at(path: Path, places: Sequence[int]) -> dict[int, Row]:
    """Some rows of a canonical table by their places."""
    columns = [schema.columns_of(field)[0] for field in schema.fields_of(schema.read_schema(path))]
    groups = sorted({place // schema.ROW_GROUP for place in places})
    rows = {}
    for group, part in zip(groups, schema.read_parts(path, schema.ROW_GROUP, ["id", "split", *columns], groups=groups), strict=True):
        for place in {place for place in places if place // schema.ROW_GROUP == group}:
            row = part.slice(place % schema.ROW_GROUP, 1)
            rows[place] = Row(row["id"][0].as_py(), row["split"][0].as_py(), texts_of(row)[0])
    return rows


def texts_of(table: pa.Table) -> list[str]:
    """The texts of a canonical table by which rows are compared."""
    columns = [schema.columns_of(field)[0] for field in schema.fields_of(table.schema)]
    words = plain(table.select(columns)).cast(pa.schema([(column, pa.list_(pa.string())) for column in columns]))
    fields = [pc.binary_join(column, " ") for column in words.columns]
    texts: list[str] = pc.binary_join_element_wise(*fields, FIELD_SEPARATOR).to_pylist()
    return texts


def leaks_by_type(found: Matches, splits: Mapping[Split, Any]) -> dict[str, dict[Split, int]]:
    """How many texts of each held-out split leaked, exactly and nearly.

    Args:
        found: the matches of held-out texts.
        splits: by split, the mask of its texts.
    """
    types = {"exact": found.exact, "near": found.near}
    return {type_: {split: int((mask & own).sum()) for split, own in splits.items()} for type_, mask in types.items()}


def sampled(found: Matches) -> Numbers:
    """Places of the first exact and the first near matches."""
    return np.concatenate([np.flatnonzero(mask)[:SAMPLES] for mask in (found.exact, found.near)])


def sample(row: Row, train: Row, similarity: float) -> dict[str, Any]:
    """A leaked row with its train row."""
    return {
        "kind": "exact" if similarity == 1 else "near",
        "similarity": round(float(similarity), 3),
        "split": row.split,
        "id": row.id,
        "text": row.text,
        "train_id": train.id,
        "train_text": train.text,
    }
