"""What it costs to serve a trained model: measured at the end of its run, on the same texts for every run of an experiment."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl.model.batch import Pair, TokenRow, marked
from mtl.model.folder import CONFIG, TOKENIZER, WEIGHTS
from mtl.model.model import Model
from mtl.model.prediction import Predictor
from mtl.tasks.base import TaskType
from mtl.training.splits import Splits

TEXTS = 64
"""Texts that are predicted, at most."""
REPEATS, SECONDS = 5, 1.0
"""The fastest of so many passes counts; after so many seconds there is no other."""


def serving_cost(model: Model, splits: Splits, folder: Path) -> dict[str, Any]:
    """Size on disk, size of the weights in memory, and CPU time for each text.

    Takes the model over (see ``Predictor``).

    Args:
        model: on any device.
        splits: of the run; the texts are labelled train rows of all tasks of the settings, at equal distances.
        folder: of the saved model.
    """
    weights = [*model.parameters(), *model.buffers()]
    texts = _sample(splits)
    return {
        "disk_bytes": sum((folder / name).stat().st_size for name in (WEIGHTS, CONFIG, TOKENIZER)),
        "weight_bytes": sum(tensor.numel() * tensor.element_size() for tensor in weights),
        "texts": len(texts),
        "cpu_ms_per_text": 1000 * _cpu_seconds(Predictor(model, "cpu"), texts) / max(len(texts), 1),
    }


def _sample(splits: Splits) -> list[TokenRow]:
    chosen = np.flatnonzero(splits.counted)
    mask = np.zeros(len(splits.counted), dtype=np.bool_)
    mask[chosen[np.linspace(0, len(chosen) - 1, min(TEXTS, len(chosen)), dtype=np.int64)]] = True
    return list(splits.train.tokens.only(mask))


def _cpu_seconds(predictor: Predictor, texts: Sequence[TokenRow]) -> float:
    """CPU time of all threads for the predictions of all tasks."""
    passes = _passes(predictor.model.tasks, texts)
    spent: list[float] = []
    began = time.monotonic()
    while len(spent) < REPEATS and (not spent or time.monotonic() - began < SECONDS):
        start = time.process_time()
        for tasks, rows in passes:
            predictor.predict(rows, tasks)
        spent.append(time.process_time() - start)
    return min(spent)


def _passes(tasks: Mapping[str, TaskType], texts: Sequence[TokenRow]) -> list[tuple[list[str], list[TokenRow]]]:
    """Tasks that one pass serves, with the texts that have the fields that they read. A task with markers has a pass of its own."""
    shared: dict[tuple[int, str], list[str]] = {}
    for name, task in tasks.items():
        shared.setdefault((len(task.fields), name if task.markers else ""), []).append(name)
    passes = []
    for (fields, _), names in shared.items():
        task = tasks[names[0]]
        rows = [marked(row, task, [0] * len(task.markers)) for row in texts if isinstance(row, Pair) == (fields > 1)]
        passes.append((names, rows))
    return [(names, rows) for names, rows in passes if rows]
