"""The data card of a dataset: rows read and left out, splits, labels, duplicates, leakage and warnings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mtl.config import SPLITS, Dataset
from mtl.data.examples import Counts, Example
from mtl.data.labels import label_type
from mtl.data.matching import Match
from mtl.data.splits import leaks, repeats

SAMPLES = 5
"""Leaked rows in the card, exact and near ones each."""


def make(dataset: str, settings: Dataset, examples: Sequence[Example], counts: Counts, segmentation: Match) -> dict[str, Any]:
    """The card, the JSON content of ``<dataset>.json``."""
    texts = [example.text for example in examples]
    used = [name for name in SPLITS if any(example.split == name for example in examples)]
    longest = max(examples, key=lambda example: len(example.tokens))
    total, malformed = sum(counts.read.values()), sum(counts.malformed.values())
    return {
        "dataset": dataset,
        "sources": {name: {"url": source.url, "sha256": source.sha256} for name, source in settings.sources.items()},
        "format": settings.reader.format,
        "rows_read": {"total": total, **counts.read},
        "malformed": {"total": malformed, "share": malformed / total, **counts.malformed, "samples": counts.samples},
        "unlabelled": {"total": sum(counts.unlabelled.values()), **counts.unlabelled},
        **({"dropped": {"total": sum(counts.dropped.values()), **counts.dropped}} if settings.drop_leaked else {}),
        "rows": {"total": len(examples), **_by_split(examples, len)},
        "tokens": {"total": _token_count(examples), **_by_split(examples, _token_count)},
        "segmentation": {"name": segmentation.name, "reproduced": segmentation.shares, "rows": segmentation.rows},
        "longest": {"id": longest.id, "tokens": len(longest.tokens), "characters": max(map(len, texts))},
        "labels": {
            name: {"type": label.type, **{split: _distribution(examples, name, label.type, split) for split in used}}
            for name, label in settings.labels.items()
        },
        "duplicates": {"total": repeats(texts)} | {split: repeats(_texts_of(examples, texts, split)) for split in used},
        "leakage": _leakage(examples, texts, [name for name in used if name != "train"]),
        "warnings": counts.warnings,
    }


def describe_segmentation(segmentation: Mapping[str, Any]) -> str:
    """The entry of a card in words."""
    name, reproduced = segmentation["name"], segmentation["reproduced"].get(segmentation["name"])
    unit = "at spaces" if name == "spaces" else {"tweets": "into words as in tweets"}.get(name, f"into {name}")
    return f"New texts are split {unit}" + ("." if reproduced is None else f", which reproduces {reproduced:.1%} of the given tokens.")


def _by_split(examples: Sequence[Example], measure: Callable[[list[Example]], int]) -> dict[str, int]:
    return {name: measure([example for example in examples if example.split == name]) for name in SPLITS}


def _token_count(examples: Sequence[Example]) -> int:
    return sum(len(example.tokens) for example in examples)


def _texts_of(examples: Sequence[Example], texts: Sequence[str], split: str) -> list[str]:
    return [text for example, text in zip(examples, texts, strict=True) if example.split == split]


def _distribution(examples: Sequence[Example], label: str, type_: str, split: str) -> dict[str, Any]:
    values = [example.labels[label] for example in examples if example.split == split and example.labels[label] is not None]
    return {"rows": len(values), **label_type(type_).summary(values)}


def _leakage(examples: Sequence[Example], texts: Sequence[str], held_out: Sequence[str]) -> dict[str, Any]:
    """Rows of validation and test with their text in train: ``exact``, or ``near`` (same letters, or Jaccard similarity at least 0.8)."""
    rows = [Row(example.id, example.split, text) for example, text in zip(examples, texts, strict=True)]
    pairs = [(rows[leak.row], rows[leak.train_row], leak.similarity) for leak in leaks(texts, [example.split for example in examples])]
    counts = counts_by_type([(row.split, similarity) for row, _, similarity in pairs], held_out)
    return {**counts, "samples": samples_by_type(pairs)}


class Row(NamedTuple):
    """A row that is compared with others."""

    id: str
    split: str
    text: str


def counts_by_type(leaked: Sequence[tuple[str, float]], held_out: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many rows of each held-out split leaked, exactly and nearly, from their splits and similarities."""
    return {
        type_: {split: sum(own == split and _type(similarity) == type_ for own, similarity in leaked) for split in held_out}
        for type_ in ("exact", "near")
    }


def samples_by_type(pairs: Sequence[tuple[Any, Any, float]]) -> list[dict[str, Any]]:
    """The first leaked rows of each type, each with its train row."""
    by_type = {name: [pair for pair in pairs if _type(pair[2]) == name] for name in ("exact", "near")}
    return [
        {
            "kind": name,
            "similarity": round(similarity, 3),
            "split": row.split,
            "id": row.id,
            "text": row.text,
            "train_id": train.id,
            "train_text": train.text,
        }
        for name, group in by_type.items()
        for row, train, similarity in group[:SAMPLES]
    ]


def _type(similarity: float) -> str:
    return "exact" if similarity == 1.0 else "near"
