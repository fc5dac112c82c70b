"""A run's predictions on the test split, as Parquet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.config import Params, Run
from mtl.data.coded import plain
from mtl.data.schema import columns_of, labels_of, read_parts, read_schema
from mtl.data.schema import fields_of as text_fields
from mtl.errors import DataError
from mtl.evaluation.calibration import CHECKED, checked_rows
from mtl.evaluation.raw_text import OnRawText, on_raw_text
from mtl.files import replacing
from mtl.model.batch import Pair, TokenRow, marked
from mtl.model.prediction import Predictor, beside_name
from mtl.tasks.base import Prediction, TaskType, TextRow, to_text

TEXTS = ("task", "dataset", "id", "text", "gold", "prediction", "raw_gold", "raw_prediction")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in TEXTS]
    + [
        ("confidence", pa.float64()),
        ("calibrated", CHECKED),
        ("uncalibrated", CHECKED),
        ("surprise", pa.float64()),
        ("subwords", pa.int64()),
    ]
)
"""``raw_gold`` and ``raw_prediction`` are labels of the characters of the raw text, null where a task is not about tokens. ``calibrated``
and ``uncalibrated`` are the confidences that a row states with the fitted temperature and with 1, null where a task has none. ``surprise``
and ``subwords`` are the negative log-probability of the label's subwords and their number, null where a task does not write."""


PART = 8192
"""Rows read and predicted at a time."""


class Row(NamedTuple):
    """A test row: its tokens, and its label for each task that it is labelled for."""

    dataset: str
    id: str
    tokens: TokenRow
    fields: list[TextRow]
    text: str
    """As a reader sees it; of two text fields each with its name."""
    gold: dict[str, Any]


def predict_run(params: Params, run: Run, model: Path, examples: Path, out: Path) -> None:
    """Write ``<run>.parquet``: one row for each task of the run and each test row with the task's label.

    Args:
        params: all settings.
        run: the run to predict with.
        model: the run's model folder.
        examples: folder of the canonical tables.
        out: folder of the predictions.

    Raises:
        DataError: a canonical table is missing or lacks a label, or a task has no labelled test row.
        ModelError: the model folder is incomplete or damaged.
    """
    with replacing(out / f"{run.name}.parquet") as temporary:
        pq.write_table(predict(params, run, model, examples), temporary, compression="zstd")


def predict(params: Params, run: Run, model: Path, examples: Path) -> pa.Table:
    """The rows of the predictions file, sorted by task, dataset and id; raises what ``predict_run`` raises."""
    check_rows(params, run.tasks, examples)
    predictor = Predictor.load(model)
    parts = [
        pa.Table.from_pylist(list(_predictions(predictor, params, rows)), schema=SCHEMA) for rows in gather(params, run.tasks, examples)
    ]
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in ("task", "dataset", "id")])


def check_rows(params: Params, tasks: Iterable[str], examples: Path) -> None:
    """Every task has labelled test rows.

    Raises:
        DataError: a canonical table is missing or lacks a label, or a task has no labelled test row.
    """
    for task in tasks:
        label = params.tasks[task].label
        tables = [part for name in params.datasets_of(task) for part in _rows_in(examples / f"{name}.parquet", [label], [label])]
        if all(table.column(label).null_count == len(table) for table in tables):
            names = ", ".join(params.datasets_of(task))
            raise DataError(f"task {task}: no test row of {names} has its label; give the split test a share or a source")


def gather(params: Params, tasks: Iterable[str], examples: Path) -> Iterator[list[Row]]:
    """All test rows with a label of any of the tasks, some rows of one dataset at a time.

    Raises:
        DataError: a canonical table is missing or lacks a label.
    """
    for dataset in params.datasets:
        labels = {task: params.tasks[task].label for task in tasks if dataset in params.datasets_of(task)}
        if labels:
            yield from labelled_rows(dataset, labels, examples / f"{dataset}.parquet")


def _rows_in(path: Path, labels: Iterable[str], columns: Iterable[str], split: str = "test") -> Iterator[pa.Table]:
    """Columns of the rows of a split of a table that has these labels, some rows at a time."""
    known = labels_of(read_schema(path))
    for label in labels:
        if label not in known:
            raise DataError(f"{path}: has no label {label!r}; it has: {', '.join(known) or 'none'}")
    for part in read_parts(path, PART, list(dict.fromkeys(["split", *columns]))):
        yield plain(part.filter(pc.equal(part.column("split"), split)))


def labelled_rows(dataset: str, labels: Mapping[str, str], path: Path, split: str = "test") -> Iterator[list[Row]]:
    """The rows of a split with a label of any task, some rows at a time.

    Args:
        dataset: its name.
        labels: by task.
        path: of the canonical table.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: the table is missing or lacks a label.
    """
    columns = {field: columns_of(field) for field in text_fields(read_schema(path))}
    for table in _rows_in(path, labels.values(), ["id", *chain(*columns.values()), *labels.values()], split):
        if rows := [row for content in table.to_pylist() if (row := _row(dataset, content, columns, labels)).gold]:
            yield rows


def _row(dataset: str, content: Mapping[str, Any], columns: Mapping[str, tuple[str, str]], labels: Mapping[str, str]) -> Row:
    fields = {field: TextRow.of(*(content[name] for name in names)) for field, names in columns.items()}
    tokens = [text.tokens for text in fields.values()]
    gold = {task: content[label] for task, label in labels.items() if content[label] is not None}
    return Row(dataset, content["id"], Pair(*tokens) if len(tokens) > 1 else tokens[0], list(fields.values()), _text(fields), gold)


def _text(fields: Mapping[str, TextRow]) -> str:
    """The text of a row; of two text fields both by name, as JSON."""
    texts = {field: row.text for field, row in fields.items()}
    return to_text(texts) if len(texts) > 1 else next(iter(texts.values()))


def _predictions(predictor: Predictor, params: Params, rows: list[Row]) -> Iterator[dict[str, Any]]:
    """The predictions for some rows of one dataset, with one pass through the encoder for all its tasks."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.gold))
    types = predictor.model.tasks
    uncalibrated = {task: types[task].uncalibrated() for task in tasks if types[task].has_temperature}
    predictions = predictor.predict([tokens_for(row, types) for row in rows], tasks, beside=uncalibrated)
    written = {task: _surprise(predictor, task, rows) for task in tasks if types[task].writes}
    raw = {task: _raw(predictor, task, rows, predictions[task]) for task in tasks if types[task].token_level}
    for i, row in enumerate(rows):
        for task, gold in row.gold.items():
            prediction = types[task].quoted(predictions[task][i], row.fields[types[task].field])
            stated = (
                {"calibrated": (task, types[task]), "uncalibrated": (beside_name(task), uncalibrated[task])} if task in uncalibrated else {}
            )
            yield {
                "task": task,
                "dataset": row.dataset,
                "id": row.id,
                "text": types[task].shown([field.tokens for field in row.fields], row.text),
                "gold": to_text(gold),
                "prediction": prediction.text,
                "confidence": prediction.confidence,
                **({name: checked_rows(type_.checked(predictions[of][i], gold)) for name, (of, type_) in stated.items()}),
                **(raw[task][row.id]._asdict() if task in raw else {}),
                **(written[task][row.id] if task in written else {}),
            }


def _raw(predictor: Predictor, task: str, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, OnRawText]:
    """By id, the label and the prediction on the raw text of the rows of one dataset that are labelled for a task."""
    own = [(row, prediction) for row, prediction in zip(rows, predictions, strict=True) if task in row.gold]
    tokens, texts, gold = zip(*((row.tokens, [field.text for field in row.fields], row.gold[task]) for row, _ in own), strict=True)
    found = on_raw_text(predictor, task, tokens, texts, gold, [prediction for _, prediction in own])
    return {row.id: labels for (row, _), labels in zip(own, found, strict=True)}


def _surprise(predictor: Predictor, task: str, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """By id, how unexpected the text of each labelled row is to a task that writes."""
    own = [row for row in rows if task in row.gold]
    found, counts = predictor.surprise([tokens_for(row, predictor.tasks) for row in own], task, [row.gold[task] for row in own])
    values = zip(found.tolist(), counts.tolist(), strict=True)
    return {row.id: {"surprise": surprise, "subwords": count} for row, (surprise, count) in zip(own, values, strict=True)}


def tokens_for(row: Row, tasks: Mapping[str, TaskType]) -> TokenRow:
    """The tokens of a row, with the markers of its labels between them."""
    tokens = row.tokens
    for task, gold in row.gold.items():
        if tasks[task].markers:
            tokens = marked(tokens, tasks[task], tasks[task].places(gold))
    return tokens
