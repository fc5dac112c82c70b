"""Rows as readers yield them, and the lines of text formats."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mtl.data.archives import LIMITS
from mtl.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""File name suffix to what opens such a compressed file."""
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError)
_WESTERN = {"cp1252", "iso8859-1", "iso8859-15"}
"""Encodings of texts that are hardly ever valid UTF-8 by chance, not even a short line."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Warn = Callable[[str], None]
"""Takes a warning about a file as a whole."""


class Row(NamedTuple):
    """A row that could be read: its first line (Parquet: its number), from 1, and its values by column."""

    line: int
    values: dict[str, Any]


class Malformed(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    excerpt: str = ""


def lines(path: Path, encodings: Sequence[str], warn: Warn) -> Iterator[tuple[int, str]]:
    """The lines of a text file, numbered from 1, without line ends (LF or CR LF) and byte order marks at its start.

    Args:
        path: the file; one with a suffix of ``OPENERS`` is decompressed.
        encodings: the one of all lines; or several, of which each line has the first that fits.
        warn: gets a warning if another encoding is named than that of the lines, as far as they tell.

    Raises:
        DataError: the file cannot be opened, or a byte cannot be decoded; names line and byte.
    """
    checked = len(encodings) == 1 and not _is_utf8(encodings[0])
    beyond_ascii = valid = 0
    for number, raw in enumerate(_raw_lines(path), start=1):
        if number == 1:
            raw = _without_marks(raw, path)
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if checked and not raw.isascii():
            beyond_ascii, valid = beyond_ascii + 1, valid + _fits(raw, "utf-8")
        yield number, _decoded(raw, encodings, path, number)
    if valid and (valid == beyond_ascii or _is_western(encodings[0])):
        share = f"{valid} of the {beyond_ascii} lines with characters beyond ASCII are valid UTF-8"
        mixed = f"; if it is mixed, write [utf-8, {encodings[0]}]" if _is_western(encodings[0]) else ""
        warn(f"{path.name}: {share}, but the key encoding is {encodings[0]!r}: leave the key out if the file is UTF-8{mixed}")


def _is_western(encoding: str) -> bool:
    return codecs.lookup(encoding).name in _WESTERN


def _raw_lines(path: Path) -> Iterator[bytes]:
    """The lines with their ends; of a compressed file no more than the limits on archives allow."""
    opener = OPENERS.get(path.suffix.lower())
    try:
        if opener is None:
            with path.open("rb") as file:
                yield from file
            return
        left = LIMITS.allowed(path.stat().st_size)
        with opener(path) as file:
            for raw in iter(partial(file.readline, left + 1), b""):
                left -= len(raw)
                if left < 0:
                    raise DataError(f"{path}: unpacks to more than {LIMITS.ratio} times its size; unpack it yourself")
                yield raw
    except (OSError, *_DAMAGE) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _without_marks(raw: bytes, path: Path) -> bytes:
    """The first line without byte order marks; joined files and some exports have several.

    Raises:
        DataError: it shows that the file is UTF-16, or that its lines do not end with LF.
    """
    if raw.startswith(_UTF16):
        raise DataError(f"{path}: is UTF-16; convert it: iconv -f utf-16 -t utf-8 {path.name} > utf8-{path.name}")
    if raw.count(b"\r") > 1 and not raw.endswith(b"\n"):
        raise DataError(f"{path}: its lines end with CR only; convert it: tr '\\r' '\\n' < {path.name} > lf-{path.name}")
    while raw.startswith(codecs.BOM_UTF8):
        raw = raw.removeprefix(codecs.BOM_UTF8)
    return raw


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _fits(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(raw: bytes, encodings: Sequence[str], path: Path, number: int) -> str:
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            cause = error
    where = f"line {number}, byte {cause.start + 1} (0x{raw[cause.start]:02x})"
    raise DataError(f"{path}: {where} cannot be decoded as {' or '.join(encodings)}; {_advice(raw, encodings)}")


def _advice(raw: bytes, encodings: Sequence[str]) -> str:
    if len(encodings) > 1:
        return "name the encoding of such lines in the dataset's key encoding"
    if _is_utf8(encodings[0]):
        return "name the file's encoding, such as cp1252, in the dataset's key encoding; or [utf-8, cp1252] if lines differ"
    if _fits(raw, "utf-8"):
        return "the line is valid UTF-8: leave the dataset's key encoding out if the file is UTF-8"
    return "name the file's encoding in the dataset's key encoding"


def check_columns(path: Path, columns: Sequence[str], required: Sequence[str], advice: str = "") -> None:
    """Check that a file has the required columns, each once.

    Raises:
        DataError: a column is missing, or two have the same name.
    """
    for name in required:
        if columns.count(name) > 1:
            raise DataError(f"{path}: two columns are named {name!r}")
        if name not in columns:
            raise DataError(f"{path}: there is no column {name!r}; choose from: {', '.join(map(_visible, columns))}{advice}")


def is_header(columns: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether cells are the names of their columns, at least two of them.

    In joined files a byte order mark may stand before them, after which quotes are taken for a part of the cell.
    """
    for name, cell in zip(columns, cells, strict=False):
        if name != "_" and name.casefold() != cell.strip('\ufeff \t"').casefold():
            return False
    return sum(name != "_" for name in columns) > 1


def _visible(name: str) -> str:
    """A column's name, escaped if it has characters that cannot be seen."""
    return name if name.isprintable() and name == name.strip() else ascii(name)
