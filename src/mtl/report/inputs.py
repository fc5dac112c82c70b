"""Reads what the report shows from the data folder. A missing or damaged file is an error that names it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.augment.shards import read_counts, read_rejected
from mtl.config import Params
from mtl.errors import PipelineError
from mtl.evaluation.results import read_history
from mtl.names import ACROSS_DATASETS, ShardName

Json = dict[str, Any]
BATCH_ROWS = 4096
"""Rows of a Parquet file that are in memory at a time."""


@dataclass(frozen=True)
class Inputs:
    """All that the report shows. Rows of tables stay in their files, which ``examples``, ``shards`` and ``predictions`` name."""

    comparisons: Json
    cards: dict[str, Json]
    """By dataset."""
    across: Json
    """Leakage between datasets, and warnings about the labels of tasks."""
    runs: dict[str, Json]
    """``run.json`` and ``cost.json`` by run."""
    histories: dict[str, list[Json]]
    """Records of training and validation by run."""
    counts: dict[str, list[Json]]
    """Counts of kept and dropped variants, by dataset, one entry a shard."""
    rejected: dict[str, list[Json]]
    """Samples of dropped rows, by dataset, one entry a shard."""
    examples: dict[str, Path]
    shards: dict[str, list[Path]]
    predictions: dict[str, Path]
    models: dict[str, Path]
    """Model folders by run."""
    search: Json
    """Summary of a search over settings; empty where there was none."""
    audit: Json
    """Summary of a label audit; empty where there was none."""
    audited: Path
    """Folder of its files."""


def load(params: Params, data: Path) -> Inputs:
    """Read everything but the rows of tables.

    Raises:
        PipelineError: a file is missing or is not JSON.
        DataError: a shard cannot be read or carries no counts.
    """
    runs = list(params.runs())
    shards = {name: [data / "shards" / shard.file for shard in ShardName.all(name, params.shards_of(name))] for name in params.datasets}
    costs = {run: read_json(path) if (path := data / "models" / run / "cost.json").exists() else {} for run in runs}
    return Inputs(
        comparisons=read_json(data / "results" / "comparisons.json"),
        cards={name: read_json(data / "examples" / f"{name}.json") for name in params.datasets},
        across=read_json(data / "examples" / ACROSS_DATASETS),
        runs={run: read_json(data / "models" / run / "run.json") | costs[run] for run in runs},
        histories={run: _timed(read_history(data / "models" / run / "history.jsonl"), costs[run]) for run in runs},
        counts={name: [read_counts(path) for path in paths] for name, paths in shards.items()},
        rejected={name: [read_rejected(path) for path in paths] for name, paths in shards.items()},
        examples={name: existing(data / "examples" / f"{name}.parquet") for name in params.datasets},
        shards=shards,
        models={run: data / "models" / run for run in runs},
        search=read_json(summary) if (summary := data / "tune" / "summary.json").exists() else {},
        audit=read_json(summary) if (summary := data / "audit" / "summary.json").exists() else {},
        audited=data / "audit",
        predictions={run: existing(data / "predictions" / f"{run}.parquet") for run in runs},
    )


def _timed(history: list[Json], cost: Json) -> list[Json]:
    """Records of training with their speed, which ``cost.json`` has."""
    speeds = dict(cost.get("throughput", []))
    return [{**record, "tokens_per_second": speeds[step]} if (step := record["step"]) in speeds else record for record in history]


def existing(path: Path) -> Path:
    """The path, if it is a file.

    Raises:
        PipelineError: it is not.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: is missing; the report needs it")
    return path


def read_json(path: Path) -> Json:
    """A JSON object.

    Raises:
        PipelineError: the file is missing or holds something else.
    """
    try:
        content = json.loads(existing(path).read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise PipelineError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: must hold a JSON object")
    return content


class Rows(Sequence[Json]):
    """Rows of a Parquet file, read part by part each time that they are iterated."""

    def __init__(self, path: Path, columns: Sequence[str] | None = None, filters: Sequence[tuple[str, str, Any]] = ()) -> None:
        """Rows that pass all filters.

        Args:
            path: the file.
            columns: names of the columns; None for all.
            filters: column, operator and value, such as ``("task", "=", "mood")``.
        """
        self._path, self._columns = path, columns
        self._needed = None if columns is None else list(dict.fromkeys([*columns, *(name for name, *_ in filters)]))
        self._filter = pq.filters_to_expression(list(filters)) if filters else None

    def __iter__(self) -> Iterator[Json]:
        """Read the rows.

        Raises:
            PipelineError: the file cannot be read.
        """
        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=self._needed):
                    table = pa.Table.from_batches([batch])
                    rows = table if self._filter is None else table.filter(self._filter)
                    yield from rows.select(self._columns or rows.column_names).to_pylist()
        except (OSError, pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
            raise PipelineError(f"{self._path}: cannot be read as Parquet: {error}") from None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]
