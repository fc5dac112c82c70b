"""A graph with 8-bit weights, and how its predictions differ from those in float32."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl.errors import ExportError
from mtl.export.runtime import GRAPH, OnnxPredictor
from mtl.files import replacing, write_json
from mtl.predict import predict_lines

REPORT = "int8.json"


def quantize(folder: Path, texts: Sequence[str]) -> None:
    """Replace the graph of a folder by one with 8-bit weights of linear layers, and write beside it what that changes.

    Weights have a scale for each output; inputs are rounded by their range in each batch (dynamic quantization).

    Args:
        folder: with a graph in float32.
        texts: lines to compare the predictions for; see ``mtl.predict.predict_lines``.

    Raises:
        ExportError: there are no texts.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not any(map(str.strip, texts)):
        raise ExportError("8-bit weights are compared with float32 on texts, but the file holds none")
    before = _predictions(folder, texts)
    with replacing(folder / GRAPH) as temporary:
        logging.disable(logging.WARNING)
        try:
            quantize_dynamic(folder / GRAPH, temporary, per_channel=True, weight_type=QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
    after = _predictions(folder, texts)
    report = {
        "rows": len(before[0]),
        "speed": round(before[1] / after[1], 2),
        "tasks": _compared(OnnxPredictor(folder).tasks, before, after),
    }
    write_json(folder / REPORT, report, sort_keys=False)


def _predictions(folder: Path, texts: Sequence[str]) -> tuple[list[dict[str, Any]], float]:
    """Of all texts, and the CPU seconds that they took on one thread."""
    predictor = OnnxPredictor(folder, threads=1)
    list(predict_lines(predictor, texts[:1]))
    start = time.process_time()
    return list(predict_lines(predictor, texts)), time.process_time() - start


def _compared(tasks: Any, before: tuple[list[Any], float], after: tuple[list[Any], float]) -> dict[str, dict[str, float]]:
    """By task, of the rows that have a prediction the share with the same labels, and among them the largest change of a number."""
    result = {}
    for name in tasks:
        pairs = [(a[name], b[name]) for a, b in zip(before[0], after[0], strict=True) if a[name] is not None]
        same = [(a, b) for a, b in pairs if _labels(a) == _labels(b)]
        changes = [abs(x - y) for a, b in same for x, y in zip(_numbers(a), _numbers(b), strict=True)]
        result[name] = {"same_labels": len(same) / len(pairs) if pairs else 1.0, "largest_change": max(changes, default=0.0)}
    return result


def _labels(value: Any) -> Any:
    """A prediction without its numbers."""
    if isinstance(value, dict):
        return {key: _labels(item) for key, item in value.items()}
    return [_labels(item) for item in value] if isinstance(value, list) else None if isinstance(value, float) else value


def _numbers(value: Any) -> list[float]:
    """The numbers of a prediction."""
    if isinstance(value, dict):
        value = list(value.values())
    return [value] if isinstance(value, float) else [x for item in value for x in _numbers(item)] if isinstance(value, list) else []
