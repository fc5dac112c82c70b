"""The rows of a data set as a shard reads them: with codes for strings, in parts, more than once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.data.coded import Lists, coded
from mtl.data.schema import ROW_GROUP, read_parts
from mtl.errors import DataError

KEPT = 16 * 2**20  # bytes, as Parquet counts them: a data set that is no larger is read once and kept, a larger one read again each time


class Examples:
    """A canonical table.

    Args:
        path: the file.
        most: rows that are given at once.

    Raises:
        DataError: it is missing or damaged, now or when it is read.
    """

    def __init__(self, path: Path, most: int) -> None:
        try:
            metadata, schema = pq.read_metadata(path), pq.read_schema(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: cannot be read as a canonical table: {error}") from None
        self._path, self._most = path, most
        self.schema: pa.Schema = coded(schema)
        self.rows: int = metadata.num_rows
        small = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)) <= KEPT
        self._kept = list(read_parts(path, ROW_GROUP)) if small else None
        self.train = sum(len(_train(part)) for part in self._parts("split"))
        """How many rows are of the train split."""

    def texts(self) -> Iterator[Lists]:
        """The tokens of all rows."""
        for part in self._parts("tokens"):
            for start in range(0, len(part), self._most):
                yield Lists.of(part["tokens"].slice(start, self._most))

    def train_rows(self, first: int = 0, last: int | None = None) -> Iterator[pa.Table]:
        """The train rows number ``first`` to ``last`` - 1, by default all, so many at a time and each time in one piece."""
        last = self.train if last is None else min(last, self.train)
        place, waiting = 0, None
        for part in self._parts(*self.schema.names):
            train = _train(part)
            wanted = train[max(first - place, 0) : max(last - place, 0)]
            place += len(train)
            rows = part if len(wanted) == len(part) else part.take(pa.array(wanted))
            waiting = pa.concat_tables([waiting, rows]) if waiting else rows
            while len(waiting) >= self._most:
                yield waiting.slice(0, self._most).combine_chunks()
                waiting = waiting.slice(self._most)
            if place >= last:
                break
        if waiting:
            yield waiting.combine_chunks()

    def _parts(self, *columns: str) -> Iterator[pa.Table]:
        if self._kept is None:
            return read_parts(self._path, self._most, list(columns))
        return (part.select(columns) for part in self._kept)


def _train(part: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The places of the train rows."""
    return np.flatnonzero(pc.equal(part["split"], "train"))
