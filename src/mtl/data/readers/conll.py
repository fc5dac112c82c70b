"""CoNLL columns: one token per line, a blank line between sentences."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtl.config import ConllReader
from mtl.data.readers.rows import Malformed, Row, check_columns, lines

_DOCUMENT_START = re.compile(r"-DOCSTART-(?:[ \t]|$)")
_SEPARATORS = {"whitespace": re.compile(r"[ \t]+"), "tab": re.compile(r"\t"), "space": re.compile(r" ")}


def read(path: Path, settings: ConllReader, encoding: str | None, required: Sequence[str]) -> Iterator[Row | Malformed]:
    """Yield one row per sentence; each column is a list of values.

    A sentence ends at an empty line, a line of only separators, ``-DOCSTART-`` or the end of the file.
    """
    check_columns(path, settings.columns, required)
    sentence: list[tuple[int, str]] = []
    for number, line in lines(path, encoding):
        if line.strip(" \t") and not _DOCUMENT_START.match(line):
            sentence.append((number, line))
        elif sentence:
            yield _row(sentence, settings)
            sentence = []
    if sentence:
        yield _row(sentence, settings)


def _row(sentence: Sequence[tuple[int, str]], settings: ConllReader) -> Row | Malformed:
    split = _SEPARATORS[settings.separator].split
    cells = []
    for number, line in sentence:
        parts = split(line.strip(" \t") if settings.separator == "whitespace" else line)
        if len(parts) != len(settings.columns):
            reason = f"the number of columns is {len(parts)}, not {len(settings.columns)} ({', '.join(settings.columns)})"
            return Malformed(number, reason, line)
        cells.append(parts)
    columns = zip(*cells, strict=True)
    return Row(sentence[0][0], {name: list(column) for name, column in zip(settings.columns, columns, strict=True) if name != "_"})
