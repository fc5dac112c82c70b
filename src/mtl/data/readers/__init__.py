"""Readers of datasets, one module per file format. A reader yields rows and malformed rows in the order of the file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtl.config import ParallelReader, Reader
from mtl.data.readers import conll, delimited, jsonl, parallel, parquet
from mtl.data.readers.rows import Malformed, Row
from mtl.errors import DataError

READERS: dict[str, Callable[[Path, Any, str | None, Sequence[str]], Iterator[Row | Malformed]]] = {
    "conll": conll.read,
    "csv": delimited.read,
    "tsv": delimited.read,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
    "parallel": parallel.read,
}
"""Format, as in ``mtl.config.Reader.format``, to ``read(path, settings, fallback encoding, required columns)``."""

__all__ = ["READERS", "Malformed", "Row", "read"]


def read(folder: Path, settings: Reader, encoding: str | None, required: Sequence[str]) -> Iterator[Row | Malformed]:
    """Read the only file (``parallel``: the files) of a source's folder, lazily.

    Args:
        folder: output folder of ``mtl.data.sources.fetch``.
        settings: the format and its options.
        encoding: fallback for lines that are not UTF-8; None makes such a line an error.
        required: columns that must exist; others may be missing from the rows.

    Raises:
        DataError: no file, an undecodable byte, a missing column or a file of another format.
    """
    path = folder if isinstance(settings, ParallelReader) else _only_file(folder)
    return READERS[settings.format](path, settings, encoding, required)


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if len(files) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in files[:10]) or "none"
        raise DataError(f"{folder}: must contain exactly one file for this reader; it contains: {names}. Name one file in the source's URL")
    return files[0]
