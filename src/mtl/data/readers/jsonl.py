"""JSON lines: one object per line."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from mtl.config import JsonLinesReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns, lines
from mtl.errors import DataError

_ARRAY = re.compile(r"\s*\[\s*(\{|$)")


def read(path: Path, settings: JsonLinesReader, encodings: Sequence[str], required: Sequence[str], warn: Warn) -> Iterator[Row | Malformed]:
    """Yield one row per object; empty lines are skipped. The first object must have all required keys; later a missing key is null.

    Raises:
        DataError: the file is one JSON array.
    """
    first = True
    for number, line in lines(path, encodings, warn):
        if not line.strip():
            continue
        if first and _ARRAY.match(line):
            raise DataError(f"{path}: is a JSON array; write one object per line: jq -c '.[]' {path.name} > lines-{path.name}")
        row = _row(number, line)
        if first and isinstance(row, Row):
            check_columns(path, list(row.values), required)
            first = False
        yield row


def _row(number: int, line: str) -> Row | Malformed:
    try:
        value = json.loads(line, parse_constant=_refuse)
    except RecursionError:
        return Malformed(number, "not JSON: nested too deeply", line)
    except ValueError as error:
        return Malformed(number, f"not JSON: {error}", line)
    return Row(number, value) if isinstance(value, dict) else Malformed(number, "not a JSON object", line)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")
