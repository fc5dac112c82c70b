"""The section ``datasets``: sources, readers, labels and splits."""

import itertools
import math
import string
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from mtl.config.base import Name, Rate, Section, Share, Source, Split


def _source_form(value: Any) -> str:
    """Whether a dataset's source is one, or one for each split."""
    one = isinstance(value, Source) or not isinstance(value, Mapping) or bool({"url", "sha256"} & set(value))
    return "Source" if one else "Sources"


def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if none but those of skipped columns stands there twice."""
    if twice := sorted(name for name, times in Counter(columns).items() if times > 1 and not name.startswith("_")):
        raise ValueError(f"column {twice[0]!r} is named twice")
    return columns


Columns = Annotated[tuple[str, ...], AfterValidator(_names)]


class ConllReader(Section):
    """One token a line, columns split by white space, a blank line between sentences; ``-DOCSTART-`` is dropped."""

    format: Literal["conll"]
    columns: Columns = ("token", "tags")
    """Names of the columns, in order; ``token`` is the token itself. ``_`` skips a column."""
    separator: Literal["whitespace", "tab", "space"] = "whitespace"


class DelimitedReader(Section):
    """Comma- or tab-separated values."""

    format: Literal["csv", "tsv"]
    columns: Columns | None = None
    """Names of the columns where the file has no header line; without it the first line is the header.
    ``_`` skips a column, ``_*`` at the end any number. With delimiter ``" "`` and quoting none the last one takes the rest of the line."""
    quoting: Literal["minimal", "none"] = "minimal"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Another delimiter than the format's own."""


class JsonLinesReader(Section):
    """One JSON object a line."""

    format: Literal["jsonl"]


class ParquetReader(Section):
    """A Parquet file."""

    format: Literal["parquet"]


class ParallelReader(Section):
    """A folder of files with one row a line each, such as ``seq.in``, ``seq.out`` and ``label``."""

    format: Literal["parallel"]
    files: dict[str, str]
    """Column name to file name inside the source's folder."""

    @model_validator(mode="after")
    def _check(self) -> "ParallelReader":
        for column, name in self.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
                raise ValueError(f"file {name!r} of column {column} must be a name inside the source's folder")
        return self


Reader = Annotated[ConllReader | DelimitedReader | JsonLinesReader | ParquetReader | ParallelReader, Field(discriminator="format")]


class ClassLabel(Section):
    """A class per text: the column's own values, mapped values, or a number cut into named bins."""

    type: Literal["class"]
    column: str
    values: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Renames values, such as ``{"0": negative, "1": positive}``; a value not named is a malformed row."""
    bins: Annotated[dict[str, tuple[float, float]], Field(min_length=1)] | None = None
    """Class to ``[low, high)``; the bin with the greatest ``high`` includes it. A number in no bin has no label."""

    @model_validator(mode="after")
    def _check(self) -> "ClassLabel":
        if self.values is not None and self.bins is not None:
            raise ValueError("give values or bins, not both")
        spans = sorted((low, high, name) for name, (low, high) in (self.bins or {}).items())
        for low, high, name in spans:
            if not low < high:
                raise ValueError(f"bin {name}: low {low} must be less than high {high}")
        for (_, high, first), (low, _, second) in itertools.pairwise(spans):
            if low < high:
                raise ValueError(f"bins {first} and {second} overlap")
        return self


class NumberLabel(Section):
    """A number per text."""

    type: Literal["number"]
    column: str


class TagsLabel(Section):
    """A tag per token; read as IOB1, IOB2 or BIOES, kept as IOB2."""

    type: Literal["tags"]
    column: str
    scheme: Literal["iob1", "iob2", "bioes"] = "iob2"


Label = Annotated[ClassLabel | NumberLabel | TagsLabel, Field(discriminator="type")]


def _text_encoding(name: str) -> str:
    """The name, if Python knows an encoding of texts by it in which ASCII is as in UTF-8: files are read line by line."""
    plain = string.ascii_letters + "\n"
    try:
        fits = plain.encode().decode(name) == plain
    except (LookupError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"{name!r} is no encoding of texts that keeps ASCII as it is; choose one such as cp1252, latin-1 or shift_jis")
    return name


class Fractions(Section):
    """How rows are assigned where the source does not say: by a hash of the text, so that equal texts stay together."""

    train: Rate
    validation: Share = 0.0
    test: Share = 0.0

    @model_validator(mode="after")
    def _check(self) -> "Fractions":
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class Dataset(Section):
    """One labelled dataset."""

    source: Annotated[
        Annotated[Source, Tag("Source")] | Annotated[dict[Split, Source], Field(min_length=1), Tag("Sources")], Discriminator(_source_form)
    ]
    """One source, or one for each split that the publisher gives."""
    reader: Reader
    text: str = "text"
    """Column that holds the text; for ``conll`` and ``parallel`` readers the column of tokens."""
    tokens: bool = False
    """For csv, jsonl and parquet: the text column holds tokens (a list, or split by spaces)."""
    labels: Annotated[dict[Name, Label], Field(min_length=1)]
    split: Fractions | None = None
    """Deals out the rows of a single source, or of the source named ``train`` where others lack;
    leave it out where every split has a source."""
    encoding: Annotated[str, AfterValidator(_text_encoding)] | None = None
    """Fallback for bytes that are not UTF-8, such as ``cp1252``; without one such a byte is an error."""
    unescape_html: bool = False
    """Turns ``&amp;`` and its like into the characters they stand for, in texts that are not tokens."""
    max_malformed: Share = 0.01
    """Share of malformed rows above which reading fails."""

    @property
    def sources(self) -> dict[str, Source]:
        """The sources by split name; a single source is named ``all``."""
        named = self.source if isinstance(self.source, dict) else {"all": self.source}
        return {str(split): source for split, source in named.items()}


RESERVED = {"id", "split", "tokens", "space_after", "parent_id", "augmenter"}
"""Columns of the canonical table (``mtl.data.schema``), which no label may be named after."""
