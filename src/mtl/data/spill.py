"""Tables that are written to a scratch file part by part and read again, so that memory does not grow with their rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.files import writing

ROWS = 16_384
"""Rows of a part, at most."""
TOKENS = 2**19
"""Tokens after which a part ends before it has so many rows."""


Item = TypeVar("Item")


def parts(items: Iterable[Item], tokens: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Items in parts of at most ``ROWS`` items and about ``TOKENS`` tokens; ``tokens`` says how many an item has."""
    part: list[Item] = []
    count = 0
    for item in items:
        part.append(item)
        count += tokens(item)
        if len(part) == ROWS or count >= TOKENS:
            yield part
            part, count = [], 0
    if part:
        yield part


class Spill:
    """A scratch file of parts. First all are written, then they may be read any number of times."""

    def __init__(self, path: Path, table_schema: pa.Schema) -> None:
        self.path, self.schema = path, table_schema
        self._starts = [0]
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, table_schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def write(self, table: pa.Table) -> None:
        """Add a part of at most ``ROWS`` rows.

        Raises:
            StorageError: the disk is full.
        """
        with writing(self.path):
            self._writer.write_table(table.combine_chunks(), max_chunksize=ROWS)
        self._starts.append(self._starts[-1] + len(table))

    def __len__(self) -> int:
        return self._starts[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with writing(self.path), self._file:
            if error is None:
                self._writer.close()

    def read(self, rows: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], pa.Table]]:
        """Some rows, part by part, with their numbers. Parts without any of them are not read.

        Args:
            rows: numbers of the rows, ascending.
        """
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            for part, numbers in enumerate(divided(rows, self._starts)):
                if len(numbers):
                    table = pa.Table.from_batches([reader.get_batch(part)])
                    whole = len(numbers) == len(table)
                    yield numbers, table if whole else table.take(pa.array(numbers - self._starts[part]))


def divided(rows: npt.NDArray[np.int64], starts: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    """Ascending numbers by the range that they lie in, of ranges that begin at ``starts`` and end at the next; the last start is an end."""
    return np.split(rows, np.searchsorted(rows, starts[1:-1])) if len(starts) > 1 else []
