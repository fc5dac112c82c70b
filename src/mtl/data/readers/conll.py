"""CoNLL columns: one token per line, a blank line between sentences."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtl.config import ConllReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns, is_header, lines

_DOCUMENT_START = re.compile(r"-DOCSTART-(?:[ \t]|$)")
_ADVICE = "if such lines are comments, set the reader's key comments to '#'"
_SEPARATORS = {"whitespace": re.compile(r"[ \t]+"), "tab": re.compile(r"\t"), "space": re.compile(r" ")}


def read(path: Path, settings: ConllReader, encodings: Sequence[str], required: Sequence[str], warn: Warn) -> Iterator[Row | Malformed]:
    """Yield one row per sentence; each column is a list of values.

    A sentence ends at an empty line, a line of only separators, ``-DOCSTART-`` or the end of the file.
    """
    check_columns(path, settings.columns, required)
    sentences = hashes = 0
    for sentence in _sentences(lines(path, encodings, warn), settings.comments):
        sentences, hashes = sentences + 1, hashes + _begins_like_comment(sentence)
        yield _row(sentence, settings)
    if hashes > sentences / 2:
        warn(f"{path.name}: {hashes} of {sentences} sentences begin with a line like {sentence[0][1][:40]!r}; {_ADVICE}")


def _sentences(numbered: Iterator[tuple[int, str]], comments: str | None) -> Iterator[list[tuple[int, str]]]:
    """The numbered lines of each sentence. Comments stand before its first token; further down, a ``#`` is a token."""
    sentence: list[tuple[int, str]] = []
    for number, line in numbered:
        if line.strip(" \t") and not _DOCUMENT_START.match(line):
            if sentence or not (comments and line.startswith(comments)):
                sentence.append((number, line))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _begins_like_comment(sentence: Sequence[tuple[int, str]]) -> bool:
    return sentence[0][1].startswith(("# ", "#\t"))


def _row(sentence: Sequence[tuple[int, str]], settings: ConllReader) -> Row | Malformed:
    split = _SEPARATORS[settings.separator].split
    cells = []
    for number, line in sentence:
        parts = split(line.strip(" \t") if settings.separator == "whitespace" else line)
        if len(parts) != len(settings.columns):
            reason = f"the number of columns is {len(parts)}, not {len(settings.columns)} ({', '.join(settings.columns)})"
            return Malformed(number, f"{reason}; {_ADVICE}" if line.startswith("#") else reason, line)
        if is_header(settings.columns, parts):
            return Malformed(number, "is a header line: it holds the names of the columns", line)
        cells.append(parts)
    values = {name: list(column) for name, column in zip(settings.columns, zip(*cells, strict=True), strict=True) if name != "_"}
    if stripped := settings.stripped:
        values["token"] = [stripped.sub("", token) for token in values["token"]]
    return Row(sentence[0][0], values)
