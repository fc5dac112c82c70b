"""Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.config import ParquetReader
from mtl.data.readers.rows import Malformed, Row, check_columns
from mtl.errors import DataError

BATCH_ROWS = 4096


def read(path: Path, settings: ParquetReader, encoding: str | None, wanted: Sequence[str]) -> Iterator[Row | Malformed]:
    """Yield the rows with the wanted columns; a row's line is its number."""
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names, wanted)
            number = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                for values in _doubles(batch).to_pylist():
                    number += 1
                    yield Row(number, values)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from None


def _doubles(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Numbers of less precision as the doubles that are written alike: 0.7, not 0.699999988."""
    for place, field in enumerate(batch.schema):
        if field.type in (pa.float16(), pa.float32()):
            column = pc.cast(pc.cast(batch.column(place), pa.string()), pa.float64())
            batch = batch.set_column(place, field.name, column)
    return batch
