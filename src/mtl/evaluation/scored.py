"""Gold labels and predictions of a predictions file, as metrics take them."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl.evaluation.calibration import Calibration, calibration_of
from mtl.evaluation.parity import Labels
from mtl.tasks.text_scores import Weighted, perplexity

COLUMNS = [
    "task",
    "dataset",
    "id",
    "gold",
    "prediction",
    "raw_gold",
    "raw_prediction",
    "calibrated",
    "uncalibrated",
    "surprise",
    "subwords",
]
"""Those of the file that are needed."""


class Predictions(NamedTuple):
    """Gold labels and predictions of one run for one task, row by row."""

    keys: tuple[str, ...]
    gold: tuple[str, ...]
    prediction: tuple[str, ...]
    raw_text: Labels | None = None
    """Of the characters of the raw texts, for a task that is about tokens."""
    calibration: Calibration | None = None
    """Of the confidences, for a task that has a temperature."""
    measured: Mapping[str, Weighted] = MappingProxyType({})
    """The metrics that need more than labels and predictions, as functions of row weights."""


def predictions_of(tasks: Iterable[str], table: pa.Table, datasets: Mapping[str, Collection[str]] | None = None) -> dict[str, Predictions]:
    """The rows of a predictions file by task; with ``datasets``, only those of these, by task."""
    return {task: _of_task(_rows_of(task, table, None if datasets is None else datasets[task])) for task in tasks}


def _rows_of(task: str, table: pa.Table, datasets: Collection[str] | None) -> pa.Table:
    rows = table.filter(pc.equal(table.column("task"), task))
    return rows if datasets is None else rows.filter(pc.is_in(rows.column("dataset"), pa.array(list(datasets), pa.string())))


def _of_task(rows: pa.Table) -> Predictions:
    keys = pc.binary_join_element_wise(rows.column("dataset"), rows.column("id"), "\x1e")
    gold, prediction = (_strings(rows.column(side)) for side in ("gold", "prediction"))
    calibration = calibration_of(*(rows.column(name).to_pylist() for name in ("calibrated", "uncalibrated")))
    raw_text = None
    if len(rows) and not rows.column("raw_gold").null_count:
        raw_text = Labels(_strings(rows.column("raw_gold")), _strings(rows.column("raw_prediction")))
    return Predictions(tuple(keys.to_pylist()), gold, prediction, raw_text, calibration, _measured(rows))


def _measured(rows: pa.Table) -> dict[str, Weighted]:
    """Perplexity, of a task that writes."""
    if not len(rows) or rows.column("surprise").null_count:
        return {}
    surprise, subwords = (np.asarray(rows.column(name), dtype=np.float64) for name in ("surprise", "subwords"))
    return {"perplexity": perplexity(surprise, subwords)}


def _strings(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Strings, equal ones as one object: there are many rows, and often few labels."""
    codes = column.combine_chunks().dictionary_encode()
    distinct = codes.dictionary.to_pylist()
    return tuple(distinct[code] for code in codes.indices.to_pylist())
