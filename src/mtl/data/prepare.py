"""From raw files to examples: read, check, label, split, and write the canonical table with its data card.

White space is normalised in texts that are not tokenised: every run of it (line ends and tabs included) becomes one space, and none is
left at the ends. Their tokens are the parts between spaces, so ``mtl.data.schema.text_of`` returns the normalised text exactly.

Rows are read once, to a scratch file beside the table; only arrays of numbers grow with the rows (``mtl.data.scan``).
"""

import html
import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from mtl.config import SPLITS, Dataset, Fractions, Params, Split, is_pattern
from mtl.data import card, class_names, schema
from mtl.data.assignment import assign_all, groups_of, leaked, repeats_others, superseded
from mtl.data.examples import Counts, Example
from mtl.data.labels import LabelType, reader_of
from mtl.data.labels.base import class_name, is_empty
from mtl.data.language import guess
from mtl.data.marks import Ranges, marked_tokens
from mtl.data.matching import SAMPLE, Match, match, spaceless
from mtl.data.readers import Malformed, Row, read
from mtl.data.scan import Scan, scan, table_schema, write
from mtl.data.segmentation import segmenter
from mtl.data.spacing import spaces_after
from mtl.errors import DataError
from mtl.files import write_json

_BLANKS = re.compile(r"[ \t\r\n]+")
LEFT_OUT = -1
"""In place of a split, for rows that are left out."""
SAMPLES = 10
"""Malformed rows that are kept for the data card and for the error message."""
PEEKED = 200
"""Rows that tell whether the script of raw texts puts spaces between words."""
JUDGED = 200
"""Rows by which the language is guessed, at most."""
REPRODUCED = 0.98
"""Share of given tokens that the segmentation of new texts should reproduce."""


def prepare(params: Params, dataset: str, raw: Path, out: Path) -> list[str]:
    """Write ``<dataset>.parquet`` (the canonical table, all splits) and ``<dataset>.json`` (its data card) to ``out``.

    Returns the warnings, which are in the data card too.

    Malformed rows and rows without any label are counted and left out; the latter stay where a task with consistency learns from them, as
    train rows. Ids are ``<source>-<number>``: the row's number in its source,
    from 1. Rows that are left out count too, so ids do not depend on them.

    Args:
        params: all settings.
        dataset: the dataset's name.
        raw: a folder with one folder per source. Beside it lie those of the datasets that it is compared with.
        out: an existing folder.

    Raises:
        DataError: a file cannot be read as declared, too many rows are malformed, or a split has no rows.
    """
    settings, table = _with_segmentation(params.datasets[dataset], raw), out / f"{dataset}.parquet"
    unlabelled = params.keeps_unlabelled(dataset)
    counts = Counts({}, {}, {}, [], [], {})
    with TemporaryDirectory(dir=out) as scratch:
        scans = {dataset: _scan(params, dataset, raw, counts, Path(scratch), keep=True, unlabelled=unlabelled)}
        _check_malformed(dataset, settings, counts)
        if not settings.incoming:
            _check_labels(dataset, settings, scans[dataset], counts)
        for name in params.compared_with(dataset):
            scans[name] = _scan(params, name, raw.parent / name, Counts({}, {}, {}, [], [], {}), Path(scratch), keep=False)
        splits = assign_all({name: params.datasets[name] for name in scans}, scans, params.seed)
        if settings.incoming:
            repeated = repeats_others(dataset, scans, splits) | superseded(scans[dataset])
            splits[dataset][repeated] = LEFT_OUT
            counts.dropped.update(repeated=int(repeated.sum()))
        splits[dataset][scans[dataset].unlabelled & (splits[dataset] > 0)] = LEFT_OUT
        if settings.drop_leaked or settings.incoming or unlabelled:
            train, found = leaked(dataset, scans, splits)
            dropped = settings.drop_leaked or bool(settings.incoming) or scans[dataset].unlabelled[train]
            splits[dataset][train[(found.others >= 0) & dropped]] = LEFT_OUT
            counts.dropped.update(exact=int((found.exact & dropped).sum()), near=int((found.near & dropped).sum()))
        rows = {split: np.flatnonzero(splits[dataset] == code) for code, split in enumerate(SPLITS)}
        kept = card.Kept(scans[dataset], rows, table)
        _check_splits(dataset, settings, kept)
        segmentation = _matched(settings, kept)
        write(kept.scan.rows, list(rows.values()), table, table_schema(settings, segmentation.name))
        labels = card.labels_of(settings, kept)
        counts.warnings.extend(class_names.warnings(settings, labels, _first(kept)))
        counts.warnings.extend(_segmentation_warnings(settings, segmentation))
        write_json(
            out / f"{dataset}.json",
            card.make(dataset, settings, kept, labels, segmentation, _guessed(settings, kept), counts),
            sort_keys=False,
        )
    return counts.warnings


def row_groups(params: Params, dataset: str, raw: Path) -> dict[str, str]:
    """What the rows of a dataset are grouped by, by their ids; empty if its settings name no such column.

    Args:
        raw: a folder with one folder per source.
    """
    settings, counts = params.datasets[dataset], Counts({}, {}, {}, [], [], {})
    if settings.split is None or settings.split.column is None:
        return {}
    settings = _with_segmentation(settings, raw)
    examples = (example for name in settings.sources for example in _examples(settings, name, raw / name, counts))
    return {example.id: example.group for example in examples if example.group is not None}


def _with_segmentation(settings: Dataset, raw: Path) -> Dataset:
    """The settings with the segmentation of raw texts, which their first rows decide where none is named."""
    if settings.given_tokens or settings.segmentation:
        return settings
    (source, spec), *_ = settings.sources.items()
    columns = list(settings.fields.values())
    rows = read(raw / source, settings.reader, settings.encodings, columns, lambda text: None, several=is_pattern(spec.url))
    values = [row.values.get(column) for row in islice(rows, PEEKED) if isinstance(row, Row) for column in columns]
    words = not _counts_tokens(settings) and spaceless(text for text in values if isinstance(text, str))
    return settings.model_copy(update={"segmentation": "words" if words else "spaces"})


def _counts_tokens(settings: Dataset) -> bool:
    """Whether labels count the source's own tokens."""
    return not settings.marks and any(label.positional for label in settings.labels.values())


def _matched(settings: Dataset, kept: card.Kept) -> Match:
    """The segmentation of new texts: that of the raw texts, or the one that reproduces the given tokens best."""
    if settings.segmentation and not settings.given_tokens:
        return Match(settings.segmentation, {}, 0)
    return match(_sampled(settings, kept, SAMPLE), settings.segmentation)


def _guessed(settings: Dataset, kept: card.Kept) -> str | None:
    """The language of the texts, where the settings do not give it."""
    if settings.language:
        return None
    return guess(schema.text_of(*row) for row in _sampled(settings, kept, JUDGED))


def _sampled(settings: Dataset, kept: card.Kept, limit: int) -> list[tuple[list[str], list[bool]]]:
    """Tokens and spaces of the texts of rows at equal distances."""
    sample = np.sort(kept.order[:: -(-len(kept.order) // limit)])
    tables = [table for _, table in kept.scan.rows.read(sample)]
    columns = [schema.columns_of(field) for field in settings.fields]
    return [row for names in columns for table in tables for row in zip(*(table[name].to_pylist() for name in names), strict=True)]


def _segmentation_warnings(settings: Dataset, found: Match) -> Iterator[str]:
    if found.shares and found.shares[found.name] < REPRODUCED and _counts_tokens(settings):
        yield (
            f"the segmentation of new texts, {found.name}, reproduces {found.shares[found.name]:.1%} of the tokens: "
            "compare the scores on raw text in the report"
        )


def _scan(params: Params, dataset: str, raw: Path, counts: Counts, scratch: Path, *, keep: bool, unlabelled: bool = False) -> Scan:
    """All labelled rows of a dataset in the order of its sources, and those without a label on request."""
    settings = _with_segmentation(params.datasets[dataset], raw)
    examples = (example for name in settings.sources for example in _examples(settings, name, raw / name, counts, unlabelled=unlabelled))
    return scan(settings, examples, params.seed, scratch / dataset, keep=keep)


def _first(kept: card.Kept) -> list[Example]:
    """The kept rows that are the first of their source, in the order of the table."""
    order, first = kept.order, kept.scan.first
    return [first[number] for number in order[np.isin(order, list(first))].tolist()]


def _examples(settings: Dataset, source: str, folder: Path, counts: Counts, *, unlabelled: bool = False) -> Iterator[Example]:
    """The examples of one source; counts the rows that are left out. Rows without any label, on request, are train rows where shares assign
    the others, unless these keep the rows of a column's values together."""
    counts.read[source] = counts.malformed[source] = counts.unlabelled[source] = 0
    columns = columns_of(settings)
    readers = {name: reader_of(label) for name, label in settings.labels.items()}
    several = is_pattern(settings.sources[source].url)
    rows = read(folder, settings.reader, settings.encodings, columns, partial(_warn, counts, source), several=several)
    for number, row in enumerate(rows, start=1):
        counts.read[source] += 1
        example = example_of(settings, readers, source, number, row)
        if isinstance(example, Malformed):
            _count_malformed(counts, source, example)
        elif any(value is not None for value in example.labels.values()):
            yield example
        else:
            counts.unlabelled[source] += 1
            if unlabelled:
                grouped = settings.split is not None and settings.split.column is not None
                yield example if example.split or grouped else example._replace(split="train")


def _warn(counts: Counts, source: str, text: str) -> None:
    counts.warnings.append(f"source {source}: {text}")


def columns_of(settings: Dataset) -> list[str]:
    """The columns to read: those of text fields, labels and offsets, and the one that rows are grouped by."""
    group = settings.split.column if settings.split else None
    labels = (name for label in settings.labels.values() for name in label.columns if name not in settings.marks)
    return list(dict.fromkeys([*settings.fields.values(), *labels, *settings.offset_columns, *([group] if group else [])]))


def example_of(settings: Dataset, readers: Mapping[str, LabelType], source: str, number: int, row: Row | Malformed) -> Example | Malformed:
    """A row with its tokens and labels, or why it is malformed.

    Args:
        settings: the dataset.
        readers: of its labels, by name.
        source: name of the row's source.
        number: of the row in its source, from 1.
        row: as read.
    """
    if isinstance(row, Malformed):
        return row
    try:
        texts, ranges = _texts(row.values, settings)
        fields = {field: tokens for field, (tokens, _) in texts.items()}
        labels = {}
        for name, reader in readers.items():
            field = settings.field_of(name)
            labels[name] = reader.label_of({**row.values, **ranges}, fields[field], _raw(row.values.get(settings.fields[field])))
        for column, value in (*zip(settings.fields.values(), fields.values(), strict=True), *labels.items()):
            _check_unicode(column, value)
        group = _group(row.values, settings.split)
    except ValueError as error:
        return Malformed(row.line, str(error), str(row.values))
    spaces = {field: spaces for field, (_, spaces) in texts.items()}
    return Example(f"{source}-{number}", _split(settings, source), fields, spaces, labels, group)


def _raw(value: Any) -> str:
    """A text as the source has it; tokens with spaces between them."""
    return value if isinstance(value, str) else " ".join(value)


def _texts(values: Mapping[str, Any], settings: Dataset) -> tuple[dict[str, tuple[list[str], list[bool]]], Ranges]:
    """The tokens of each text field and whether a space follows each; and the marked ranges.

    Raises:
        ValueError: see ``_tokens`` and ``marked_tokens``.
    """
    if not settings.marks:
        return {field: _tokens(values.get(column), column, settings) for field, column in settings.fields.items()}, {}
    [(field, column)] = settings.fields.items()
    tokens, space_after, ranges = marked_tokens(values.get(column), values, settings)
    return {field: (tokens, space_after)}, ranges


def _group(values: Mapping[str, Any], split: Fractions | None) -> str | None:
    """The value of the column that rows are grouped by. Where the column has a value for each token, they must be equal.

    Raises:
        ValueError: the value is neither a text nor a number; the message names the column.
    """
    if split is None or split.column is None:
        return None
    value = values.get(split.column)
    if isinstance(value, list) and len({str(item) for item in value}) == 1:
        value = value[0]
    if isinstance(value, list | dict):
        raise ValueError(f"{split.column}: rows are grouped by it, so the value must be a text or a number, the same for each token")
    return None if is_empty(value) else class_name(value, split.column)


def _joined(values: Any) -> str:
    """All strings in nested lists and mappings, one after the other."""
    if isinstance(values, str):
        return values
    items = list(values.values()) if isinstance(values, dict) else values
    if not isinstance(items, list):
        return ""
    try:
        return "".join(items)  # most often a list of tokens or tags
    except TypeError:
        return "".join(map(_joined, items))


def _tokens(value: Any, column: str, settings: Dataset) -> tuple[list[str], list[bool]]:
    """The tokens of a row's text, and whether a space follows each.

    Raises:
        ValueError: the text is empty, contains an empty token, or is not a text; the message names the column.
    """
    if isinstance(value, str):
        text = value if settings.given_tokens or not settings.unescape_html else html.unescape(value)
        # Labels count the source's own tokens: a no-break space inside a token must not split it.
        only_blanks = settings.given_tokens or any(label.positional for label in settings.labels.values())
        tokens = [token for token in _BLANKS.split(text) if token] if only_blanks else text.split()
        if not settings.given_tokens and settings.segmentation != "spaces" and tokens:
            tokens, space_after, _ = segmenter(settings.segmentation or "spaces")(" ".join(tokens))
            return tokens, space_after
    elif isinstance(value, list) and all(isinstance(token, str) for token in value):
        tokens = value
        if not settings.given_tokens:
            raise ValueError(f"{column}: the text is a list; if it is a list of tokens, set the dataset's key tokens to true")
    elif value is None:
        tokens = []
    else:
        raise ValueError(f"{column}: the value is not a text: {str(value)[:40]!r}")
    if not tokens:
        raise ValueError(f"{column}: the text is empty")
    if any(not token.strip() for token in tokens):
        raise ValueError(f"{column}: a token is empty")
    return tokens, spaces_after(tokens) if settings.given_tokens else [True] * (len(tokens) - 1) + [False]


def _check_unicode(name: str, value: Any) -> None:
    """JSON can contain halves of surrogate pairs, which UTF-8 cannot encode.

    Raises:
        ValueError: a string contains one; names its text column or label.
    """
    try:
        _joined(value).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: contains half of a surrogate pair, which is not a character") from None


def _split(settings: Dataset, source: str) -> Split | Literal[""]:
    """Shares assign the rows of the single source, or of the source train; any other source is a split of its own."""
    own: Split | Literal[""] = next((name for name in SPLITS if name == source), "")
    return "" if settings.split is not None and own in ("", "train") else own


def _count_malformed(counts: Counts, source: str, row: Malformed) -> None:
    counts.malformed[source] += 1
    if len(counts.samples) < SAMPLES:
        excerpt = row.excerpt.encode(errors="replace").decode()
        counts.samples.append({"source": source, "line": row.line, "reason": row.reason, "excerpt": excerpt[:120]})


def _check_malformed(dataset: str, settings: Dataset, counts: Counts) -> None:
    """Refuse a dataset with an empty source or too many malformed rows."""
    total, malformed = sum(counts.read.values()), sum(counts.malformed.values())
    for source, rows in counts.read.items():
        if not rows:
            raise DataError(f"dataset {dataset}: source {source} has no rows")
    if malformed > settings.max_malformed * total:
        samples = "\n".join(f"  {row['source']}, line {row['line']}: {row['reason']}: {row['excerpt']}" for row in counts.samples)
        raise DataError(
            f"dataset {dataset}: {malformed} of {total} rows malformed ({malformed / total:.2%}), more than "
            f"datasets.{dataset}.max_malformed = {settings.max_malformed:g} allows; the first:\n" + "\n".join([samples, *counts.warnings])
        )


def _check_labels(dataset: str, settings: Dataset, rows: Scan, counts: Counts) -> None:
    """Each label needs a row. One without any is a matter of its column, not of the splits."""
    for name, label in settings.labels.items():
        if not rows.labelled[name].any():
            read = sum(counts.read.values()) - sum(counts.malformed.values())
            raise DataError(
                f"dataset {dataset}: none of the {read} rows has the label {name!r}: "
                f"all cells of the column {label.column!r} are empty, marked as missing, or in no bin"
            )


def _check_splits(dataset: str, settings: Dataset, kept: card.Kept) -> None:
    """Each split with a source or a share needs a row, and each label a row in train; of a dataset that grows, any row will do."""
    if settings.incoming:
        if not len(kept.order):
            raise DataError(f"dataset {dataset}: no row is left; each is unlabelled, or repeats a text of another dataset")
        return
    for name in settings.splits:
        if not len(kept.numbers[name]):
            advice = _advice(dataset, settings, kept)
            what = "labelled rows" if settings.labels else "rows"
            raise DataError(f"dataset {dataset}: split {name} has no {what}; {advice}, or give it a source of its own")
    for label in settings.labels:
        if not kept.scan.labelled[label][kept.numbers["train"]].any():
            raise DataError(f"dataset {dataset}: no row of split train has the label {label!r}")


def _advice(dataset: str, settings: Dataset, kept: card.Kept) -> str:
    """What would fill an empty split: a greater share, unless most rows are in one group."""
    key, groups = f"datasets.{dataset}.split", groups_of(settings, kept.scan)[kept.order]
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    size = int(sizes.max(initial=0))
    if settings.split is None or size < 2 or 2 * size < len(groups):
        return f"raise its share in {key}"
    alike = {"text": "texts that differ only in case, digits or punctuation", "near": "near duplicates"}
    same = alike.get(settings.split.group_by, f"equal values of {settings.split.group_by}")
    [(_, row)] = kept.scan.rows.read(kept.order[first[sizes == size].min(keepdims=True)])
    text = card.texts_of(row)[0]
    return (
        f"{size} of {len(groups)} rows are one group, because {key}.group_by: {settings.split.group_by} keeps {same} together, "
        f"such as {text[:60]!r}; group by a column of distinct values"
    )
