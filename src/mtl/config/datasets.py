"""The section ``datasets``: sources, readers, labels and splits."""

import math
import re
import string
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from mtl import plugins
from mtl.config.base import SPLITS, Language, Name, OneOf, Rate, Section, Share, Source, Split


def _source_form(value: Any) -> str:
    """Whether a dataset has one source, or one for each split."""
    one = isinstance(value, Source) or not isinstance(value, Mapping) or bool({"url", "sha256"} & set(value))
    return "Source" if one else "Sources"


def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if none occurs twice; skipped columns may."""
    if twice := sorted(name for name, times in Counter(columns).items() if times > 1 and not name.startswith("_")):
        raise ValueError(f"column {twice[0]!r} is named twice")
    return columns


def _pattern(value: str) -> str:
    """The text, if it is a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is neither digits nor a regular expression: {error}") from None
    return value


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
Columns = Annotated[tuple[str, ...], AfterValidator(_names)]


class ConllReader(Section):
    """One token per line, columns separated by white space, a blank line between sentences; ``-DOCSTART-`` lines are dropped."""

    format: Literal["conll"]
    columns: Columns = ("token", "tags")
    """Names of the columns, in order; ``token`` is the token itself. ``_`` skips a column."""
    separator: Literal["whitespace", "tab", "space"] = "whitespace"
    comments: Annotated[str, Field(min_length=1)] | None = None
    """Beginning of comment lines, such as ``#``: lines before the first token of a sentence that begin so are dropped. Below it, such a
    line is a token."""
    strip: Pattern | None = None
    """What is removed from each token: ``digits``, those after its first character, so that ``科0`` is ``科``; or a regular expression."""

    @property
    def stripped(self) -> re.Pattern[str] | None:
        """What is removed from each token."""
        return None if self.strip is None else re.compile(r"(?<=.)\d+$" if self.strip == "digits" else self.strip)


class DelimitedReader(Section):
    """Comma- or tab-separated values."""

    format: Literal["csv", "tsv"]
    columns: Columns | None = None
    """Names of the columns where the file has no header line; without it the first line is the header.
    ``_`` skips a column, ``_*`` at the end any number. With delimiter ``" "`` and quoting none the last one takes the rest of the line."""
    quoting: Literal["minimal", "none"] = "minimal"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """A delimiter other than that of the format."""
    skip_initial_space: bool = False
    """Drops spaces after a delimiter, so that ``"hello, you", "pos"`` is two quoted cells."""


class JsonLinesReader(Section):
    """One JSON object per line."""

    format: Literal["jsonl"]


class ParquetReader(Section):
    """A Parquet file, or the shards of one."""

    format: Literal["parquet"]


class ParallelReader(Section):
    """A folder of files with one row per line each, such as ``seq.in``, ``seq.out`` and ``label``."""

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


class SquadReader(Section):
    """SQuAD JSON, version 1.1 or 2.0: one row per question, with the columns ``id``, ``title``, ``context``, ``question``, ``answers``."""

    format: Literal["squad"]
    columns: ClassVar[tuple[str, ...]] = ("id", "title", "context", "question", "answers")


class DialogueReader(Section):
    """Dialogues that another reader reads, one a row: each turn becomes a row, with the turns before it and the reply to it.

    The columns are ``text`` (history and turn, with a letter for each speaker: ``A: Hello! B: Hi.``), ``history``, ``utterance`` (the turn
    itself), ``reply`` (the next turn; none after the last), ``dialogue`` (a number, for ``split.group_by``) and the labels.
    """

    format: Literal["dialogues"]
    reader: Annotated[JsonLinesReader | ParquetReader | ParallelReader, Field(discriminator="format")]
    """Reads the dialogues."""
    turns: str = "turns"
    """Column with the list of turns: texts, whose two speakers take turns, or objects with the keys ``speaker`` and ``text``."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What ends a turn where the column is one text, such as ``__eou__``."""
    labels: Columns = ()
    """Columns with a label for each turn: a list, or a text with spaces between labels."""
    history: Annotated[int, Field(ge=0, le=100)] = 3
    """Turns before the turn that the text holds, at most."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the rows."""
        return ("dialogue", "history", "utterance", "text", "reply", *self.labels)

    @model_validator(mode="after")
    def _check(self) -> "DialogueReader":
        if twice := sorted({*self.labels} & {"dialogue", "history", "utterance", "text", "reply"}):
            raise ValueError(f"label {twice[0]!r} has the name of a column that this reader makes")
        return self


Reader = Annotated[
    ConllReader | DelimitedReader | JsonLinesReader | ParquetReader | ParallelReader | SquadReader | DialogueReader,
    Field(discriminator="format"),
]


def _mark(value: Any) -> Any:
    """A number as the text of its cell."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class LabelSettings(Section):
    """Base of all label types: where a label is read from. Each lives in a module of ``mtl.data.labels``."""

    implementation: ClassVar[str]
    """``module:Class`` of the ``mtl.data.labels.base.LabelType`` that reads and checks such labels."""
    positional: ClassVar[bool] = False
    """Whether a label speaks of positions in a text field, which augmentation must keep aligned."""
    interchangeable: ClassVar[bool] = True
    """Of a positional label: whether a range may have other words of its type. Not so where the label is about what these words mean."""

    restates: ClassVar[bool] = False
    """Whether a label is a text that must fit what the text field says, such as a translation."""

    counts_characters: ClassVar[bool] = False
    """Whether a label names characters of its field's text as the source has it."""

    type: str
    column: str
    """Column that holds the label."""
    field: Name | None = None
    """Text field that the label is about; the dataset's only field if it has one."""
    missing: tuple[Annotated[str, BeforeValidator(_mark, json_schema_input_type=str | int | float)], ...] = ()
    """Cells that mean that there is no label, such as ``["NA", "-1"]``. An empty or null cell always does."""
    normalize: Literal["nfc", "nfkc"] | None = None
    """Brings the column's strings into a Unicode form, and drops invisible characters at their ends: ``nfc`` joins letters and accents;
    ``nfkc`` also makes full-width letters and no-break spaces plain."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a label is read from."""
        return (self.column,)

    @property
    def relates_fields(self) -> bool:
        """Whether in a dataset of two text fields the label is about both together."""
        return self.field is None and not self.positional


Label = Annotated[LabelSettings, OneOf(plugins.LABELS)]


def _text_encodings(value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """The names, if each is a text encoding of Python that encodes ASCII as UTF-8 does: files are read line by line."""
    for name in (value,) if isinstance(value, str) else value or ():
        if not _contains_ascii(name):
            raise ValueError(f"{name!r} is not a text encoding that contains ASCII; choose one such as cp1252, latin-1 or shift_jis")
    return value


def _contains_ascii(name: str) -> bool:
    plain = string.ascii_letters + "\n"
    try:
        return plain.encode().decode(name) == plain
    except (LookupError, ValueError):
        return False


def _segmentation(name: str) -> str:
    """The name, if a segmenter has it."""
    if name not in (known := plugins.names(plugins.SEGMENTERS)):
        raise ValueError(f"{name!r} is unknown; choose from: {', '.join(known)}")
    return name


Segmentation = Annotated[str, AfterValidator(_segmentation), Field(examples=list(plugins.BUILT_IN[plugins.SEGMENTERS]))]
"""How a raw text becomes tokens; ``mtl.data.segmentation`` has the functions."""

TEXT = "text"
"""Name of the text field of a dataset that has one."""

Fields = Annotated[dict[Name, str], Field(min_length=1, max_length=2)]


def _text_form(value: Any) -> str:
    """Whether a dataset has one text field, or names its fields."""
    return "Fields" if isinstance(value, Mapping) else "Column"


def _text_fields(value: Any) -> Any:
    """A list of columns as fields that are called like them."""
    if isinstance(value, list | tuple):
        if len(set(map(str, value))) < len(value):
            raise ValueError("names a column twice")
        return {str(name): name for name in value}
    return value


class Fractions(Section):
    """How rows are assigned to splits where the source does not say: by a hash of what they are grouped by, so groups stay together."""

    train: Rate
    validation: Share = 0.0
    test: Share = 0.0
    group_by: Annotated[str, Field(min_length=1)] = "text"
    """Which rows stay together. ``text``: those whose texts differ only in case, digits or punctuation. ``near``: those connected by near
    duplicates, too. Else a column, such as ``document``: the rows with the same value."""

    @model_validator(mode="after")
    def _check(self) -> "Fractions":
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self

    @property
    def column(self) -> str | None:
        """The column that rows are grouped by, if it is not their text."""
        return None if self.group_by in ("text", "near") else self.group_by


class Offsets(Section):
    """Columns with the first character of a range in the text, counted from 0, and with the character after its last one."""

    start: str
    end: str


class Dataset(Section):
    """One dataset."""

    source: Annotated[
        Annotated[Source, Tag("Source")] | Annotated[dict[Split, Source], Field(min_length=1), Tag("Sources")], Discriminator(_source_form)
    ]
    """One source, or one for each split that the publisher gives."""
    reader: Reader
    text: Annotated[
        Annotated[str, Tag("Column")] | Annotated[Fields, Tag("Fields")],
        Discriminator(_text_form),
        BeforeValidator(_text_fields, json_schema_input_type=str | tuple[Name, ...] | Fields),
    ] = "text"
    """Column that holds the text; for ``conll`` and ``parallel`` readers the column of tokens. Of two texts: ``{field: column}``, such as
    ``{premise: sentence1, hypothesis: sentence2}``, or a list of columns that name their fields, such as ``[question, context]``."""
    tokens: bool = False
    """For csv, jsonl and parquet: the text column holds tokens (a list, or split by spaces)."""
    language: Language | None = None
    """Language of the texts, as a tag of BCP 47 such as ``en``, ``zh-Hant`` or ``de-CH``. Without it, ``prepare`` guesses it from the train
    texts. Augmentation methods that do not know the language are refused."""
    segmentation: Segmentation | None = None
    """How raw texts become tokens, here and when the model predicts: ``words`` and punctuation by the conventions of the Penn Treebank,
    and each character in scripts without spaces between words; ``tweets``, the same with whole contractions and prices; ``characters``;
    what stands between ``spaces``; or ``rjieba``, like ``words`` but with Chinese words as jieba cuts them (extra ``chinese``). Without it,
    raw texts are split at spaces, those in a script without spaces into words; and where the source gives tokens, new texts are split by
    whatever reproduces these best."""
    marks: tuple[Name, ...] | dict[Name, Offsets] = ()
    """Ranges of the text. A list names those that the text marks inline: ``e1`` is ``<e1>…</e1>``, which leaves the text without the marks.
    A mapping gives the columns with the offsets of each. Labels find the tokens of a range in a column of its name."""
    labels: dict[Name, Label] = {}
    """What the rows are labelled with; none in a dataset that tasks with ``consistency`` learn from. All of its rows are train rows."""
    split: Fractions | None = None
    """Assigns the rows of a single source to splits, or those of the source ``train`` where other splits have no source. Leave it out where
    every split has a source, and where there are no labels."""
    encoding: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)] | None, AfterValidator(_text_encodings)] = None
    """Encoding of whole text files, such as ``cp1252``; UTF-8 without one. For files that mix encodings, a list: each line has the first
    that fits, so ``[utf-8, cp1252]`` reads UTF-8 with lines of cp1252. A byte that does not fit is an error."""
    drop_leaked: bool = False
    """Leaves out train rows whose text is, exactly or nearly, in validation or test of this or another dataset."""
    incoming: Annotated[str, Field(min_length=1)] | None = None
    """Files whose rows ``mtl ingest`` appends to the source, a JSON lines file: a path, a folder or a pattern such as ``incoming/*``. The
    dataset grows, and the others stay as they are: its rows that repeat a held-out text of another dataset are left out, held-out rows also
    if they repeat a train text, and of rows with the same text and labels of the same names the last one counts. Its test rows are the
    *recent* test split, on which ``mtl promote`` compares models too; other scores leave them out where a task has other test rows."""
    unescape_html: bool = False
    """Replaces HTML entities such as ``&amp;`` by their characters, in texts that are not tokens."""
    max_malformed: Share = 0.01
    """Share of malformed rows above which reading fails."""

    @model_validator(mode="after")
    def _check_texts(self) -> "Dataset":
        if self.marks and (self.given_tokens or len(self.fields) > 1):
            raise ValueError("marks need a single text field that is not tokenised")
        if self.unescape_html and (counting := [name for name, label in self.labels.items() if label.counts_characters]):
            raise ValueError(f"unescape_html changes the text whose characters the label {counting[0]!r} counts; leave it out")
        return self

    @property
    def fields(self) -> dict[str, str]:
        """Text fields in the order in which a model reads them, each with its column; a single one is called ``text``."""
        column = "token" if isinstance(self.reader, ConllReader) else self.text
        return {TEXT: column} if isinstance(column, str) else column

    @property
    def given_tokens(self) -> bool:
        """Whether the source gives tokens, not raw texts."""
        return self.tokens or isinstance(self.reader, ConllReader | ParallelReader)

    @property
    def offset_columns(self) -> tuple[str, ...]:
        """The columns with the offsets of marked ranges."""
        if not isinstance(self.marks, dict):
            return ()
        return tuple(column for offsets in self.marks.values() for column in (offsets.start, offsets.end))

    @property
    def encodings(self) -> tuple[str, ...]:
        """The encodings that a line may have, in the order in which they are tried."""
        return (self.encoding,) if isinstance(self.encoding, str) else self.encoding or ("utf-8",)

    def field_of(self, label: str) -> str:
        """The text field that a label is about; the first one for a label of the whole row."""
        return self.labels[label].field or next(iter(self.fields))

    @property
    def pair_labels(self) -> tuple[str, ...]:
        """The labels that are about two texts together: two text fields, or a text field and a target text."""
        both = len(self.fields) > 1
        return tuple(name for name, label in self.labels.items() if label.restates or (both and label.relates_fields))

    @property
    def sources(self) -> dict[str, Source]:
        """The sources by split name; a single source is named ``all``."""
        named = self.source if isinstance(self.source, dict) else {"all": self.source}
        return {str(split): source for split, source in named.items()}

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that have a source or a share of the rows."""
        if not self.labels:
            return ("train",)
        return tuple(name for name in SPLITS if name in self.sources or getattr(self.split, name, 0) > 0)

    @property
    def movable(self) -> bool:
        """Whether rows that its shares assign to train can be moved to a held-out split. Groups of a column's values are never divided."""
        return self.split is not None and self.split.column is None and self.split.train < 1

    def assigns_like(self, other: "Dataset") -> bool:
        """Whether it holds out no text that another dataset trains on: it holds out none, or assigns all rows by the same shares."""
        by_text = self.split is not None and self.split.group_by == "text" and self.sources.keys() <= {"all", "train"}
        return self.splits == ("train",) or (by_text and self.split == other.split)


RESERVED = {"id", "split", "tokens", "space_after", "parent_id", "augmenter", "row", "copy", "reason"}
"""Columns of the canonical table and of tables of variants, which no label may be named after."""
