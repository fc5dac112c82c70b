"""Parallel files: row ``i`` of a dataset is line ``i`` of each file."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from mtl.config import ParallelReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns, is_header, lines
from mtl.errors import DataError


def read(
    folder: Path, settings: ParallelReader, encodings: Sequence[str], required: Sequence[str], warn: Warn
) -> Iterator[Row | Malformed]:
    """Yield one row per line, without lines that are blank in every file.

    Raises:
        DataError: a file is missing, or the files differ in length.
    """
    check_columns(folder, list(settings.files), required)
    files = [lines(folder / name, encodings, warn) for name in settings.files.values()]
    for number, cells in enumerate(zip_longest(*files), start=1):
        texts = [cell[1] for cell in cells if cell is not None]
        if not any(text.strip() for text in texts):
            continue
        if len(texts) < len(cells):
            short = [name for name, cell in zip(settings.files.values(), cells, strict=True) if cell is None]
            raise DataError(f"{folder}: the files differ in length: no line {number} in {', '.join(short)}")
        if is_header(list(settings.files), texts):
            yield Malformed(number, "is a header line: its cells are the names of the columns", " ".join(texts))
            continue
        yield Row(number, dict(zip(settings.files, texts, strict=True)))
