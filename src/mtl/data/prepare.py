"""From raw files to examples: read, check, label, split, and write the canonical table with its data card.

Texts that are not tokens are normalised: every run of white space (line ends and tabs included) becomes one space, none stays at the
ends. Their tokens are the parts between spaces, so that ``mtl.data.schema.text_of`` rebuilds the normalised text exactly.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mtl.config import SPLITS, ConllReader, Dataset, ParallelReader, Params
from mtl.data import card, schema
from mtl.data.labels import LabelType, reader_of
from mtl.data.readers import Malformed, Row, read
from mtl.data.splits import assign
from mtl.errors import DataError
from mtl.files import write_json

_BLANKS = re.compile(r"[ \t\r\n]+")
SHOWN = 10
"""Malformed rows that are kept and shown."""
FIELD_SEPARATOR = "\n"
"""Stands between the text fields of a row; no token holds it."""


class Example(NamedTuple):
    """One row on its way to the table."""

    id: str
    split: str
    fields: dict[str, list[str]]
    """Tokens of each text field."""
    labels: dict[str, Any]

    @property
    def tokens(self) -> list[str]:
        """Tokens of all text fields."""
        return [token for tokens in self.fields.values() for token in tokens]

    @property
    def text(self) -> str:
        """All text fields, by which equal rows are found."""
        return FIELD_SEPARATOR.join(" ".join(tokens) for tokens in self.fields.values())


class Counts(NamedTuple):
    """What happened to the rows of a dataset."""

    read: dict[str, int]  # by source
    malformed: dict[str, int]  # by source
    shown: list[dict[str, Any]]  # the first malformed rows
    unlabelled: dict[str, int]  # by source: rows left out since they carry no label


def prepare(params: Params, dataset: str, raw: Path, out: Path) -> None:
    """Write ``<dataset>.parquet`` (the canonical table, all splits) and ``<dataset>.json`` (its data card) below ``out``.

    Rows that carry no label at all are left out and counted; so are malformed ones. Ids are ``<source>-<number>``, the number of
    the row in its source from 1, malformed rows included: they stay the same whatever is left out.

    Args:
        params: all settings.
        dataset: the dataset's name.
        raw: the folder that holds a folder for each source.
        out: an existing folder.

    Raises:
        DataError: a file cannot be read as declared, too many rows are malformed, or a split has no rows.
    """
    settings = params.datasets[dataset]
    counts = Counts({}, {}, [], {})
    examples = [
        example
        for name in settings.sources
        for example in _examples(settings, name, raw / name, counts, params.seed)
        if example is not None
    ]
    _check_malformed(dataset, settings, counts)
    examples.sort(key=lambda example: SPLITS.index(example.split))  # stable: reading order within a split
    _check_splits(dataset, settings, examples)
    schema.write(_table(settings, examples), out / f"{dataset}.parquet")
    write_json(out / f"{dataset}.json", card.make(dataset, settings, examples, counts), sort_keys=False)


def _examples(settings: Dataset, source: str, folder: Path, counts: Counts, seed: int) -> Iterator[Example | None]:
    """The examples of one source; counts what is left out."""
    counts.read[source] = counts.malformed[source] = counts.unlabelled[source] = 0
    columns = _columns(settings)
    readers = {name: reader_of(label) for name, label in settings.labels.items()}
    for number, row in enumerate(read(folder, settings.reader, settings.encoding, columns), start=1):
        counts.read[source] += 1
        made = _example(settings, readers, source, number, row, seed)
        if isinstance(made, Malformed):
            _count_malformed(counts, source, made)
        elif all(value is None for value in made.labels.values()):
            counts.unlabelled[source] += 1
        else:
            yield made


def _columns(settings: Dataset) -> list[str]:
    """The columns that are read: of texts, then of labels (whose settings may name several)."""
    labels = [
        value for label in settings.labels.values() for key, value in label if key in ("column", "head", "tail") and isinstance(value, str)
    ]
    return list(dict.fromkeys([*settings.fields.values(), *labels]))


def _example(
    settings: Dataset, readers: Mapping[str, LabelType], source: str, number: int, row: Row | Malformed, seed: int
) -> Example | Malformed:
    if isinstance(row, Malformed):
        return row
    try:
        fields = {field: _tokens(row.values.get(column), settings) for field, column in settings.fields.items()}
        labels = {name: reader.read(row.values, fields[settings.field_of(name)]) for name, reader in readers.items()}
        _check_unicode(_strings([*fields.values(), *labels.values()]))
    except ValueError as error:
        return Malformed(row.line, str(error), str(row.values))
    example = Example(f"{source}-{number}", source, fields, labels)
    return example._replace(split=_split(settings, source, example.text, seed))


def _strings(values: Any) -> Iterator[str]:
    """All strings within lists and mappings."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _strings(value)


def _tokens(value: Any, settings: Dataset) -> list[str]:
    """The tokens of a row's text.

    Raises:
        ValueError: it is empty, holds an empty token, or is no text.
    """
    if isinstance(value, str):
        given = settings.tokens or isinstance(settings.reader, ParallelReader)
        text = value if given or not settings.unescape_html else html.unescape(value)
        # Tags are for the tokens as they were cut: a no-break space within one must not make two of it.
        tagged = given or any(label.positional for label in settings.labels.values())
        tokens = [token for token in _BLANKS.split(text) if token] if tagged else text.split()
    elif isinstance(value, list) and all(isinstance(token, str) for token in value):
        tokens = value
        if not (settings.tokens or isinstance(settings.reader, ConllReader)):
            raise ValueError("the text is a list; set the dataset's key tokens to true if it holds tokens")
    elif value is None:
        tokens = []
    else:
        raise ValueError(f"the text is no text: {str(value)[:40]!r}")
    if not tokens:
        raise ValueError("the text is empty")
    if any(not token.strip() for token in tokens):
        raise ValueError("a token is empty")
    return tokens


def _check_unicode(texts: Iterable[Any]) -> None:
    """JSON can hold halves of surrogate pairs, which no file in UTF-8 can."""
    for text in texts:
        try:
            str(text).encode()
        except UnicodeEncodeError:
            raise ValueError("holds half of a surrogate pair, which is no character") from None


def _split(settings: Dataset, source: str, text: str, seed: int) -> str:
    """Fractions assign out the single source, or the train source; any other source is its own split."""
    if settings.split is not None and source in ("all", "train"):
        return assign(text, settings.split, seed)
    return source


def _count_malformed(counts: Counts, source: str, row: Malformed) -> None:
    counts.malformed[source] += 1
    if len(counts.shown) < SHOWN:
        excerpt = row.excerpt.encode(errors="replace").decode()
        counts.shown.append({"source": source, "line": row.line, "reason": row.reason, "excerpt": excerpt[:120]})


def _check_malformed(dataset: str, settings: Dataset, counts: Counts) -> None:
    """Refuse a dataset of which nothing, or too little, could be read."""
    total, malformed = sum(counts.read.values()), sum(counts.malformed.values())
    for source, number in counts.read.items():
        if not number:
            raise DataError(f"dataset {dataset}: its source {source} holds no row")
    if malformed > settings.max_malformed * total:
        shown = "\n".join(f"  {row['source']}, line {row['line']}: {row['reason']}: {row['excerpt']}" for row in counts.shown)
        raise DataError(
            f"dataset {dataset}: {malformed} of {total} rows are malformed ({malformed / total:.2%}), more than "
            f"datasets.{dataset}.max_malformed = {settings.max_malformed:g} allows; the first:\n{shown}"
        )


def _check_splits(dataset: str, settings: Dataset, examples: list[Example]) -> None:
    """Each split that has a source or a share needs a row, and each label one in train."""
    declared = {name for name in settings.sources if name != "all"}
    if settings.split is not None:
        declared |= {name for name in SPLITS if getattr(settings.split, name) > 0}
    for name in SPLITS:
        if name in declared and not any(example.split == name for example in examples):
            raise DataError(
                f"dataset {dataset}: none of its {len(examples)} labelled rows fell to {name}; "
                f"raise its share in datasets.{dataset}.split, or give it a source of its own"
            )
    for label in settings.labels:
        if not any(example.split == "train" and example.labels[label] is not None for example in examples):
            raise DataError(f"dataset {dataset}: no row of train carries the label {label!r}")


def _table(settings: Dataset, examples: list[Example]) -> pa.Table:
    texts: dict[str, list[Any]] = {}
    for field in settings.fields:
        rows = [example.fields[field] for example in examples]
        texts |= dict(zip(schema.columns_of(field), (rows, [[True] * (len(tokens) - 1) + [False] for tokens in rows]), strict=True))
    columns: dict[str, list[Any]] = {
        "id": [example.id for example in examples],
        "split": [example.split for example in examples],
        **texts,
        **{name: [example.labels[name] for example in examples] for name in settings.labels},
        "parent_id": [None] * len(examples),
        "augmenter": [None] * len(examples),
    }
    types = {name: label.type for name, label in settings.labels.items()}
    about = {name: settings.field_of(name) for name in settings.labels}
    return pa.table(columns, schema=schema.schema(types, list(settings.fields), about))
