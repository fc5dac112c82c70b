"""Readers of datasets, one module per file format. A reader yields rows and malformed rows in the order of the file."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtl.config import DialogueReader, ParallelReader, Reader
from mtl.data.readers import conll, delimited, dialogues, jsonl, parallel, parquet, squad
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns
from mtl.errors import DataError

READERS: dict[str, Callable[[Path, Any, Sequence[str], Sequence[str], Warn], Iterator[Row | Malformed]]] = {
    "conll": conll.read,
    "csv": delimited.read,
    "tsv": delimited.read,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
    "parallel": parallel.read,
    "squad": squad.read,
}
"""Format, as in ``mtl.config.Reader.format``, to ``read(path, settings, encodings, required columns, warn)``."""

_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d+)-of-(?P<count>\d+)(?P<suffix>\.\w.*)")

__all__ = ["READERS", "Malformed", "Row", "Warn", "read"]


def read(
    folder: Path, settings: Reader, encodings: Sequence[str], required: Sequence[str], warn: Warn, *, several: bool = False
) -> Iterator[Row | Malformed]:
    """Read the only file, or the shards of one (``parallel``: the files), of a source's folder, lazily.

    Args:
        folder: output folder of ``mtl.data.sources.fetch``.
        settings: the format and its options.
        encodings: the one of text files; or several, of which each line has the first that fits.
        required: columns that must exist; others may be missing from the rows.
        warn: gets warnings about files as a whole.
        several: the source's URL is a pattern, so all files are read, in the order of their names.

    Raises:
        DataError: no file, a missing shard, an undecodable byte, a missing column or a file of another format.
    """
    if isinstance(settings, DialogueReader):
        check_columns(folder, settings.columns, required)
        whole = read(folder, settings.reader, encodings, [settings.turns, *settings.labels], warn, several=several)
        return dialogues.rows_of_turns(whole, settings)
    reader = READERS[settings.format]
    if isinstance(settings, ParallelReader):
        return reader(folder, settings, encodings, required, warn)
    files = _files(folder, several, warn)
    if len(files) == 1:
        return reader(files[0], settings, encodings, required, warn)
    return (_of_file(row, file.name) for file in files for row in reader(file, settings, encodings, required, warn))


def _of_file(row: Row | Malformed, name: str) -> Row | Malformed:
    return row if isinstance(row, Row) else row._replace(reason=f"{name}: {row.reason}")


def _files(folder: Path, several: bool, warn: Warn) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    shards = [match for path in files if (match := _SHARD.fullmatch(path.relative_to(folder).as_posix()))]
    sets = {match.group("stem", "count", "suffix") for match in shards}
    one_set = len(sets) == 1 and len(shards) == len(files)
    if len(files) != 1 and not one_set and not (files and several):
        names = ", ".join(path.relative_to(folder).as_posix() for path in files[:10]) or "none"
        raise DataError(
            f"{folder}: must contain exactly one file for this reader; it contains: {names}. "
            "Name one file in the source's URL, or several by a pattern such as train-*.parquet"
        )
    if one_set:
        _check_shards(folder, [int(match["number"]) for match in shards], int(shards[0]["count"]), warn)
    return files


def _check_shards(folder: Path, numbers: Sequence[int], count: int, warn: Warn) -> None:
    """A missing shard is an error; a single one was named on purpose."""
    first = 1 if count in numbers else 0
    missing = sorted({*range(first, first + count)} - {*numbers})
    if missing and len(numbers) == 1:
        warn(
            f"reads shard {numbers[0]} of {count} only; for all, name their folder or a pattern such as train-*.parquet in the source's URL"
        )
    elif missing:
        raise DataError(f"{folder}: of {count} shards, these are missing: {', '.join(map(str, missing[:10]))}")
