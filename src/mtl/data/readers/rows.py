"""What readers yield, and the lines that the text formats share."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mtl.errors import DataError


class Row(NamedTuple):
    """A row that could be read: the number of its first line (of Parquet: of the row), from 1, and its values by column."""

    line: int
    values: dict[str, Any]


class Malformed(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    excerpt: str = ""


def lines(path: Path, encoding: str | None) -> Iterator[tuple[int, str]]:
    """The lines of a text file, numbered from 1, without their ends (LF or CR LF) and a byte order mark.

    Raises:
        DataError: the file cannot be opened, or a byte is neither UTF-8 nor of the fallback encoding; names line and byte.
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
        issue, advice = error, "; name the file's encoding, such as cp1252, in the dataset's key encoding"
    if encoding is not None:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            issue, advice = error, f", as it cannot in UTF-8; choose another value than {encoding!r} for the dataset's key encoding"
    where = f"line {number}, byte {issue.start + 1} (0x{raw[issue.start]:02x})"
    raise DataError(f"{path}: {where} cannot be decoded as {issue.encoding}{advice}")


def check_columns(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that a file has the columns that are wanted.

    Raises:
        DataError: one is missing, or two have the same name.
    """
    doubled = sorted({name for name in found if found.count(name) > 1 and not name.startswith("_")})
    if doubled:
        raise DataError(f"{path}: two columns are named {doubled[0]!r}")
    for name in wanted:
        if name not in found:
            raise DataError(f"{path}: there is no column {name!r}; choose from: {', '.join(map(str, found))}")
