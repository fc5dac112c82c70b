"""The rows of a dataset as a shard reads them: with codes for strings, a row group at a time, more than once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.data.coded import Lists, coded, pruned, slices
from mtl.data.schema import ROW_GROUP, columns_of, fields_of, read_parts
from mtl.errors import DataError

KEPT = 4 * 2**20  # bytes, as Parquet counts them; a larger dataset is read anew each time, a smaller one once


class Examples:
    """A canonical table.

    Args:
        path: the file.
        block: rows that are never separated.

    Raises:
        DataError: it is missing or damaged, now or when it is read.
    """

    def __init__(self, path: Path, block: int) -> None:
        try:
            self._metadata = metadata = pq.read_metadata(path)  # read once: of ten million rows it is megabytes
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None
        self._path, self._block = path, block
        self.schema: pa.Schema = coded(metadata.schema.to_arrow_schema())
        self.rows: int = metadata.num_rows
        small = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)) <= KEPT
        self._kept = list(read_parts(path, ROW_GROUP, metadata=metadata)) if small else None
        self.kept = len(self._kept or ())
        """How many parts are kept."""
        self.train = sum(len(_train(part)) for part in self._parts("split"))
        """How many rows are of the train split."""

    def texts(self) -> Iterator[list[Lists]]:
        """The tokens of all rows, of each field."""
        columns = [columns_of(field)[0] for field in fields_of(self.schema)]
        for part in self._parts(*columns):
            yield [Lists.of(part[column]) for column in columns]

    def train_rows(self, first: int = 0, last: int | None = None) -> Iterator[pa.Table]:
        """The train rows number ``first`` to ``last`` - 1, by default all: whole blocks, but for the last, each in one chunk.

        Rows are not kept once they were yielded. Those of an incomplete block are, with small dictionaries.
        """
        last = self.train if last is None else min(last, self.train)
        place, waiting = 0, None
        for part in self._parts(*self.schema.names):
            train = _train(part)
            selected = train[max(first - place, 0) : max(last - place, 0)]
            place += len(train)
            rows = part if len(selected) == len(part) else part.take(pa.array(selected))
            rows = pa.concat_tables([waiting, rows]).combine_chunks() if waiting else rows
            whole = len(rows) // self._block * self._block
            waiting = pruned(rows.slice(whole)) if whole < len(rows) else None
            complete = slices(rows.slice(0, whole), max(whole, 1))
            del part, rows
            yield from complete
            if place >= last:
                break
        if waiting:
            yield waiting

    def _parts(self, *columns: str) -> Iterator[pa.Table]:
        if self._kept is None:
            return read_parts(self._path, ROW_GROUP, list(columns), self._metadata)
        return (part.select(columns) for part in self._kept)


def _train(part: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The places of the train rows."""
    return np.flatnonzero(pc.equal(part["split"], "train"))
