"""One shard: the variants of a stretch of a data set's train rows, checked and counted.

The train rows are cut into blocks of ``BLOCK`` rows by their number. A shard is a run of whole blocks, and nothing outside a block
bears on its variants, but the texts of the originals and what an augmenter learns from the whole train split. So rows are the same for
any number of shards, and a shard's bytes the same whether it is made alone or beside others. Rows are read, augmented and written
``CHUNK`` at a time: memory does not grow with the data set.

The counts, JSON in the Parquet metadata under ``COUNTS``, add up: for each method made = kept + all dropped, made = rows × copies.
``{"rows": n, "methods": {name: {"made": n, "kept": n, "dropped": {reason: n}, "note": text or null}}}``. Samples of dropped variants,
``{method: {reason: [{"parent": id, "original": text, "variant": text}]}}``, are under ``REJECTED``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.augment import AUGMENTERS, Augmenter
from mtl.augment.alignment import prove
from mtl.augment.originals import Originals, joined
from mtl.augment.randomness import Stream, draws, hash_strings
from mtl.augment.similarity import mark_dissimilar
from mtl.augment.variants import schema_of, tag_columns
from mtl.data.schema import Writer, read_parts, text_of
from mtl.errors import AugmentError, DataError
from mtl.params import Params
from mtl.pipeline.milestones import ENCODER

BLOCK = 512  # rows
CHUNK = 16 * BLOCK
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
        """Count the variants of some rows."""
        self.made += len(variants)
        for reason, count in ((item["values"], item["counts"]) for item in variants["reason"].value_counts().to_pylist()):
            if reason is None:
                self.kept += count
                continue
            self.dropped[reason] += count
            samples = self.samples.setdefault(reason, [])
            if len(samples) < SAMPLES:
                of_reason = variants.filter(pc.equal(variants["reason"], reason)).slice(0, SAMPLES - len(samples))
                samples += [_sample(variant, rows) for variant in of_reason.to_pylist()]

    def miss(self, count: int) -> None:
        """Count variants that could not be made because the engine is not there."""
        self.made += count
        self.dropped["engine missing"] += count

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
        content: dict[str, Any] = json.loads((pq.read_metadata(path).metadata or {})[key])
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
    path = examples / f"{dataset}.parquet"
    shard = _Shard(params, dataset, path, raw)
    blocks = -(-shard.train // BLOCK)
    first, last = (number * blocks // shards * BLOCK for number in (index, index + 1))
    with Writer(out / file_name(dataset, index, shards), shard.schema) as file:
        for rows in _train_rows(path, first, min(last, shard.train)):
            file.write(shard.augment(rows))
        file.add_metadata(shard.metadata())


class _Shard:
    """The methods at work on one data set, and what was counted of them."""

    def __init__(self, params: Params, dataset: str, path: Path, raw: Path | None) -> None:
        self.schema, self.train, self.originals = _survey(path)
        self.methods = methods = params.methods_of(dataset)
        self.rows = 0
        self.tallies = {name: _Tally(AUGMENTERS[spec.type].available(spec)) for name, spec in methods.items()}
        self.augmenters: dict[str, Augmenter] = {
            name: AUGMENTERS[spec.type](spec, Stream(params.seed, name))
            for name, spec in methods.items()
            if self.tallies[name].note is None
        }
        self.nearness = _nearness(params, raw)
        for name, augmenter in self.augmenters.items():
            augmenter.models = None if raw is None else raw / f"model.{name}"
            augmenter.fit(_train_rows(path, 0, self.train))

    def augment(self, rows: pa.Table) -> pa.Table:
        """The variants of whole blocks of rows that are kept, as canonical rows sorted by parent, method and copy.

        Raises:
            AugmentError: an augmenter broke a promise.
        """
        self.rows += len(rows)
        for name in self.methods.keys() - self.augmenters.keys():
            self.tallies[name].miss(len(rows) * self.methods[name].copies)
        made = {name: _variants(augmenter, rows) for name, augmenter in self.augmenters.items()}
        every = _judged(pa.concat_tables([schema_of(tag_columns(rows)).empty_table(), *made.values()]), self.originals)
        parents, kept, start = [np.zeros(0, dtype=np.int64)], [self.schema.empty_table()], 0
        for name, variants in made.items():
            judged = self.nearness(every.slice(start, len(variants)), rows)
            start += len(variants)
            self.tallies[name].add(judged, rows)
            judged = judged.filter(pc.is_null(judged["reason"]))
            of_rows = rows.take(judged["row"])
            canonical = _canonical(judged, of_rows, name)
            prove(canonical, of_rows, self.augmenters[name].promise)
            parents.append(judged["row"].to_numpy())
            kept.append(canonical)
        order = np.argsort(np.concatenate(parents), kind="stable")
        table = pa.concat_tables(kept)
        return table.take(pa.array(order)) if (np.diff(order) < 0).any() else table

    def metadata(self) -> dict[bytes, bytes]:
        """Counts and samples.

        Raises:
            AugmentError: a variant is not accounted for.
        """
        counts: dict[str, Any] = {"rows": self.rows, "methods": {name: tally.counts() for name, tally in self.tallies.items()}}
        for name, found in counts["methods"].items():
            expected = self.rows * self.methods[name].copies
            if not found["made"] == found["kept"] + sum(found["dropped"].values()) == expected:
                raise AugmentError(f"{name}: the counts do not add up: {expected} variants expected, {found}")
        return {COUNTS: _json(counts), REJECTED: _json({name: tally.samples for name, tally in self.tallies.items()})}


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def _survey(path: Path) -> tuple[pa.Schema, int, Originals]:
    """The schema of a canonical table, the number of its train rows, and the texts of all its rows."""
    try:
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None
    train = 0

    def tokens() -> Iterator[pa.ChunkedArray]:
        nonlocal train
        for part in read_parts(path, CHUNK, ["split", "tokens"]):
            train += pc.sum(pc.equal(part["split"], "train")).as_py()
            yield part["tokens"]

    originals = Originals(tokens(), rows)
    return schema, train, originals


def _train_rows(path: Path, first: int, last: int) -> Iterator[pa.Table]:
    """The train rows number ``first`` to ``last`` - 1, ``CHUNK`` at a time."""
    place, waiting = 0, None
    for part in read_parts(path, CHUNK):
        rows = part.filter(pc.equal(part["split"], "train"))
        wanted = rows.slice(max(first - place, 0), max(last - max(first, place), 0))
        place += len(rows)
        waiting = pa.concat_tables([waiting, wanted]) if waiting else wanted
        while len(waiting) >= CHUNK:
            yield waiting.slice(0, CHUNK).combine_chunks()
            waiting = waiting.slice(CHUNK)
        if place >= last:
            break
    if waiting:
        yield waiting.combine_chunks()


def _variants(augmenter: Augmenter, rows: pa.Table) -> pa.Table:
    """What an augmenter makes of whole blocks of rows."""
    if not augmenter.together:
        return augmenter.augment(rows)
    blocks = []
    for start in range(0, len(rows), BLOCK):
        made = augmenter.augment(rows.slice(start, BLOCK).combine_chunks())
        blocks.append(made.set_column(0, "row", pc.add(made["row"], start)))
    return pa.concat_tables(blocks)


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


def _judged(variants: pa.Table, originals: Originals) -> pa.Table:
    """Variants of whole blocks, with a reason for those that are empty, or equal to an original or an earlier variant of their block."""
    texts = joined(variants["tokens"])
    letters = pc.subtract(pc.binary_length(texts), pc.subtract(pc.list_value_length(variants["tokens"]), 1))
    reasons = pc.if_else(pc.and_(pc.is_null(variants["reason"]), pc.less_equal(letters, 0)), "empty", variants["reason"])
    places = np.flatnonzero(reasons.is_null().to_numpy())
    keys = hash_strings(texts.take(pa.array(places)))
    blocks = variants["row"].to_numpy()[places] // BLOCK
    repeated = originals.contain(keys)
    fresh = np.flatnonzero(~repeated)
    _, first = np.unique(draws(keys, 0, blocks)[fresh], return_index=True)
    repeated[np.delete(fresh, first)] = True
    mask = np.zeros(len(variants), dtype=bool)
    mask[places[repeated]] = True
    reasons = pc.if_else(pa.array(mask), "duplicate", reasons)
    return variants.set_column(variants.schema.get_field_index("reason"), "reason", reasons)


def _canonical(variants: pa.Table, parents: pa.Table, method: str) -> pa.Table:
    """Variants as canonical rows: labels carried over, the parent and the method named."""
    columns = {name: parents[name] for name in parents.schema.names}
    columns |= {name: variants[name] for name in ("tokens", "space_after", *tag_columns(parents))}
    columns |= {
        "id": pc.binary_join_element_wise(parents["id"], method, variants["copy"].cast(pa.string()), "~"),
        "parent_id": parents["id"],
        "augmenter": pa.array([method] * len(variants), type=pa.string()),
    }
    return pa.table([columns[name].cast(parents.schema.field(name).type) for name in parents.schema.names], schema=parents.schema)


def _sample(variant: dict[str, Any], rows: pa.Table) -> dict[str, str]:
    """A dropped variant and its parent as texts."""
    parent = rows.slice(variant["row"], 1).to_pylist()[0]
    text = text_of(variant["tokens"] or [], variant["space_after"] or [])
    return {"parent": parent["id"], "original": text_of(parent["tokens"], parent["space_after"]), "variant": text}
