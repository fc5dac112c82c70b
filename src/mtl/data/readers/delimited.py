"""Comma- and tab-separated values."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mtl.config import DelimitedReader
from mtl.data.readers.rows import Malformed, Row, check_columns, lines
from mtl.errors import DataError

LONGEST_RECORD = 1000
"""Lines after which an open quote counts as unmatched."""
csv.field_size_limit(2**31 - 1)  # a text may be a book; Python's default limit is 131072 characters


class _Record(NamedTuple):
    line: int
    cells: list[str]


def read(path: Path, settings: DelimitedReader, encoding: str | None, required: Sequence[str]) -> Iterator[Row | Malformed]:
    """Yield one row per record; empty lines are skipped.

    ``_`` in ``columns`` skips a column; ``_*`` as the last one skips any number. With a space as delimiter and quoting off, the last
    column takes the rest of the line.
    """
    delimiter = settings.delimiter or ("," if settings.format == "csv" else "\t")
    numbered = lines(path, encoding)
    if settings.quoting == "none":
        most = len(settings.columns or ()) - 1 if delimiter == " " else -1
        records: Iterator[_Record | Malformed] = (_Record(number, line.split(delimiter, most)) for number, line in numbered if line)
    else:
        records = _quoted(numbered, delimiter)
    columns = settings.columns or _header(path, records)
    check_columns(path, columns, required)
    for record in records:
        yield record if isinstance(record, Malformed) else _row(record, columns, delimiter)


def _header(path: Path, records: Iterator[_Record | Malformed]) -> tuple[str, ...]:
    first = next(records, None)
    if not isinstance(first, _Record):
        raise DataError(f"{path}: has no header line" + (f": {first.reason}" if first else "; the file is empty"))
    return tuple(cell.strip() for cell in first.cells)


def _row(record: _Record, columns: Sequence[str], delimiter: str) -> Row | Malformed:
    cells = record.cells
    open_end = bool(columns) and columns[-1] == "_*"
    named = columns[:-1] if open_end else columns
    if len(cells) < len(named) or (len(cells) > len(named) and not open_end):
        reason = f"the number of columns is {len(cells)}, not {len(named)} ({', '.join(columns)})"
        return Malformed(record.line, reason, delimiter.join(cells))
    return Row(record.line, {name: cell for name, cell in zip(named, cells, strict=False) if name != "_"})


def _quoted(numbered: Iterator[tuple[int, str]], delimiter: str) -> Iterator[_Record | Malformed]:
    """Records with quoted cells, which may span several lines.

    A quote that is never closed must not swallow the rest of the file: its line is malformed, and reading continues after it.
    """
    ahead: deque[tuple[int, str]] = deque()
    while True:
        first = ahead.popleft() if ahead else next(numbered, None)
        if first is None:
            return
        if first[1]:
            yield _record(first, ahead, numbered, delimiter)


def _record(
    first: tuple[int, str], ahead: deque[tuple[int, str]], numbered: Iterator[tuple[int, str]], delimiter: str
) -> _Record | Malformed:
    reader = csv.reader(_following(first, ahead, numbered), delimiter=delimiter, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "unexpected end" in str(error) else f"unmatched quote or other error: {error}"
        return Malformed(first[0], reason, first[1])
    within = [line for _, line in islice(ahead, max(reader.line_num - 2, 0))]
    complete = sum(line.count(delimiter) == len(cells) - 1 for line in within)
    if delimiter != "," and len(cells) > 1 and complete > len(within) / 2:
        # Two stray quotes far apart look like a cell of many lines, but then most of those lines look like records.
        reason = f"a quote is opened, and closed {len(within) + 1} lines below, with complete records between"
        return Malformed(first[0], reason, first[1])
    for _ in range(reader.line_num - 1):
        ahead.popleft()
    return _Record(first[0], cells)


def _following(first: tuple[int, str], ahead: deque[tuple[int, str]], numbered: Iterator[tuple[int, str]]) -> Iterator[str]:
    """A line and those after it, lazily; lines that are read from the file go to ``ahead``."""
    yield first[1] + "\n"
    for number in range(LONGEST_RECORD):
        if number == len(ahead):
            following = next(numbered, None)
            if following is None:
                return
            ahead.append(following)
        yield ahead[number][1] + "\n"
