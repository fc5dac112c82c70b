"""A graph with 8-bit weights, and how its predictions and scores differ from those in float32."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mtl.errors import ExportError
from mtl.export.runtime import CONFIG, GRAPH, OnnxPredictor
from mtl.files import replacing, write_json
from mtl.predict import predict_lines
from mtl.tasks.base import Prediction, TaskType, to_text

REPORT = "int8.json"
Values = dict[str, list[Any]]
"""By task, a prediction for each row, or ``None``."""


class Texts(NamedTuple):
    """What both graphs predict."""

    rows: int
    values: Callable[[OnnxPredictor], Values]
    scores: Callable[[Mapping[str, TaskType], Values], dict[str, float]] = lambda tasks, values: {}
    """The main metric of each task, from the values of its labelled rows."""


def quantize(folder: Path, source: Path) -> None:
    """Replace the graph of a folder by one with 8-bit weights of linear layers, and write beside it what that changes.

    Weights have a scale for each output; inputs are rounded by their range in each batch (dynamic quantization).

    Args:
        folder: with a graph in float32.
        source: a file with lines to compare the predictions for (see ``mtl.predict.predict_lines``), or a folder of canonical tables,
            whose labelled validation rows are scored too.

    Raises:
        ExportError: there are no such lines or rows.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    specs = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["tasks"]
    texts = _of_examples(source, specs) if source.is_dir() else _of_lines(source)
    before = _predicted(folder, texts)
    with replacing(folder / GRAPH) as temporary:
        logging.disable(logging.WARNING)
        try:
            quantize_dynamic(folder / GRAPH, temporary, per_channel=True, weight_type=QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
    after = _predicted(folder, texts)
    tasks = OnnxPredictor(folder).tasks
    changes = {name: _changed(before[0][name], after[0][name]) for name in before[0]}
    old, new = (texts.scores(tasks, values) for values, _ in (before, after))
    for name in new:
        changes[name] |= {"metric": tasks[name].main_metric.name, "fp32": old[name], "int8": new[name]}
    write_json(folder / REPORT, {"rows": texts.rows, "speed": round(before[1] / after[1], 2), "tasks": changes}, sort_keys=False)


def _predicted(folder: Path, texts: Texts) -> tuple[Values, float]:
    """The predictions, and the CPU seconds that they took on one thread."""
    predictor = OnnxPredictor(folder, threads=1)
    predictor.predict([["a"]], [name for name, task in predictor.tasks.items() if len(task.fields) == 1][:1])
    start = time.process_time()
    return texts.values(predictor), time.process_time() - start


def _of_lines(path: Path) -> Texts:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not any(map(str.strip, lines)):
        raise ExportError(f"8-bit weights are compared with float32 on texts, but {path} holds none")

    def values(predictor: OnnxPredictor) -> Values:
        found = list(predict_lines(predictor, lines))
        return {name: [row[name] for row in found] for name in predictor.tasks}

    return Texts(len(lines), values)


def _of_examples(folder: Path, specs: Mapping[str, Mapping[str, Any]]) -> Texts:
    """The labelled validation rows of the datasets of the tasks."""
    # They read Parquet, which predicting and exporting do without.
    from mtl.data.schema import tables_of
    from mtl.evaluation.predictions import labelled_rows, tokens_for

    labels: dict[Path, dict[str, str]] = {}
    for task, spec in specs.items():
        for path in tables_of(folder, spec):
            labels.setdefault(path, {})[task] = spec["label"]
    parts = [part for path, own in labels.items() for part in labelled_rows(path.stem, own, path, "validation")]
    gold = {task: [to_text(row.gold[task]) for part in parts for row in part if task in row.gold] for task in specs}
    if lacking := [task for task, rows in gold.items() if not rows]:
        raise ExportError(f"{folder}: no validation row has a label of {', '.join(lacking)}; name other examples, or a file with texts")

    def values(predictor: OnnxPredictor) -> Values:
        result: Values = {task: [] for task in specs}
        for part in parts:
            tasks = list(dict.fromkeys(task for row in part for task in row.gold))
            found = predictor.predict([tokens_for(row, predictor.tasks) for row in part], tasks)
            for i, row in enumerate(part):
                for task in row.gold:
                    type_ = predictor.tasks[task]
                    result[task].append(type_.quoted(found[task][i], row.fields[type_.field]))
        return result

    def scores(tasks: Mapping[str, TaskType], predicted: Values) -> dict[str, float]:
        result = {}
        for task, rows in predicted.items():
            metric = tasks[task].main_metric
            result[task] = tasks[task].scores(gold[task], [prediction.text for prediction in rows], metric)[metric.name]
        return result

    return Texts(sum(map(len, parts)), values, scores)


def _changed(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """Of the rows that have a prediction the share with the same labels, and among them the largest change of a number."""
    pairs = [(_plain(a), _plain(b)) for a, b in zip(before, after, strict=True) if a is not None]
    same = [(a, b) for a, b in pairs if _labels(a) == _labels(b)]
    changes = [abs(x - y) for a, b in same for x, y in zip(_numbers(a), _numbers(b), strict=True)]
    return {"same_labels": len(same) / len(pairs) if pairs else 1.0, "largest_change": max(changes, default=0.0)}


def _plain(prediction: Any) -> Any:
    return {"value": prediction.value, "confidence": prediction.confidence} if isinstance(prediction, Prediction) else prediction


def _labels(value: Any) -> Any:
    """A prediction without its numbers."""
    if isinstance(value, dict):
        return {key: _labels(item) for key, item in value.items()}
    return [_labels(item) for item in value] if isinstance(value, list | tuple) else None if isinstance(value, float) else value


def _numbers(value: Any) -> list[float]:
    """The numbers of a prediction."""
    if isinstance(value, dict):
        value = list(value.values())
    return [value] if isinstance(value, float) else [x for item in value for x in _numbers(item)] if isinstance(value, list | tuple) else []
