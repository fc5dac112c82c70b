"""One shard: the variants of a stretch of a dataset's train rows, checked and counted.

The train rows are cut into blocks of ``BLOCK`` rows by their number. A shard is a run of whole blocks. The variants of a block depend
on its own rows, on the texts of all original rows, and on what an augmenter learns from the whole train split. So rows are the same for
any number of shards, and the bytes of a shard are the same whether it is made by itself or beside others. Rows are read, augmented and
written one row group at a time. Memory does not grow with the dataset, but for the lists of row groups at the ends of the two files.

Each text field is augmented by itself (``mtl.augment.fields``), and a variant is a whole row. The counts, JSON in the Parquet metadata
under ``COUNTS``, add up: for each method made = kept + all dropped, made = rows × copies.
``{"rows": n, "methods": {name: {"made": n, "kept": n, "dropped": {reason: n}, "note": text or null}}}``. Samples of dropped variants,
``{method: {reason: [{"parent": id, "original": text, "variant": text}]}}``, are under ``REJECTED``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.augment.alignment import prove, prove_untouched
from mtl.augment.examples import Examples
from mtl.augment.fields import TAGS, combine, label_of, text_of_fields, view
from mtl.augment.languages import base as languages
from mtl.augment.languages.base import Language
from mtl.augment.originals import Originals, TextHashes, hash_rows
from mtl.augment.randomness import Stream, Words, draws
from mtl.augment.similarity import mark_dissimilar
from mtl.augment.variants import REASONS, Augmenter, schema_of, tag_columns
from mtl.config import AugmentMethod, Params
from mtl.config.checks import language_issues
from mtl.data.coded import Lists, plain, pruned, slices, take
from mtl.data.schema import ROW_GROUP, Writer, check, columns_of, fields_of, labels_of
from mtl.errors import AugmentError, DataError
from mtl.names import ShardName
from mtl.pipeline.stages import ENCODER
from mtl.plugins import implementation_of

BLOCK = 512  # rows
COUNTS, REJECTED = b"mtl:counts", b"mtl:rejected"
FEW = 0.1  # of the variants: a method that keeps less is no augmentation
SAMPLES = 10  # dropped variants kept for each method and reason
Mask = npt.NDArray[np.bool_]
Nearness = Callable[[pa.Table, pa.Table], pa.Table]


class _Tally:
    """Counts and samples of one method in one shard.

    Args:
        note: what the method lacks, if anything.
        fields: all text fields of the dataset.
    """

    def __init__(self, note: str | None, fields: Sequence[str]) -> None:
        self.note, self.fields = note, fields
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
                samples += [self._sample(variant, rows) for variant in variants.take(pa.array(places)).to_pylist()]

    def _sample(self, variant: dict[str, Any], rows: pa.Table) -> dict[str, str]:
        """A dropped variant and its parent as texts."""
        parent = rows.slice(variant["row"], 1).to_pylist()[0]
        original, text = (text_of_fields(row, self.fields) for row in (parent, variant))
        return {"parent": parent["id"], "original": original, "variant": text}

    def miss(self, count: int) -> None:
        """Count variants that could not be made because the engine is not there."""
        self.made += count
        self.dropped["engine missing"] += count

    def counts(self) -> dict[str, Any]:
        return {"made": self.made, "kept": self.kept, "dropped": dict(sorted(self.dropped.items())), "note": self.note}


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


def few_kept(made: int, kept: int, dropped: Mapping[str, int]) -> str | None:
    """That a method keeps less than ``FEW`` of its variants, and why, in words; None if it keeps more, or its engine is missing."""
    if kept >= FEW * made or "engine missing" in dropped:
        return None
    reason = max(dropped, key=lambda name: dropped[name])
    return f"keeps {kept} of {made} variants: most were dropped as {reason} ({REASONS.get(reason, reason)})"


def _metadata(path: Path, key: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((pq.read_metadata(path).metadata or {})[key])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DataError(f"{path}: is not a shard of augmented rows: {error}") from None
    return content


def augment_shard(params: Params, dataset: str, index: int, examples: Path, out: Path, raw: Path | None = None) -> None:
    """Make one shard.

    Args:
        params: the settings; a shard depends on ``augment``, ``seed`` and the dataset's fields and labels.
        dataset: its train rows are augmented.
        index: 0 to ``params.augment.shards`` - 1.
        examples: folder with ``<dataset>.parquet``.
        out: existing folder, gets ``<dataset>-<index>-of-<shards>.parquet``.
        raw: folder of the downloads; without it, the models of methods are fetched.

    Raises:
        AugmentError: there is no such shard, or an augmenter broke its invariant.
        DataError: the canonical table is missing or damaged.
    """
    shards = params.augment.shards
    if not 0 <= index < shards:
        raise AugmentError(f"{dataset}: there is no shard {index}; choose from: 0 to {shards - 1}")
    path = examples / f"{dataset}.parquet"
    shard = _Shard(params, dataset, path, raw)
    blocks = -(-shard.examples.train // BLOCK)
    first, last = (number * blocks // shards * BLOCK for number in (index, index + 1))
    with Writer(out / ShardName(dataset, index, shards).file, shard.schema) as file:
        for group in chain.from_iterable(map(_groups, map(shard.augment, shard.examples.train_rows(first, last)))):
            file.write(group)
            del group  # it is not kept while the next is made
        file.add_metadata(shard.metadata())
        del shard  # the file's own list of row groups takes its place


class _Shard:
    """The methods at work on one dataset, with their counts."""

    def __init__(self, params: Params, dataset: str, path: Path, raw: Path | None) -> None:
        self.examples = Examples(path, BLOCK)
        self.schema = self.examples.schema
        self.fields = fields_of(self.schema)
        self.hashes = TextHashes((self.examples.kept + 1) * len(self.fields))
        self.originals = Originals(map(self._hash, self.examples.texts()), self.examples.rows)
        self.methods = methods = params.methods_of(dataset)
        self.language = language_of(params, dataset, path.with_suffix(".json"))
        self.rows = 0
        self.tallies = {name: _Tally(self._missing(method), self.fields) for name, method in methods.items()}
        self.augmenters = {
            name: {field: self._augmenter(method, Stream(params.seed, name, field), raw) for field in params.fields_of(method, dataset)}
            for name, method in methods.items()
            if self.tallies[name].note is None
        }
        self.nearness = _nearness(params, raw)

    def _missing(self, method: AugmentMethod) -> str | None:
        missing: str | None = implementation_of(method).available(method, self.language)
        return missing

    def _augmenter(self, method: AugmentMethod, stream: Stream, raw: Path | None) -> Augmenter:
        """A method for one text field."""
        augmenter: Augmenter = implementation_of(method).for_language(self.language)(method, stream)
        augmenter.language = self.language
        augmenter.models = None if raw is None else raw / f"model.{stream.method}"
        augmenter.fit(map(partial(_plain_view, field=stream.field), self.examples.train_rows()))
        return augmenter

    def _hash(self, texts: Sequence[Lists]) -> Words:
        """Hashes of rows from the tokens of each of their fields."""
        return hash_rows([self.hashes(field) for field in texts])

    def augment(self, rows: pa.Table) -> pa.Table:
        """The kept variants of whole blocks of rows, as canonical rows sorted by parent, method and copy.

        Raises:
            AugmentError: an augmenter broke its invariant.
        """
        self.rows += len(rows)
        for name in self.methods.keys() - self.augmenters.keys():
            self.tallies[name].miss(len(rows) * self.methods[name].copies)
        views = {field: view(rows, field) for field in self.fields}
        made = self._made(views)
        reasons = self._reasons(list(made.values()))
        places, kept = [], []
        for (name, variants), reason in zip(made.items(), reasons, strict=True):
            judged = self.nearness(variants.set_column(variants.schema.get_field_index("reason"), "reason", reason), rows)
            self.tallies[name].add(judged, rows)
            judged = take(judged, np.flatnonzero(judged["reason"].is_null()))
            places.append(judged["row"].to_numpy())
            kept.append(self._canonical(name, judged, rows, views))
        return _sorted(kept, places) if kept else self.schema.empty_table()

    def _made(self, views: dict[str, pa.Table]) -> dict[str, pa.Table]:
        """All variants of whole rows, by method (``mtl.augment.fields.combine``)."""
        used = {(field, augmenter.coded) for fields in self.augmenters.values() for field, augmenter in fields.items()}
        rows = {(field, coded): views[field] if coded else plain(views[field]) for field, coded in used}
        return {
            name: combine({field: _variants(augmenter, rows[field, augmenter.coded]) for field, augmenter in fields.items()}, views)
            for name, fields in self.augmenters.items()
        }

    def _reasons(self, made: Sequence[pa.Table]) -> list[pa.ChunkedArray]:
        """The reasons of variants of whole blocks, completed for those that equal an original or an earlier variant of their block."""
        reasons = [variants["reason"] for variants in made]
        ends = np.cumsum([len(variants) for variants in made])
        repeated = np.zeros(sum(map(len, made)), dtype=bool)
        places = np.flatnonzero(np.concatenate([repeated[:0], *(of_method.is_null() for of_method in reasons)]))
        texts = ([Lists.of(variants[columns_of(field)[0]]) for field in self.fields] for variants in made)
        keys = np.concatenate([np.zeros(0, dtype=np.uint64), *map(self._hash, texts)])[places]
        blocks = np.concatenate([places[:0], *(variants["row"].to_numpy() for variants in made)])[places] // BLOCK
        repeated[places] = self.originals.contain(keys) | _later(draws(keys, 0, blocks))
        masks = np.split(repeated, ends[:-1])
        return [_reason(of_method, mask, "duplicate") for mask, of_method in zip(masks, reasons, strict=False)]

    def _canonical(self, name: str, variants: pa.Table, rows: pa.Table, views: dict[str, pa.Table]) -> pa.Table:
        """Kept variants of a method as canonical rows: labels carried over, parent and method named, alignment proved.

        Raises:
            AugmentError: names the row and the invariant that it breaks.
        """
        places = variants["row"].to_numpy()
        columns = _carried(take(rows.select(_carried_columns(self.schema)), places), variants, name)
        labels = labels_of(self.schema)
        for field, of_field in views.items():
            columns |= {column: variants[column] for column in columns_of(field)}
            for label in tag_columns(of_field):
                tags = variants[label]
                columns[label] = tags if labels[label] == TAGS else label_of(tags, columns[label], labels[label], columns["id"].to_pylist())
        canonical = pa.table([columns[column.name].cast(column.type) for column in self.schema], schema=self.schema)
        _check(canonical)
        for field, of_field in views.items():
            self._prove(name, field, _renamed(variants.append_column("id", columns["id"]), field, of_field), of_field, places)
        return canonical

    def _prove(self, name: str, field: str, variants: pa.Table, of_field: pa.Table, places: npt.NDArray[np.int64]) -> None:
        """Compare a field of a method's variants with that of the rows that they were made from."""
        augmenter = self.augmenters[name].get(field)
        if augmenter is None:
            prove_untouched(variants, take(of_field.drop_columns(["id"]), places), field)
        elif tag_columns(of_field):
            prove(variants, take(of_field.drop_columns(["id", "space_after"]), places), augmenter.invariant)

    def metadata(self) -> dict[bytes, bytes]:
        """Counts and samples.

        Raises:
            AugmentError: a variant is not accounted for.
        """
        counts: dict[str, Any] = {"rows": self.rows, "methods": {name: tally.counts() for name, tally in self.tallies.items()}}
        for name, tally in counts["methods"].items():
            expected = self.rows * self.methods[name].copies
            if not tally["made"] == tally["kept"] + sum(tally["dropped"].values()) == expected:
                raise AugmentError(f"{name}: the counts do not add up: {expected} variants expected, {tally}")
        return {COUNTS: _json(counts), REJECTED: _json({name: tally.samples for name, tally in self.tallies.items()})}


def language_of(params: Params, dataset: str, card: Path) -> Language:
    """The language of a dataset: the given one, or the one in its data card. English where there is none.

    Raises:
        AugmentError: a method does not know it.
    """
    tag = params.datasets[dataset].language
    if tag is None and card.exists():
        tag = json.loads(card.read_text(encoding="utf-8")).get("language", {}).get("tag")
    own = params.model_copy(update={"datasets": {dataset: params.datasets[dataset]}})
    if issues := language_issues(own, {dataset: tag} if tag else {}):
        raise AugmentError("\n".join(f"{issue.key}: {issue.message}" for issue in issues))
    return languages.of(tag) or Language(tag or "und")


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def _sorted(tables: Sequence[pa.Table], parents: Sequence[npt.NDArray[np.int64]]) -> pa.Table:
    """Tables as one, sorted by parent; rows of one parent keep the order of the tables, and within a table their own."""
    order = np.argsort(np.concatenate(parents), kind="stable")
    return pa.concat_tables(tables).combine_chunks().take(pa.array(order)) if (np.diff(order) < 0).any() else pa.concat_tables(tables)


def _groups(table: pa.Table) -> Iterator[pa.Table]:
    """A table cut into groups of up to ``ROW_GROUP`` rows."""
    return map(pruned, slices(table, ROW_GROUP))


def _plain_view(rows: pa.Table, field: str) -> pa.Table:
    return plain(view(rows, field))


def _variants(augmenter: Augmenter, rows: pa.Table) -> pa.Table:
    """What an augmenter makes of a field of whole blocks of rows, coded; blank texts are dropped.

    Raises:
        AugmentError: it is not a table of one variant for each row and copy.
    """
    if augmenter.together:
        blocks = []
        for start in range(0, len(rows), BLOCK):
            made = _checked(augmenter, rows.slice(start, BLOCK).combine_chunks())
            blocks.append(made.set_column(0, "row", pc.add(made["row"], start)))
        variants = pa.concat_tables(blocks).combine_chunks()
    else:
        variants = _checked(augmenter, rows)
    blank = Lists.of(variants["tokens"]).blank() & variants["reason"].is_null().to_numpy()
    return variants.set_column(variants.schema.get_field_index("reason"), "reason", _reason(variants["reason"], blank, "empty"))


def _checked(augmenter: Augmenter, rows: pa.Table) -> pa.Table:
    """The variants that an augmenter makes, coded, if there is one for each row and copy, sorted by copy, then row."""
    name, copies = f"{augmenter.stream.method}: {type(augmenter).__name__}", augmenter.spec.copies
    made = augmenter.augment(rows)
    try:
        made = made.cast(schema_of(tag_columns(rows), coded=True))
    except (ValueError, pa.ArrowNotImplementedError) as error:  # pa.ArrowInvalid is a ValueError
        raise AugmentError(f"{name} does not return a table of variants: {error}") from error
    order = {"row": np.tile(np.arange(len(rows)), copies), "copy": np.repeat(np.arange(copies), len(rows))}
    if not all(np.array_equal(made[column].to_numpy(), numbers) for column, numbers in order.items()):
        raise AugmentError(f"{name} does not return one variant for each row and copy, sorted by copy, then row")
    return made


def _nearness(params: Params, raw: Path | None) -> Nearness:
    """The filter by similarity of ``augment.min_similarity``; without it, one that keeps all variants.

    Raises:
        AugmentError: the encoder was not downloaded.
    """
    least = params.augment.min_similarity
    if least is None:
        return lambda variants, rows: variants
    if raw is None or not (raw / ENCODER).is_dir():
        raise AugmentError(f"augment.min_similarity is {least}: the encoder is not in {raw}; run: snakemake download")
    return partial(mark_dissimilar, encoder=raw / ENCODER, least=least)


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


def _check(canonical: pa.Table) -> None:
    try:
        check(canonical, "augmented rows")
    except DataError as error:
        raise AugmentError(str(error)) from None


def _carried_columns(schema: pa.Schema) -> list[str]:
    """The columns of rows that their variants carry over, or are made from: all but texts and tags."""
    labels = labels_of(schema)
    texts = {column for field in fields_of(schema) for column in columns_of(field)}
    return [name for name in schema.names if name not in texts and labels.get(name) != TAGS]


def _carried(parents: pa.Table, variants: pa.Table, method: str) -> dict[str, pa.ChunkedArray]:
    """Columns of variants: those carried over, ids, and where they come from."""
    return {
        **dict(zip(parents.schema.names, parents.columns, strict=True)),
        "id": pc.binary_join_element_wise(parents["id"], method, variants["copy"].cast(pa.string()), "~"),
        "parent_id": parents["id"],
        "augmenter": pa.DictionaryArray.from_arrays(np.zeros(len(variants), dtype=np.int32), [method]),
    }


def _renamed(variants: pa.Table, field: str, of_field: pa.Table) -> pa.Table:
    """A field of variants of whole rows, with the names and the schema's metadata of the field's view."""
    names = dict(zip(("tokens", "space_after"), columns_of(field), strict=True))
    columns = {name: variants[names.get(name, name)] for name in of_field.schema.names}
    return pa.table(columns).replace_schema_metadata(of_field.schema.metadata)
