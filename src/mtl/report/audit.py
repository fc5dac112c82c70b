"""What augmentation produced, kept and dropped, and samples with the changes and entities marked."""

import difflib
import hashlib
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from mtl.augment.shards import few_kept as described
from mtl.augment.variants import REASONS
from mtl.config import Params
from mtl.data.labels import label_type
from mtl.data.schema import columns_of, fields_of, labels_of, positional_labels, read_schema
from mtl.report import charts
from mtl.report.blocks import Figure
from mtl.report.inputs import Inputs, Json, Rows
from mtl.report.text import counted, percent, signed, whole

MISSING = "engine missing"
REJECTED = 10
"""Dropped rows shown for each method and reason."""


class Stretch(NamedTuple):
    """A stretch of text: tokens of one entity, or one token outside of any."""

    tokens: list[tuple[str, bool]]
    """Text with the space after it, and whether the other side of the pair lacks it."""
    type: str | None
    """Entity type."""

    @property
    def text(self) -> str:
        """Its tokens with the spaces between them."""
        return "".join(word for word, _ in self.tokens)


def audit(params: Params, inputs: Inputs) -> list[Json]:
    """For each dataset its methods with counts, samples and dropped rows."""
    return [_audit(params, inputs, name) for name in params.datasets]


def _audit(params: Params, inputs: Inputs, dataset: str) -> Json:
    rows = inputs.cards[dataset].get("rows", {}).get("train", 0)
    methods = _methods(params, inputs, dataset)
    return {"dataset": dataset, "rows": rows, "methods": methods, "figure": _outcomes(methods)}


def _outcomes(methods: Sequence[Json]) -> Figure | None:
    """A bar for each method: the share of variants that were kept, and dropped for each reason."""
    outcomes = {method["name"]: {"kept": method["kept"], **_dropped(method)} for method in methods if method["missing"] is None}
    rows = [(name, part, count) for name, counts in outcomes.items() for part, count in counts.items() if count]
    if not rows:
        return None
    frame = pd.DataFrame(rows, columns=["name", "part", "count"])
    frame["share"] = frame["count"] / frame.groupby("name")["count"].transform("sum")
    reasons = [part for part in dict.fromkeys(frame["part"]) if part != "kept"]
    colours = {"kept": "var(--joint-augmented)", **{reason: f"var(--d{i % 6})" for i, reason in enumerate(reasons)}}
    chart = charts.stacked(frame, list(outcomes), colours)
    return Figure("Outcome of every variant", "share kept, and share dropped by reason", chart, wide=True)


def _dropped(method: Json) -> dict[str, int]:
    return {item["reason"]: item["count"] for item in method["dropped"]}


def _methods(params: Params, inputs: Inputs, dataset: str) -> list[Json]:
    names = dict.fromkeys(method for shard in inputs.counts[dataset] for method in shard["methods"])
    samples = _samples(params, inputs, dataset) if names else {}
    return [
        {
            "name": name,
            **_totals([shard["methods"][name] for shard in inputs.counts[dataset] if name in shard["methods"]]),
            "samples": samples.get(name, []),
            "rejected": _rejected([shard.get(name, {}) for shard in inputs.rejected[dataset]]),
        }
        for name in names
    ]


def _totals(shards: Sequence[Json]) -> Json:
    """Counts of a method over all shards."""
    made, kept = (sum(shard[key] for shard in shards) for key in ("made", "kept"))
    dropped: Counter[str] = Counter()
    for shard in shards:
        dropped.update(shard["dropped"])
    reasons = [
        {"reason": reason, "count": count, "share": count / made if made else 0.0, "meaning": REASONS.get(reason, "")}
        for reason, count in dropped.most_common()
    ]
    notes = [str(shard["note"]) for shard in shards if shard.get("note")]
    missing = notes[0] if notes else "the engine is not installed" if MISSING in dropped else None
    return {"made": made, "kept": kept, "share": kept / made if made else 0.0, "dropped": reasons, "missing": missing}


def _rejected(shards: Sequence[dict[str, list[Json]]]) -> list[Json]:
    """The first samples of each reason."""
    by_reason: dict[str, list[Json]] = {}
    for shard in shards:
        for reason, rows in shard.items():
            by_reason.setdefault(reason, []).extend(rows)
    return [{"reason": reason, **row} for reason, rows in sorted(by_reason.items()) for row in rows[:REJECTED]]


def finding(audits: Sequence[Json]) -> str:
    """How many variants were kept."""
    rows = sum(audit["rows"] for audit in audits)
    kept = sum(method["kept"] for audit in audits for method in audit["methods"])
    made = sum(method["made"] for audit in audits for method in audit["methods"])
    if not made:
        return "No row was augmented." if any(audit["methods"] for audit in audits) else "The settings name no augmentation method."
    return f"Kept {counted(kept, 'variant')} of {counted(rows, 'training row')}: {percent(kept / made)} of {whole(made)} produced."


def few_kept(audits: Sequence[Json]) -> list[str]:
    """The methods that keep hardly any of their variants, in words."""
    return [
        f"{audit['dataset']}: {method['name']} {text}."
        for audit in audits
        for method in audit["methods"]
        if (text := described(method["made"], method["kept"], _dropped(method)))
    ]


def _samples(params: Params, inputs: Inputs, dataset: str) -> dict[str, list[Json]]:
    """By method the variants with the lowest hashes of their ids: a fixed choice from everywhere in the file."""
    chosen = _lowest(inputs.shards[dataset], params.report.samples)
    flat = {id_ for picked in chosen.values() for id_ in picked}
    if not flat:
        return {}
    variants = {row["id"]: row for path in inputs.shards[dataset] for row in Rows(path, filters=[("id", "in", flat)])}
    parents = {row["parent_id"] for row in variants.values()}
    originals = {row["id"]: row for row in Rows(inputs.examples[dataset], filters=[("id", "in", parents)])}
    table = read_schema(inputs.examples[dataset])
    return {
        method: [pair(originals[variants[id_]["parent_id"]], variants[id_], table) for id_ in picked] for method, picked in chosen.items()
    }


def _lowest(shards: Sequence[Path], limit: int) -> dict[str, list[str]]:
    """By method the ids of so many variants with the lowest hashes."""
    lowest: dict[str, list[tuple[bytes, str]]] = {}
    for path in shards:
        for row in Rows(path, ["id", "augmenter"]):
            held = lowest.setdefault(row["augmenter"], [])
            insort(held, (hashlib.blake2b(row["id"].encode(), digest_size=8).digest(), row["id"]))
            del held[limit:]
    return {method: [id_ for _, id_ in held] for method, held in lowest.items()}


def pair(original: Json, variant: Json, table: pa.Schema) -> Json:
    """An original and its variant side by side for each text field, with changed tokens and entities marked, and the labels of the text."""
    positional = positional_labels(table)
    values = {name: _label(variant[name]) for name in labels_of(table) if name not in positional and variant[name] is not None}
    fields = [{"name": field, **_sides(original, variant, table, field)} for field in fields_of(table)]
    return {"id": variant["id"], "fields": fields, "labels": values}


def _sides(original: Json, variant: Json, table: pa.Schema, field: str) -> dict[str, list[Stretch]]:
    old, new = (row[columns_of(field)[0]] for row in (original, variant))
    same = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    kept_old = {block.a + i for block in same for i in range(block.size)}
    kept_new = {block.b + i for block in same for i in range(block.size)}
    return {"original": stretches(original, table, field, kept_old), "variant": stretches(variant, table, field, kept_new)}


def _label(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return signed(value, 2) if isinstance(value, float) else str(value)


def stretches(row: Json, table: pa.Schema, field: str, kept: set[int]) -> list[Stretch]:
    """A text field of a row as stretches of text; tokens that are not in ``kept`` are marked as changed."""
    tokens, space_after = (row[column] for column in columns_of(field))
    parts: list[Stretch] = []
    for i, (token, space, tag) in enumerate(zip(tokens, space_after, _tags(row, table, field, len(tokens)), strict=True)):
        word = (token + " " * space, i not in kept)
        if tag.startswith("I-") and parts:
            parts[-1].tokens.append(word)
        else:
            parts.append(Stretch([word], tag[2:] or None))
    return parts


def _tags(row: Json, table: pa.Schema, field: str, length: int) -> list[str]:
    """The IOB2 tags of the first label of a field's positions that the row has."""
    types = labels_of(table)
    for name in positional_labels(table, field):
        if tags := label_type(types[name]).to_tags(row[name], length):
            return tags
    return ["O"] * length
