"""Rows as readers yield them, and the lines of text formats."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mtl.errors import DataError


class Row(NamedTuple):
    """A row that could be read: its first line (Parquet: its number), from 1, and its values by column."""

    line: int
    values: dict[str, Any]


class Malformed(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    excerpt: str = ""


def lines(path: Path, encoding: str | None) -> Iterator[tuple[int, str]]:
    """The lines of a text file, numbered from 1, without line ends (LF or CR LF) and byte order mark.

    Raises:
        DataError: the file cannot be opened, or a byte is neither UTF-8 nor in the fallback encoding; names line and byte.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                content = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                yield number, _decoded(content.removesuffix(b"\n").removesuffix(b"\r"), encoding, path, number)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _decoded(raw: bytes, encoding: str | None, path: Path, number: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        cause, advice = error, "; name the file's encoding, such as cp1252, in the dataset's key encoding"
    if encoding is not None:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            cause, advice = error, f", nor as utf-8; the dataset's key encoding is {encoding!r}: name the file's encoding there"
    where = f"line {number}, byte {cause.start + 1} (0x{raw[cause.start]:02x})"
    raise DataError(f"{path}: {where} cannot be decoded as {cause.encoding}{advice}")


def check_columns(path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
    """Check that a file has the required columns.

    Raises:
        DataError: a column is missing, or two have the same name.
    """
    repeated = sorted({name for name in columns if columns.count(name) > 1 and not name.startswith("_")})
    if repeated:
        raise DataError(f"{path}: two columns are named {repeated[0]!r}")
    for name in required:
        if name not in columns:
            raise DataError(f"{path}: there is no column {name!r}; choose from: {', '.join(map(str, columns))}")
