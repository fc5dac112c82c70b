"""One shard: the variants of a stretch of a data set's train rows, checked and counted.

The train rows are cut into blocks of ``BLOCK`` rows by their number. A shard is a run of whole blocks, and nothing outside a block
bears on its variants, but the texts of the originals. So rows are the same for any number of shards, and a shard's bytes the same
whether it is made alone or beside others.

The counts, JSON in the Parquet metadata under ``COUNTS``, add up: for each method made = kept + all dropped, made = rows × copies.
``{"rows": n, "methods": {name: {"made": n, "kept": n, "dropped": {reason: n}, "note": text or null}}}``. Samples of dropped variants,
``{method: {reason: [{"parent": id, "original": text, "variant": text}]}}``, are under ``REJECTED``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.augment import AUGMENTERS, Augmenter
from mtl.augment.randomness import Stream
from mtl.augment.similarity import mark_dissimilar
from mtl.augment.variants import tag_columns
from mtl.data.schema import legal_iob2, read, text_of, write
from mtl.errors import AugmentError, DataError
from mtl.params import AugmentMethod, Params
from mtl.pipeline.milestones import ENCODER

BLOCK = 512  # rows
COUNTS, REJECTED = b"mtl:counts", b"mtl:rejected"
SAMPLES = 10  # dropped variants kept for each method and reason
Nearness = Callable[[pa.Table, pa.Table], pa.Table]


class _Tally:
    """Counts and samples of one method in one shard."""

    def __init__(self, note: str | None) -> None:
        self.note = note
        self.made = self.kept = 0
        self.dropped: Counter[str] = Counter()
        self.samples: dict[str, list[dict[str, str]]] = {}

    def add(self, variants: pa.Table, rows: pa.Table) -> None:
        """Count the variants of a block."""
        self.made += len(variants)
        for reason, count in Counter(variants["reason"].to_pylist()).items():
            if reason is None:
                self.kept += count
                continue
            self.dropped[reason] += count
            samples = self.samples.setdefault(reason, [])
            if len(samples) < SAMPLES:
                of_reason = variants.filter(pc.equal(variants["reason"], reason)).slice(0, SAMPLES - len(samples))
                samples += [_sample(variant, rows) for variant in of_reason.to_pylist()]

    def counts(self) -> dict[str, Any]:
        return {"made": self.made, "kept": self.kept, "dropped": dict(sorted(self.dropped.items())), "note": self.note}


def file_name(dataset: str, index: int, shards: int) -> str:
    """Such as ``tweets-00000-of-00002.parquet``."""
    return f"{dataset}-{index:05d}-of-{shards:05d}.parquet"


def read_counts(path: Path) -> dict[str, Any]:
    """The counts of a shard.

    Raises:
        DataError: the file cannot be read or carries no counts.
    """
    return _metadata(path, COUNTS)


def read_rejected(path: Path) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Samples of a shard's dropped variants, by method and reason.

    Raises:
        DataError: the file cannot be read or carries no samples.
    """
    return _metadata(path, REJECTED)


def _metadata(path: Path, key: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {})[key])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DataError(f"{path}: is no shard of augmented rows: {error}") from None
    return content


def augment_shard(params: Params, dataset: str, index: int, examples: Path, out: Path, raw: Path | None = None) -> None:
    """Make one shard.

    Args:
        params: the settings; ``augment``, ``seed`` and nothing else of them bears on the shard.
        dataset: whose train rows.
        index: 0 to ``params.augment.shards`` - 1.
        examples: folder with ``<dataset>.parquet``.
        out: existing folder, gets ``<dataset>-<index>-of-<shards>.parquet``.
        raw: folder of the downloads; without it, the models of methods are fetched.

    Raises:
        AugmentError: there is no such shard, or an augmenter broke a promise.
        DataError: the canonical table is missing or damaged.
    """
    shards = params.augment.shards
    if not 0 <= index < shards:
        raise AugmentError(f"{dataset}: there is no shard {index}; choose from: 0 to {shards - 1}")
    table = read(examples / f"{dataset}.parquet")
    methods = params.methods_of(dataset)
    originals = pc.unique(_keys(table["tokens"]))
    train = table.filter(pc.equal(table["split"], "train"))
    del table
    blocks = -(-len(train) // BLOCK)
    mine = [train.slice(number * BLOCK, BLOCK) for number in range(index * blocks // shards, (index + 1) * blocks // shards)]
    notes = {name: AUGMENTERS[spec.type].available(spec) for name, spec in methods.items()}
    augmenters = {name: AUGMENTERS[spec.type](spec, Stream(params.seed, name)) for name, spec in methods.items() if notes[name] is None}
    for name, augmenter in augmenters.items():
        augmenter.models = None if raw is None else raw / f"model.{name}"
    nearness = _nearness(params, raw)
    tallies = {name: _Tally(note) for name, note in notes.items()}
    kept = [_block(rows, methods, augmenters, originals, tallies, nearness) for rows in mine]
    shard = pa.concat_tables([train.schema.empty_table(), *kept])
    counts = {"rows": sum(map(len, mine)), "methods": {name: tally.counts() for name, tally in tallies.items()}}
    _check_counts(counts, methods, len(shard))
    rejected = {name: tally.samples for name, tally in tallies.items()}
    metadata = {**(train.schema.metadata or {}), COUNTS: _json(counts), REJECTED: _json(rejected)}
    write(shard.replace_schema_metadata(metadata), out / file_name(dataset, index, shards))


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def _keys(tokens: pa.ChunkedArray) -> pa.ChunkedArray:
    """One string for each list of tokens; equal only if the tokens are."""
    return pc.binary_join(tokens, "\x1f")


def _block(
    rows: pa.Table,
    methods: dict[str, AugmentMethod],
    augmenters: dict[str, Augmenter],
    originals: pa.Array,
    tallies: dict[str, _Tally],
    nearness: Nearness,
) -> pa.Table:
    """The variants of one block that are kept, as canonical rows sorted by parent, method and copy."""
    rows = rows.combine_chunks()
    seen: set[str] = set()
    kept = []
    for name, spec in methods.items():
        if name not in augmenters:
            tallies[name].made += len(rows) * spec.copies
            tallies[name].dropped["engine missing"] += len(rows) * spec.copies
            continue
        variants = nearness(_without_duplicates(augmenters[name].augment(rows), originals, seen), rows)
        tallies[name].add(variants, rows)
        variants = variants.filter(pc.is_null(variants["reason"]))
        _check(variants, rows, name)
        kept.append((variants["row"].to_numpy(), _canonical(variants, rows, name)))
    if not kept:
        return rows.schema.empty_table()
    order = np.argsort(np.concatenate([parents for parents, _ in kept]), kind="stable")
    return pa.concat_tables([table for _, table in kept]).take(pa.array(order))


def _nearness(params: Params, raw: Path | None) -> Nearness:
    """What gives variants of rows a reason that are too far from their originals; unless the settings ask for it, nothing.

    Raises:
        AugmentError: the encoder was not downloaded.
    """
    least = params.augment.min_similarity
    if least is None:
        return lambda variants, rows: variants
    if raw is None or not (raw / ENCODER).is_dir():
        raise AugmentError(f"augment.min_similarity is {least}: the encoder is not in {raw}; run: snakemake download")
    return partial(mark_dissimilar, encoder=raw / ENCODER, least=least)


def _without_duplicates(variants: pa.Table, originals: pa.Array, seen: set[str]) -> pa.Table:
    """Give variants a reason that are empty, or equal to an original or an earlier variant; ``seen`` gets the others."""
    keys = _keys(variants["tokens"])
    repeated = pc.is_in(keys, value_set=originals).to_pylist()
    reasons = variants["reason"].to_pylist()
    for place, (reason, key, is_original) in enumerate(zip(reasons, keys.to_pylist(), repeated, strict=True)):
        if reason is not None:
            continue
        if not key.strip("\x1f"):
            reasons[place] = "empty"
        elif is_original or key in seen:
            reasons[place] = "duplicate"
        else:
            seen.add(key)
    return variants.set_column(variants.schema.get_field_index("reason"), "reason", pa.array(reasons, type=pa.string()))


def _canonical(variants: pa.Table, rows: pa.Table, method: str) -> pa.Table:
    """Variants as canonical rows: labels carried over, the parent and the method named."""
    parents = rows.take(variants["row"])
    ids = [f"{parent}~{method}~{copy}" for parent, copy in zip(parents["id"].to_pylist(), variants["copy"].to_pylist(), strict=True)]
    columns = {name: parents[name] for name in rows.schema.names}
    columns |= {name: variants[name] for name in ("tokens", "space_after", *tag_columns(rows))}
    columns |= {
        "id": pa.array(ids, type=pa.string()),
        "parent_id": parents["id"],
        "augmenter": pa.array([method] * len(ids), type=pa.string()),
    }
    return pa.table([columns[name].cast(rows.schema.field(name).type) for name in rows.schema.names], schema=rows.schema)


def _check(variants: pa.Table, rows: pa.Table, method: str) -> None:
    """Check every row that is about to be written against the promises of all augmenters.

    Raises:
        AugmentError: names the row and the promise.
    """
    ids = rows["id"].to_pylist()
    columns = tag_columns(rows)
    for row, copy, tokens, spaces, *tags in _lists(variants, ["row", "copy", "tokens", "space_after", *columns]):
        where = f"{ids[row]}~{method}~{copy}"
        if len(tokens) != len(spaces):
            raise AugmentError(f"{where}: {len(tokens)} tokens but {len(spaces)} flags of space_after")
        for name, found in zip(columns, tags, strict=True):
            before = rows[name][row].as_py()
            if (found is None) != (before is None):
                raise AugmentError(f"{where}: {name} was {'gained' if before is None else 'lost'}")
            if found is None:
                continue
            if len(found) != len(tokens) or not legal_iob2(found):
                raise AugmentError(f"{where}: {name} does not fit the tokens: {len(tokens)} tokens, tags {' '.join(found)}")
            if entities(tokens, found) != entities(rows["tokens"][row].as_py(), before):
                raise AugmentError(f"{where}: the entities of {name} are not those of {ids[row]}")


def _lists(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in columns), strict=True)


def entities(tokens: Sequence[str], tags: Sequence[str]) -> Counter[tuple[tuple[str, ...], str]]:
    """The multiset of (tokens, type) of the entities of legal IOB2 tags."""
    found: list[tuple[list[str], str]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            found.append(([token], tag[2:]))
        elif tag != "O":
            found[-1][0].append(token)
    return Counter((tuple(words), kind) for words, kind in found)


def _sample(variant: dict[str, Any], rows: pa.Table) -> dict[str, str]:
    """A dropped variant and its parent as texts."""
    parent = rows.slice(variant["row"], 1).to_pylist()[0]
    text = text_of(variant["tokens"] or [], variant["space_after"] or [])
    return {"parent": parent["id"], "original": text_of(parent["tokens"], parent["space_after"]), "variant": text}


def _check_counts(counts: dict[str, Any], methods: dict[str, AugmentMethod], written: int) -> None:
    """Check that every variant is accounted for.

    Raises:
        AugmentError: the counts do not add up.
    """
    of_methods = counts["methods"]
    for name, found in of_methods.items():
        expected = counts["rows"] * methods[name].copies
        if not found["made"] == found["kept"] + sum(found["dropped"].values()) == expected:
            raise AugmentError(f"{name}: the counts do not add up: {expected} variants expected, {found}")
    if sum(found["kept"] for found in of_methods.values()) != written:
        raise AugmentError(f"the counts do not add up: {written} rows written, {of_methods}")
