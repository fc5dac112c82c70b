"""One shard: the variants of a stretch of a dataset's train rows, checked and counted.

The train rows are cut into blocks of ``BLOCK`` rows by their number. A shard is a run of whole blocks, and nothing outside a block
bears on its variants, but the texts of the originals and what an augmenter learns from the whole train split. So rows are the same for
any number of shards, and a shard's bytes the same whether it is made alone or beside others. Rows are read, augmented and written
a row group at a time: of what memory holds, only the lists of row groups that stand at the ends of the two files grow with the dataset.

The counts, JSON in the Parquet metadata under ``COUNTS``, add up: for each method made = kept + all dropped, made = rows × copies.
``{"rows": n, "methods": {name: {"made": n, "kept": n, "dropped": {reason: n}, "note": text or null}}}``. Samples of dropped variants,
``{method: {reason: [{"parent": id, "original": text, "variant": text}]}}``, are under ``REJECTED``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.augment.alignment import prove
from mtl.augment.examples import Examples
from mtl.augment.originals import Originals, TextHashes
from mtl.augment.randomness import Stream, Words, draws
from mtl.augment.similarity import mark_dissimilar
from mtl.augment.variants import Augmenter, schema_of, tag_columns
from mtl.config import Params
from mtl.data.coded import Lists, plain, pruned, slices, take
from mtl.data.schema import ROW_GROUP, Writer, text_of
from mtl.errors import AugmentError, DataError
from mtl.pipeline.stages import ENCODER
from mtl.plugins import implementation_of

BLOCK = 512  # rows
COUNTS, REJECTED = b"mtl:counts", b"mtl:rejected"
SAMPLES = 10  # dropped variants kept for each method and reason
Mask = npt.NDArray[np.bool_]
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
        self.kept += variants["reason"].null_count
        for reason, count in ((item["values"], item["counts"]) for item in variants["reason"].drop_null().value_counts().to_pylist()):
            self.dropped[reason] += count
            samples = self.samples.setdefault(reason, [])
            if len(samples) < SAMPLES:
                places = np.flatnonzero(pc.equal(variants["reason"], reason).fill_null(False).to_numpy())[: SAMPLES - len(samples)]
                samples += [_sample(variant, rows) for variant in variants.take(pa.array(places)).to_pylist()]

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
        AugmentError: there is no such shard, or an augmenter broke a invariant.
        DataError: the canonical table is missing or damaged.
    """
    shards = params.augment.shards
    if not 0 <= index < shards:
        raise AugmentError(f"{dataset}: there is no shard {index}; choose from: 0 to {shards - 1}")
    path = examples / f"{dataset}.parquet"
    shard = _Shard(params, dataset, path, raw)
    blocks = -(-shard.examples.train // BLOCK)
    first, last = (number * blocks // shards * BLOCK for number in (index, index + 1))
    with Writer(out / file_name(dataset, index, shards), shard.schema) as file:
        for group in chain.from_iterable(map(_groups, map(shard.augment, shard.examples.train_rows(first, last)))):
            file.write(group)
            del group  # it is not kept while the next is made
        file.add_metadata(shard.metadata())
        del shard  # the file's own list of row groups takes its place


class _Shard:
    """The methods at work on one dataset, and what was counted of them."""

    def __init__(self, params: Params, dataset: str, path: Path, raw: Path | None) -> None:
        self.examples = Examples(path, BLOCK)
        self.schema = self.examples.schema
        self.hashes = TextHashes(self.examples.kept + 1)
        self.originals = Originals(map(self.hashes, self.examples.texts()), self.examples.rows)
        self.methods = methods = params.methods_of(dataset)
        self.rows = 0
        self.tallies = {name: _Tally(implementation_of(spec).available(spec)) for name, spec in methods.items()}
        self.augmenters: dict[str, Augmenter] = {
            name: implementation_of(spec)(spec, Stream(params.seed, name))
            for name, spec in methods.items()
            if self.tallies[name].note is None
        }
        self.nearness = _nearness(params, raw)
        for name, augmenter in self.augmenters.items():
            augmenter.models = None if raw is None else raw / f"model.{name}"
            augmenter.fit(map(plain, self.examples.train_rows()))

    def augment(self, rows: pa.Table) -> pa.Table:
        """The variants of whole blocks of rows that are kept, as canonical rows sorted by parent, method and copy.

        Raises:
            AugmentError: an augmenter broke a invariant.
        """
        self.rows += len(rows)
        for name in self.methods.keys() - self.augmenters.keys():
            self.tallies[name].miss(len(rows) * self.methods[name].copies)
        given = {codes: rows if codes else plain(rows) for codes in {augmenter.coded for augmenter in self.augmenters.values()}}
        made = {name: _variants(augmenter, given[augmenter.coded]) for name, augmenter in self.augmenters.items()}
        reasons = _reasons(list(made.values()), self.originals, self.hashes)
        parents, kept = [], []
        for (name, variants), reason in zip(made.items(), reasons, strict=True):
            judged = self.nearness(variants.set_column(variants.schema.get_field_index("reason"), "reason", reason), rows)
            self.tallies[name].add(judged, rows)
            judged = take(judged, np.flatnonzero(judged["reason"].is_null()))
            of_rows = take(_parents(rows), judged["row"].to_numpy())
            canonical = _canonical(judged, of_rows, name, self.schema)
            prove(canonical, of_rows, self.augmenters[name].invariant)
            parents.append(judged["row"].to_numpy())
            kept.append(canonical)
        return _sorted(kept, parents) if kept else self.schema.empty_table()

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


def _sorted(tables: Sequence[pa.Table], parents: Sequence[npt.NDArray[np.int64]]) -> pa.Table:
    """Tables as one, sorted by the rows' parents; the order of tables, and of rows in each, tells rows of one parent apart."""
    order = np.argsort(np.concatenate(parents), kind="stable")
    return pa.concat_tables(tables).combine_chunks().take(pa.array(order)) if (np.diff(order) < 0).any() else pa.concat_tables(tables)


def _groups(table: pa.Table) -> Iterator[pa.Table]:
    """A table cut into groups of up to ``ROW_GROUP`` rows."""
    return map(pruned, slices(table, ROW_GROUP))


def _variants(augmenter: Augmenter, rows: pa.Table) -> pa.Table:
    """What an augmenter makes of whole blocks of rows, coded."""
    schema = schema_of(tag_columns(rows), coded=True)
    if not augmenter.together:
        return augmenter.augment(rows).cast(schema)
    blocks = []
    for start in range(0, len(rows), BLOCK):
        made = augmenter.augment(rows.slice(start, BLOCK).combine_chunks())
        blocks.append(made.set_column(0, "row", pc.add(made["row"], start)))
    return pa.concat_tables(blocks).cast(schema).combine_chunks()


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


def _reasons(made: Sequence[pa.Table], originals: Originals, hashes: TextHashes) -> list[pa.ChunkedArray]:
    """The reasons of variants of whole blocks, with one for those that are empty, equal to an original or to one before in their block."""
    texts = [Lists.of(variants["tokens"]) for variants in made]
    reasons = [
        _reason(variants["reason"], tokens.blank() & variants["reason"].is_null().to_numpy(), "empty")
        for variants, tokens in zip(made, texts, strict=True)
    ]
    ends = np.cumsum([len(variants) for variants in made])
    repeated = np.zeros(sum(map(len, made)), dtype=bool)
    places = np.flatnonzero(np.concatenate([repeated[:0], *(of_method.is_null() for of_method in reasons)]))
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *map(hashes, texts)])[places]
    blocks = np.concatenate([places[:0], *(variants["row"].to_numpy() for variants in made)])[places] // BLOCK
    repeated[places] = originals.contain(keys) | _later(draws(keys, 0, blocks))
    masks = np.split(repeated, ends[:-1])
    return [_reason(of_method, mask, "duplicate") for mask, of_method in zip(masks, reasons, strict=False)]


def _reason(reasons: pa.ChunkedArray, mask: Mask, reason: str) -> pa.ChunkedArray:
    """Reasons with this one where the mask is."""
    return pc.if_else(pa.array(mask), reason, reasons) if mask.any() else reasons


def _later(keys: Words) -> Mask:
    """Whether each key stood before already."""
    ordered, later = np.sort(keys), np.zeros(len(keys), dtype=bool)
    if (ordered[1:] == ordered[:-1]).any():
        later[:] = True
        later[np.unique(keys, return_index=True)[1]] = False
    return later


def _parents(rows: pa.Table) -> pa.Table:
    """What of rows is carried over to their variants, and what the proof compares."""
    return rows.drop_columns(["space_after"] if tag_columns(rows) else ["space_after", "tokens"])


def _canonical(variants: pa.Table, parents: pa.Table, method: str, schema: pa.Schema) -> pa.Table:
    """Variants as canonical rows: labels carried over, the parent and the method named."""
    columns = {name: parents[name] for name in parents.schema.names}
    columns |= {name: variants[name] for name in ("tokens", "space_after", *tag_columns(parents))}
    columns |= {
        "id": pc.binary_join_element_wise(parents["id"], method, variants["copy"].cast(pa.string()), "~"),
        "parent_id": parents["id"],
        "augmenter": pa.DictionaryArray.from_arrays(np.zeros(len(variants), dtype=np.int32), [method]),
    }
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)


def _sample(variant: dict[str, Any], rows: pa.Table) -> dict[str, str]:
    """A dropped variant and its parent as texts."""
    parent = rows.slice(variant["row"], 1).to_pylist()[0]
    text = text_of(variant["tokens"] or [], variant["space_after"] or [])
    return {"parent": parent["id"], "original": text_of(parent["tokens"], parent["space_after"]), "variant": text}
