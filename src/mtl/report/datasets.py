"""The data card of each dataset, as tables and bars."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl.config import SPLITS, Params
from mtl.report.inputs import Inputs, Json
from mtl.report.text import listed, percent, whole

KINDS = 6
"""Classes or entity types that get a colour of their own in a bar; the others share one."""


def data_cards(params: Params, inputs: Inputs) -> list[Json]:
    """For each dataset: sources, rows by split, labels by split, what was left out, duplicates and leakage."""
    return [_card(name, inputs.cards[name]) for name in params.datasets]


def _card(name: str, card: Json) -> Json:
    splits = [split for split in SPLITS if card.get("rows", {}).get(split)]
    return {
        "name": name,
        "sources": card.get("sources", {}),
        "splits": splits,
        "table": [
            {"name": told, "total": card[key].get("total"), "cells": [card[key].get(split) for split in splits]}
            for key, told in (("rows", "rows"), ("tokens", "tokens"), ("duplicates", "repeated texts"))
            if key in card
        ]
        + _leaks(card.get("leakage", {}), splits),
        "labels": [_label(label, content, splits) for label, content in card.get("labels", {}).items()],
        "malformed": {"total": 0, "samples": [], **card.get("malformed", {})},
        "unlabelled": card.get("unlabelled", {}).get("total", 0),
        "longest": card.get("longest", {}),
        "leaked": card.get("leakage", {}).get("samples", []),
        "finding": _finding(card, splits),
    }


def _leaks(leakage: Json, splits: Sequence[str]) -> list[Json]:
    told = {"exact": "same text in train", "near": "nearly the same text in train"}
    return [
        {"name": told[kind], "total": sum(leakage[kind].values()), "cells": [leakage[kind].get(split) for split in splits]}
        for kind in told
        if kind in leakage
    ]


def _finding(card: Json, splits: Sequence[str]) -> str:
    rows = listed([f"{whole(card['rows'][split])} {split}" for split in splits]) if splits else "no"
    leaked = sum(count for kind in ("exact", "near") for count in card.get("leakage", {}).get(kind, {}).values())
    malformed = card.get("malformed", {}).get("total", 0)
    told = [f"{rows} rows", f"{whole(malformed)} malformed", f"{whole(leaked)} of the held-out texts also or nearly in train"]
    return "; ".join(told) + "."


def _label(name: str, content: Mapping[str, Any], splits: Sequence[str]) -> Json:
    """A label's values by split: shares of classes or entity types, or mean and spread of numbers."""
    by_split = {split: content[split] for split in splits if split in content}
    kind = content.get("type")
    if kind == "number":
        return {"name": name, "type": kind, "splits": by_split}
    key = "classes" if kind == "class" else "entities"
    totals: dict[str, int] = {}
    for values in by_split.values():
        for value, count in values.get(key, {}).items():
            totals[value] = totals.get(value, 0) + count
    order = sorted(totals, key=lambda value: (-totals[value], value))
    style = {value: f"task{i}" if i < KINDS else "rest" for i, value in enumerate(order)}
    bars = [_bar(split, values, key, order, style) for split, values in by_split.items()]
    return {"name": name, "type": kind, "bars": bars, "keys": [(value, style[value], totals[value]) for value in order]}


def _bar(split: str, values: Mapping[str, Any], key: str, order: Sequence[str], style: Mapping[str, str]) -> Json:
    counts = values.get(key, {})
    total = sum(counts.values())
    parts = [(style[value], counts.get(value, 0) / total if total else 0.0) for value in order]
    told = ", ".join(f"{value} {percent(counts.get(value, 0) / total if total else 0.0)}" for value in order)
    return {"split": split, "rows": values.get("rows"), "total": total, "parts": parts, "told": told}


def warnings(params: Params, inputs: Inputs) -> list[tuple[str, str]]:
    """(where, what) of all warnings: of the data, of augmentation, of the runs and of the comparisons; each once, with all places."""
    found = [("comparisons", text) for text in inputs.comparisons.get("warnings", [])]
    for name, card in inputs.cards.items():
        malformed = card.get("malformed", {})
        if malformed.get("total"):
            found.append((name, f"{whole(malformed['total'])} malformed rows ({percent(malformed.get('share', 0), 2)}) were left out."))
        exact = sum(card.get("leakage", {}).get("exact", {}).values())
        if exact:
            found.append((name, f"{whole(exact)} texts of validation or test are in train too."))
    for name, shards in inputs.counts.items():
        notes = {method: counts["note"] for shard in shards for method, counts in shard["methods"].items() if counts.get("note")}
        found += [(f"{name}, {method}", str(note)) for method, note in notes.items()]
    for run, content in inputs.runs.items():
        found += [(run, str(text)) for text in content.get("warnings", [])]
    places: dict[str, list[str]] = {}
    for where, what in found:
        places.setdefault(what, []).append(where)
    return [(", ".join(wheres), what) for what, wheres in places.items()]
