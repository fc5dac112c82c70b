"""Comma- and tab-separated values."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mtl.config import DelimitedReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns, is_header, lines
from mtl.errors import DataError
from mtl.words import plural

LONGEST_RECORD = 1000
"""Lines after which an open quote counts as unmatched."""
MOST_VALUES = 1000
"""Different values of a column that are remembered, at most; a column of classes or numbers seldom has more."""
LONGEST_VALUE = 60
"""Characters of such a value, at most."""
_DELIMITERS = {",": '","', ";": '";"', "\t": '"\\t"', "|": '"|"'}
"""Common delimiters, as they are written in settings."""
_NO_QUOTES = "if quotes are part of the text, set the reader's key quoting to none"
csv.field_size_limit(2**31 - 1)  # a text may be a book; Python's default limit is 131072 characters


class _Record(NamedTuple):
    line: int
    cells: list[str]
    lines: Sequence[str]
    """The lines that it was read from, without their ends."""


def read(path: Path, settings: DelimitedReader, encodings: Sequence[str], required: Sequence[str], warn: Warn) -> Iterator[Row | Malformed]:
    """Yield one row per record; empty lines are skipped.

    ``_`` in ``columns`` skips a column; ``_*`` as the last one skips any number. With a space as delimiter and quoting off, the last
    column takes the rest of the line. Warns of cells of several lines that look like rows of their own.
    """
    delimiter = settings.delimiter or ("," if settings.format == "csv" else "\t")
    numbered = lines(path, encodings, warn)
    records: Iterator[_Record | Malformed]
    if settings.quoting == "none":
        records = _unquoted(numbered, delimiter, settings)
    else:
        records = _quoted(numbered, delimiter, settings.skip_initial_space)
    columns = settings.columns or _header(path, records)
    check_columns(path, columns, required, _delimiter_advice(columns, required, delimiter))
    merged = _MergedRows(delimiter)
    for record in records:
        if isinstance(record, Malformed):
            yield record
            continue
        if settings.quoting != "none":
            merged.see(record)
        yield _row(record, columns, delimiter, settings)
    merged.report(path, warn)


def _header(path: Path, records: Iterator[_Record | Malformed]) -> tuple[str, ...]:
    first = next(records, None)
    if not isinstance(first, _Record):
        raise DataError(f"{path}: has no header line" + (f": {first.reason}" if first else "; the file is empty"))
    return tuple(cell.strip() for cell in first.cells)


def _delimiter_advice(columns: Sequence[str], required: Sequence[str], delimiter: str) -> str:
    """What to set if the header has the required columns with another delimiter."""
    header = delimiter.join(columns)
    for other, written in _DELIMITERS.items():
        if other != delimiter and {*required} <= {name.strip(' "') for name in header.split(other)}:
            return f". The header has them with another delimiter: set the reader's key delimiter to {written}"
    return ""


def _row(record: _Record, columns: Sequence[str], delimiter: str, settings: DelimitedReader) -> Row | Malformed:
    cells = record.cells
    open_end = bool(columns) and columns[-1] == "_*"
    named = columns[:-1] if open_end else columns
    if len(cells) < len(named) or (len(cells) > len(named) and not open_end):
        reason = f"the number of columns is {len(cells)}, not {len(named)} ({', '.join(columns)})"
        for other, written in _DELIMITERS.items():
            if other != delimiter and len(cells) == 1 and cells[0].count(other) == len(named) - 1 > 0:
                reason += f"; with delimiter: {written} it is {len(named)}"
        return Malformed(record.line, reason, delimiter.join(cells))
    if is_header(named, cells):
        what = "is a header line: its cells are the names of the columns; if the file has one, leave the reader's key columns out"
        return Malformed(record.line, what if settings.columns else "repeats the header line", delimiter.join(cells))
    return Row(record.line, {name: cell for name, cell in zip(named, cells, strict=False) if name != "_"})


def _unquoted(numbered: Iterator[tuple[int, str]], delimiter: str, settings: DelimitedReader) -> Iterator[_Record]:
    most = len(settings.columns or ()) - 1 if delimiter == " " else -1
    for number, line in numbered:
        if line:
            cells = line.split(delimiter, most)
            yield _Record(number, [cell.lstrip(" ") for cell in cells] if settings.skip_initial_space else cells, (line,))


def _quoted(numbered: Iterator[tuple[int, str]], delimiter: str, skip_space: bool) -> Iterator[_Record | Malformed]:
    """Records with quoted cells, which may span several lines.

    A quote that is never closed must not swallow the rest of the file: its line is malformed, and reading continues after it.
    """
    ahead: deque[tuple[int, str]] = deque()
    spaced_quote = None if skip_space or delimiter == " " else re.compile(f'(?:^|{re.escape(delimiter)}) +"')
    while True:
        first = ahead.popleft() if ahead else next(numbered, None)
        if first is None:
            return
        if first[1]:
            record = _record(first, ahead, numbered, delimiter, skip_space)
            if isinstance(record, _Record) and spaced_quote and _has_spaced_quotes(record, delimiter, spaced_quote):
                reason = (
                    f"a quote follows a space; if such quotes enclose cells, set the reader's key skip_initial_space to true; {_NO_QUOTES}"
                )
                record = Malformed(record.line, reason, record.lines[0])
            yield record


def _has_spaced_quotes(record: _Record, delimiter: str, pattern: re.Pattern[str]) -> bool:
    """Whether spaces keep quotes from enclosing cells: without the spaces, the record has other cells."""
    if not any(' "' in line for line in record.lines) or not pattern.search("\n".join(record.lines)):
        return False
    try:
        cells = next(csv.reader([f"{line}\n" for line in record.lines], delimiter=delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        return False
    return [cell.lstrip(" ") for cell in record.cells] != [cell.lstrip(" ") for cell in cells]


def _record(
    first: tuple[int, str], ahead: deque[tuple[int, str]], numbered: Iterator[tuple[int, str]], delimiter: str, skip_space: bool
) -> _Record | Malformed:
    reader = csv.reader(_following(first, ahead, numbered), delimiter=delimiter, strict=True, skipinitialspace=skip_space)
    try:
        cells = next(reader)
    except csv.Error as error:
        return Malformed(first[0], _reason(str(error)), first[1])
    within = [line for _, line in islice(ahead, max(reader.line_num - 2, 0))]
    complete = sum(line.count(delimiter) == len(cells) - 1 for line in within)
    if delimiter != "," and len(cells) > 1 and complete > len(within) / 2:
        # Two stray quotes far apart look like a cell of many lines, but then most of those lines look like records.
        reason = f"a quote is opened, and closed {len(within) + 1} lines below, with complete records between; {_NO_QUOTES}"
        return Malformed(first[0], reason, first[1])
    return _Record(first[0], cells, [first[1], *(ahead.popleft()[1] for _ in range(reader.line_num - 1))])


def _reason(error: str) -> str:
    """What is wrong with a record, in other words than those of Python's reader."""
    if "new-line" in error:
        return "a carriage return inside a cell without quotes"
    return f"{'a quote is opened and never closed' if 'unexpected end' in error else f'unmatched quote: {error}'}; {_NO_QUOTES}"


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


def _bare(cell: str) -> str:
    return cell.strip(' \t"')


class _MergedRows:
    """Looks for rows that two stray quotes merged into one.

    Their record has several lines, each of which has the record's number of cells, and in some column the values of other rows. Lines of
    a text may have as many delimiters, but they do not have, say, a class of the dataset in its place.
    """

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter
        self.values: list[set[str]] = []
        self.suspects: list[_Record] = []

    def see(self, record: _Record) -> None:
        """Remember a record's values, or the record if it may be several rows."""
        if len(record.lines) > 1:
            if len(record.cells) > 1 and all(line.count(self.delimiter) == len(record.cells) - 1 for line in record.lines):
                self.suspects.append(record)
            return
        if len(self.values) < len(record.cells):
            self.values += [set() for _ in record.cells[len(self.values) :]]
        for cell, values in zip(record.cells, self.values, strict=False):
            if len(values) < MOST_VALUES and len(cell) <= LONGEST_VALUE:
                values.add(cell)

    def report(self, path: Path, warn: Warn) -> None:
        """Warn of the first merged record, and say how many there are."""
        known = [{_bare(cell) for cell in values} - {""} for values in self.values]
        merged = [record for record in self.suspects if self._are_rows(record, known)]
        if merged:
            line, count = merged[0].line, len(merged[0].lines)
            more = f", and {plural(len(merged) - 1, 'more such cell')}" if len(merged) > 1 else ""
            warn(f"{path.name}: line {line}: a quote opens a cell of {count} lines, which look like rows{more}; {_NO_QUOTES}")

    def _are_rows(self, record: _Record, known: Sequence[set[str]]) -> bool:
        columns = zip(*(line.split(self.delimiter) for line in record.lines), strict=True)
        return any(all(_bare(cell) in values for cell in cells) for cells, values in zip(columns, known, strict=False))
