"""Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.config import ParquetReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns
from mtl.errors import DataError

BATCH_ROWS = 4096


def read(path: Path, settings: ParquetReader, encodings: Sequence[str], required: Sequence[str], warn: Warn) -> Iterator[Row | Malformed]:
    """Yield the rows with the required columns; a row's line is its number, from 1."""
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names, required)
            number = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(required))):
                for values in _doubles(batch).to_pylist():
                    number += 1
                    yield Row(number, values)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from None


def _doubles(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Half and single precision as the doubles of the same decimal: 0.7, not 0.699999988."""
    for index, field in enumerate(batch.schema):
        if field.type in (pa.float16(), pa.float32()):
            column = pc.cast(pc.cast(batch.column(index), pa.string()), pa.float64())
            batch = batch.set_column(index, field.name, column)
    return batch
