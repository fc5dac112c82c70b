"""The canonical table: one Arrow schema that carries a dataset through every step after download.

| column | type | meaning |
|---|---|---|
| id | string | unique within the dataset; an augmented row's id is ``<parent>~<method>~<copy>`` |
| split | string | train, validation or test |
| tokens | list<string> | the text; of a row without token labels: the text split at single spaces |
| space_after | list<bool> | whether a space follows each token, so that the text is rebuilt exactly |
| one column a label | string, float64 or list<string> | class, number or IOB2 tags; null where the row has no such label |
| parent_id, augmenter | string | of augmented rows: the row they were made from, and the method; else null |

No item of a list is null, and the file says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.config import SPLITS
from mtl.data.coded import NAMES, Lists, list_of, slices
from mtl.errors import DataError
from mtl.files import replacing

LABEL_TYPES: dict[str, pa.DataType] = {"class": pa.string(), "number": pa.float64(), "tags": list_of(pa.string())}
"""Kind of a label (``mtl.config.Label.kind``) to the Arrow type of its column."""


ROW_GROUP = 16_384  # rows: what is read, worked on and written at once
DICTIONARY = 2**23  # bytes of the distinct strings of a column and row group; of more, the rest is written as it comes


def schema(labels: Mapping[str, str]) -> pa.Schema:
    """The schema of a dataset whose labels are ``{name: kind}``."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("tokens", list_of(pa.string()), nullable=False),
            pa.field("space_after", list_of(pa.bool_()), nullable=False),
            *(pa.field(name, LABEL_TYPES[kind]) for name, kind in labels.items()),
            pa.field("parent_id", pa.string()),
            pa.field("augmenter", pa.string()),
        ],
        metadata={f"label:{name}": kind for name, kind in labels.items()},
    )


def labels_of(table_schema: pa.Schema) -> dict[str, str]:
    """The labels of a canonical table as ``{name: kind}``, in the order of its columns."""
    metadata = {key.decode(): value.decode() for key, value in (table_schema.metadata or {}).items()}
    return {name: metadata[f"label:{name}"] for name in table_schema.names if f"label:{name}" in metadata}


def text_of(tokens: Iterable[str], space_after: Iterable[bool]) -> str:
    """The text that tokens stand for."""
    return "".join(token + " " if space else token for token, space in zip(tokens, space_after, strict=True)).removesuffix(" ")


def legal_iob2(tags: Iterable[str]) -> bool:
    """Whether tags form legal IOB2: each is O, B-type or I-type, and an I- follows a B- or I- of its type."""
    previous = "O"
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            return False
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            return False
        previous = tag
    return True


def _illegal_iob2(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each row of a column of tags is no ``legal_iob2``, [rows]; a null row is fine. Letters are looked at once a distinct tag."""
    tags = Lists.of(column)
    distinct = tags.words.to_pylist()
    types = {name: number for number, name in enumerate(dict.fromkeys(tag[2:] for tag in distinct))}
    wrong = np.array([not legal_iob2(["B-" + tag.removeprefix("I-") if tag[:2] == "I-" else tag]) for tag in distinct], dtype=bool)
    inner = np.array([tag[:2] == "I-" for tag in distinct], dtype=bool)
    kind = np.array([types[tag[2:]] if tag != "O" else -1 for tag in distinct], dtype=np.int64)
    places = np.flatnonzero(tags.codes != pc.index(tags.words, "O").as_py())  # most are O
    places = places[(wrong | inner)[tags.codes[places]]]
    rows = np.searchsorted(tags.offsets, places, side="right") - 1
    codes, before = tags.codes[places], tags.codes[places - 1]
    broken = wrong[codes] | (places == tags.offsets[rows]) | (kind[codes] != kind[before])
    return np.bincount(rows[broken], minlength=len(column)) > 0


def check(table: pa.Table, where: str) -> None:
    """Check what the types cannot say: unique ids, known splits, one flag and one tag a token, legal IOB2.

    Raises:
        DataError: names the first offending row.
    """
    ids = table.column("id")
    if len(pc.unique(ids)) != table.num_rows:
        raise DataError(f"{where}: ids are not unique")
    unknown = set(pc.unique(table.column("split")).to_pylist()) - set(SPLITS)
    if unknown:
        raise DataError(f"{where}: unknown split {sorted(unknown)[0]!r}; choose from: {', '.join(SPLITS)}")
    lengths = pc.list_value_length(table.column("tokens"))
    aligned = ["space_after"] + [name for name, kind in labels_of(table.schema).items() if kind == "tags"]
    for column in aligned:
        same = pc.fill_null(pc.equal(pc.list_value_length(table.column(column)), lengths), True)
        if not pc.all(same, min_count=0).as_py():
            row = same.to_pylist().index(False)
            raise DataError(f"{where}: row {ids[row].as_py()!r}: {column} has another length than tokens")
    for column in aligned[1:]:
        tags = table.column(column)
        for row in np.flatnonzero(_illegal_iob2(tags))[:1].tolist():
            raise DataError(f"{where}: row {ids[row].as_py()!r}: {column} is not legal IOB2: {' '.join(tags[row].as_py())}")


class Writer:
    """Writes a canonical table in parts, to a temporary name that becomes the file's own when all is well. Same parts, same bytes."""

    def __init__(self, path: Path, table_schema: pa.Schema) -> None:
        self.path = path
        self._replacing = replacing(path)
        # a dictionary, or the least and greatest value, says nothing where each row has a name of its own
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
        """Write some rows, which were checked."""
        self._file.write_table(table, row_group_size=ROW_GROUP)

    def add_metadata(self, metadata: Mapping[bytes, bytes]) -> None:
        """Add to the file's own metadata, which ``pyarrow.parquet.read_metadata`` gives."""
        self._metadata |= metadata

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.add_key_value_metadata(self._metadata)
        self._file.close()
        self._replacing.__exit__(kind, error, trace)


def write(table: pa.Table, path: Path) -> None:
    """Check a canonical table and write it to a temporary name, then rename it. Same table, same bytes.

    Raises:
        DataError: the table breaks the contract of this module.
    """
    check(table, path.name)
    with Writer(path, table.schema) as file:
        file.write(table)


def read_parts(path: Path, rows: int, columns: list[str] | None = None, metadata: pq.FileMetaData | None = None) -> Iterator[pa.Table]:
    """Read a canonical table with codes for strings (``mtl.data.coded``), in parts of at most so many rows, of one row group each.

    Args:
        path: the file.
        rows: how many at most.
        columns: which; all, if not given.
        metadata: the file's own, if it was read before.

    Raises:
        DataError: the file is missing, is not Parquet or lacks a column.
    """
    try:
        metadata = metadata or pq.read_metadata(path)
        texts = [c.path for c in metadata.schema if c.physical_type == "BYTE_ARRAY" and c.path not in NAMES]
        with pq.ParquetFile(path, metadata=metadata, memory_map=True, pre_buffer=False, read_dictionary=texts) as file:
            if missing := set(columns or ()) - set(file.schema_arrow.names):
                raise DataError(f"{path}: has no column {sorted(missing)[0]!r}")
            for group in range(file.num_row_groups):  # each has dictionaries of its own, and Arrow reads no list of codes across them
                yield from slices(_row_group(file, group, columns or file.schema_arrow.names), rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None


def _row_group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
    """Columns of a row group, read one by one: while it is read, a column takes several times the memory that it fills."""
    read = [file.read_row_group(number, columns=[name], use_threads=False) for name in columns]
    return pa.table([table.column(0) for table in read], schema=pa.schema([table.field(0) for table in read], file.schema_arrow.metadata))


def read_schema(path: Path) -> pa.Schema:
    """The schema of a canonical table.

    Raises:
        DataError: the file is missing or is not Parquet.
    """
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a canonical table.

    Raises:
        DataError: the file is missing, is not Parquet or lacks a column.
    """
    try:
        table = pq.read_table(path, columns=columns, memory_map=True)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None
    return table
