"""The canonical table: one Arrow schema that carries a dataset through every step after download.

| column | type | meaning |
|---|---|---|
| id | string | unique within the dataset; an augmented row's id is ``<parent>~<method>~<copy>`` |
| split | string | train, validation or test |
| tokens | list<string> | the text field ``text``; without positional labels, the text split at single spaces |
| space_after | list<bool> | whether a space follows each token, which makes the text exact |
| one column per label | that of its type (``mtl.data.labels``) | null where the row has no such label |
| parent_id, augmenter | string | for augmented rows: id of the original row, and the method; else null |

A text field of another name has the columns ``<field>.tokens`` and ``<field>.space_after``. The schema declares the items of lists as
not null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl import plugins
from mtl.config import SPLITS, TEXT
from mtl.data.coded import NAMES, list_of, slices
from mtl.data.labels import label_type
from mtl.errors import DataError
from mtl.files import replacing

ROW_GROUP = 16_384  # rows that are read, processed and written at once
DICTIONARY = 2**23  # largest dictionary of a column and row group, in bytes; further strings are written without one


def schema(
    labels: Mapping[str, str],
    fields: Sequence[str] = (TEXT,),
    label_fields: Mapping[str, str] | None = None,
    segmentation: str = "words",
) -> pa.Schema:
    """The schema of a dataset.

    Args:
        labels: ``{name: type}``.
        fields: names of the text fields.
        label_fields: label to the text field that it is about; the first field for labels that are not named.
        segmentation: how new texts become tokens like these; see ``mtl.data.segmentation``.
    """
    texts = [
        pa.field(column, list_of(item), nullable=False)
        for field in fields
        for column, item in zip(columns_of(field), (pa.string(), pa.bool_()), strict=True)
    ]
    metadata = {"segmentation": segmentation} | {f"label:{name}": type_ for name, type_ in labels.items()}
    metadata |= {f"field:{name}": field for name, field in (label_fields or {}).items() if field != fields[0]}
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            *texts,
            *(pa.field(name, label_type(type_).arrow()) for name, type_ in labels.items()),
            pa.field("parent_id", pa.string()),
            pa.field("augmenter", pa.string()),
        ],
        metadata=metadata,
    )


def columns_of(field: str) -> tuple[str, str]:
    """The columns of a text field: its tokens, and whether a space follows each."""
    return ("tokens", "space_after") if field == TEXT else (f"{field}.tokens", f"{field}.space_after")


def space_of(tokens: str) -> str:
    """The column that says whether a space follows each token of a column."""
    return tokens.removesuffix("tokens") + "space_after"


def fields_of(table_schema: pa.Schema) -> list[str]:
    """The text fields of a canonical table, in their order."""
    columns = [name for name in table_schema.names if name == "tokens" or name.endswith(".tokens")]
    return [TEXT if name == "tokens" else name.removesuffix(".tokens") for name in columns]


def labels_of(table_schema: pa.Schema) -> dict[str, str]:
    """The labels of a canonical table as ``{name: type}``, in the order of its columns."""
    metadata = _metadata(table_schema)
    return {name: metadata[f"label:{name}"] for name in table_schema.names if f"label:{name}" in metadata}


def field_of(table_schema: pa.Schema, label: str) -> str:
    """The text field that a label is about."""
    return _metadata(table_schema).get(f"field:{label}") or fields_of(table_schema)[0]


def segmentation_of(table_schema: pa.Schema) -> str:
    """How new texts become tokens like those of a canonical table."""
    return _metadata(table_schema)["segmentation"]


def positional_labels(table_schema: pa.Schema, field: str | None = None) -> list[str]:
    """The labels that refer to positions in a text field, or in any text field."""
    return [
        name
        for name, type_ in labels_of(table_schema).items()
        if plugins.settings_of(plugins.LABELS, type_).positional and field in (None, field_of(table_schema, name))
    ]


def _metadata(table_schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (table_schema.metadata or {}).items()}


def text_of(tokens: Iterable[str], space_after: Iterable[bool]) -> str:
    """The text of tokens."""
    return "".join(token + " " if space else token for token, space in zip(tokens, space_after, strict=True)).removesuffix(" ")


def check(table: pa.Table, where: str) -> None:
    """Check what the types cannot express: unique ids, known splits, one flag per token, and legal labels.

    Args:
        table: a canonical table.
        where: its file name, for messages.

    Raises:
        DataError: names the first row that breaks a rule.
    """
    ids = table.column("id")
    if len(pc.unique(ids)) != table.num_rows:
        raise DataError(f"{where}: ids are not unique")
    unknown = set(pc.unique(table.column("split")).to_pylist()) - set(SPLITS)
    if unknown:
        raise DataError(f"{where}: unknown split {sorted(unknown)[0]!r}; choose from: {', '.join(SPLITS)}")
    for field in fields_of(table.schema):
        tokens, spaces = columns_of(field)
        same = pc.equal(pc.list_value_length(table.column(spaces)), pc.list_value_length(table.column(tokens)))
        if not pc.all(same, min_count=0).as_py():
            row = same.to_pylist().index(False)
            raise DataError(f"{where}: row {ids[row].as_py()!r}: {spaces} has another length than {tokens}")
    for name, type_ in labels_of(table.schema).items():
        lengths = pc.list_value_length(table.column(columns_of(field_of(table.schema, name))[0]))
        if illegal := label_type(type_).illegal(table.column(name), lengths):
            row, reason = illegal
            raise DataError(f"{where}: row {ids[row].as_py()!r}: {name} {reason}")


class Writer:
    """Writes a canonical table in parts to a temporary file, which is renamed if no error occurs. Same parts, same bytes."""

    def __init__(self, path: Path, table_schema: pa.Schema) -> None:
        self.path = path
        self._replacing = replacing(path)
        # ids are unique, so a dictionary of them only costs space
        texts = [
            ".".join([f.name, "list", "element"] if pa.types.is_list(f.type) else [f.name]) for f in table_schema if f.name not in NAMES
        ]
        self._file = pq.ParquetWriter(
            self._replacing.__enter__(),
            table_schema,
            compression="zstd",
            use_dictionary=texts,
            write_statistics=False,
            store_schema=False,
            dictionary_pagesize_limit=DICTIONARY,
        )
        self._metadata = dict(table_schema.metadata or {})

    def write(self, table: pa.Table) -> None:
        """Write rows that passed ``check``."""
        self._file.write_table(table, row_group_size=ROW_GROUP)

    def add_metadata(self, metadata: Mapping[bytes, bytes]) -> None:
        """Add to the file's metadata, which ``pyarrow.parquet.read_metadata`` returns."""
        self._metadata |= metadata

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.add_key_value_metadata(self._metadata)
        self._file.close()
        self._replacing.__exit__(type_, error, trace)


def write(table: pa.Table, path: Path) -> None:
    """Check a canonical table and write it to a temporary file, then rename it. Same table, same bytes.

    Raises:
        DataError: the table breaks a rule of ``check``.
    """
    check(table, path.name)
    with Writer(path, table.schema) as file:
        file.write(table)


def read_parts(
    path: Path,
    rows: int,
    columns: list[str] | None = None,
    metadata: pq.FileMetaData | None = None,
    groups: Iterable[int] | None = None,
) -> Iterator[pa.Table]:
    """Read a canonical table with coded strings (``mtl.data.coded``), in parts of one row group each.

    Args:
        path: the file.
        rows: largest number of rows of a part.
        columns: names of the columns; None for all.
        metadata: the file's metadata, if it was read before.
        groups: numbers of the row groups to read; None for all.

    Raises:
        DataError: the file is missing, is not Parquet or lacks a column.
    """
    with _errors_named(path):
        metadata = metadata or pq.read_metadata(path)
        texts = [c.path for c in metadata.schema if c.physical_type == "BYTE_ARRAY" and c.path not in NAMES]
        with pq.ParquetFile(path, metadata=metadata, memory_map=True, pre_buffer=False, read_dictionary=texts) as file:
            if missing := set(columns or ()) - set(file.schema_arrow.names):
                raise DataError(f"{path}: has no column {sorted(missing)[0]!r}")
            for group in (
                range(file.num_row_groups) if groups is None else groups
            ):  # each has its own dictionaries, across which Arrow cannot read lists of codes
                yield from slices(_row_group(file, group, columns or file.schema_arrow.names), rows)


def _row_group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
    """Columns of a row group, read one by one: reading a column takes several times its final memory."""
    read = [file.read_row_group(number, columns=[name], use_threads=False) for name in columns]
    return pa.table([table.column(0) for table in read], schema=pa.schema([table.field(0) for table in read], file.schema_arrow.metadata))


def read_schema(path: Path) -> pa.Schema:
    """The schema of a canonical table.

    Raises:
        DataError: the file is missing or is not Parquet.
    """
    with _errors_named(path):
        return pq.read_schema(path)


def tables_of(folder: Path, task: Mapping[str, Any]) -> list[Path]:
    """The canonical tables in a folder that a task of a trained model learned from.

    Args:
        folder: of the tables.
        task: as in the model's ``config.json``: with ``label``, and ``datasets``, without which all tables that have the label count.
    """
    label, names = task.get("label"), task.get("datasets")
    paths = [path for path in sorted(folder.glob("*.parquet")) if names is None or path.stem in names]
    return [path for path in paths if label in labels_of(read_schema(path))]


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a canonical table.

    Raises:
        DataError: the file is missing, is not Parquet or lacks a column.
    """
    with _errors_named(path):
        return pq.read_table(path, columns=columns, memory_map=True)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what Arrow raises into a ``DataError`` that names the file."""
    try:
        yield
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None
