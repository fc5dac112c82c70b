"""Prediction beside the usual loop: real subwords per second of CPU time (on a GPU: of wall time), from tokens to predictions.

    python benchmarks/predict.py --model data/models/joint-augmented-1 --data data [--turns 5] [--quick] [--json]

The usual loop pads each text to 128 subwords and takes 16 at a time as they come. All sides tokenise, compute and decode the test texts of
all datasets with one model, take turns in one process, and must give identical predictions: equal classes and tags, and numbers equal to
rounding.

vs_tutorial            each text is asked for the tasks of its own dataset, as the workflow does before it evaluates
vs_tutorial_all_tasks  each text is asked for all tasks, as `mtl predict` does
vs_unfused, ...        beside the same without ``Encoder.fuse``: no fused products, and where one position of a text is asked,
                       keys and values in the last layer

With --json the last line is one JSON object.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import torch
from baselines import Clock, device_name, padded, ratio, show
from torch import nn

from mtl.data import schema
from mtl.encoders.transformer import TransformerEncoder
from mtl.model import folder as models
from mtl.model.batch import Batch, collate
from mtl.model.model import Model
from mtl.model.prediction import Predictor
from mtl.tasks.base import Prediction

WIDTH, ROWS = 128, 16


class Asked(NamedTuple):
    """Texts, and the tasks that are asked of each."""

    rows: list[list[str]]
    tasks: list[str]


Predictions = list[dict[str, list[Prediction]]]
"""Of each ``Asked``, by task."""


def usual(model: Model, asked: Iterable[Asked]) -> Predictions:
    """Predictions of the tutorial's loop."""
    predictions: Predictions = []
    with torch.inference_mode():
        for rows, tasks in asked:
            found: dict[str, list[Prediction]] = {task: [] for task in tasks}
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                encoded = model.tokenizer.encode(part, model.max_length)
                batch = widened(collate(encoded, np.arange(len(part)))).to(model.device)
                for task, logits in model(batch, tasks).items():
                    found[task] += model.tasks[task].decode(logits.float().cpu(), batch.word_ids, [len(row) for row in part])
            predictions.append(found)
    return predictions


def widened(batch: Batch) -> Batch:
    """The batch padded to ``WIDTH``."""
    more = (0, WIDTH - batch.mask.shape[1])
    tensors = (nn.functional.pad(tensor, more) for tensor in (batch.subwords, batch.mask, batch.word_shape_ids))
    return Batch(*tensors, np.pad(batch.word_ids, ((0, 0), more), constant_values=-1), {}, {})


def difference(ours: Predictions, theirs: Predictions) -> float:
    """The largest difference of two numbers.

    Raises:
        SystemExit: a class or a tag differs, or a number by more than rounding.
    """
    worst = 0.0
    for own, other in zip(ours, theirs, strict=True):
        for task, predictions in own.items():
            for row, (a, b) in enumerate(zip(predictions, other[task], strict=True)):
                if isinstance(a.value, float) and isinstance(b.value, float):
                    worst = max(worst, abs(a.value - b.value))
                elif a.value != b.value:
                    raise SystemExit(f"row {row}: {task} is {a.value!r} on our side and {b.value!r} on the other")
    if worst > 1e-3:
        raise SystemExit(f"numbers differ by {worst:.2g}")
    return worst


def compare(folder: Path, own: list[Asked], turns: int) -> dict[str, Any]:
    """All sides in turn.

    Args:
        folder: of the model.
        own: the texts of each dataset, asked for its own tasks.
        turns: of each side.
    """
    predictor = Predictor.load(folder)
    with mock.patch.object(TransformerEncoder, "fuse"):
        unfused = Predictor.load(folder)
    model, other = predictor.model, padded(unfused.model).eval()
    sides: dict[str, Callable[[Iterable[Asked]], Predictions]] = {
        "": lambda asked: [predictor.predict(*part) for part in asked],
        "tutorial_": lambda asked: usual(other, asked),
        "unfused_": lambda asked: [unfused.predict(*part) for part in asked],
    }
    every = [Asked([row for asked in own for row in asked.rows], list(model.tasks))]
    clock, subwords = Clock(model.device), int(model.tokenizer.encode(every[0].rows, model.max_length).lengths.sum())
    rates: dict[str, list[float]] = {}
    worst = 0.0
    for _ in range(turns):
        for name, asked in (("", own), ("_all_tasks", every)):
            found = {}
            for side, prediction in sides.items():
                start = clock()
                found[side] = prediction(asked)
                rates.setdefault(f"{side}subwords_per_second{name}", []).append(subwords / (clock() - start))
            worst = max(worst, *(difference(found[""], found[side]) for side in ("tutorial_", "unfused_")))
    return {
        **{
            f"vs_{side}{name}": round(ratio(rates[f"subwords_per_second{name}"], rates[f"{side}_subwords_per_second{name}"]), 3)
            for side in ("tutorial", "unfused")
            for name in ("", "_all_tasks")
        },
        **{name: round(median(found)) for name, found in rates.items()},
        "padding_share_of_tutorial": round(1 - subwords / (WIDTH * len(every[0].rows)), 3),
        "identical": True,
        "difference": worst,
        "rows": len(every[0].rows),
        "device": device_name(model.device),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/models/joint-augmented-1"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--turns", type=int, default=5, help="of each side (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rows, one turn: shows that it works, its figures say little")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    labels = {task: spec["label"] for task, spec in models.read_config(options.model)["tasks"].items()}
    asked = []
    for path in sorted((options.data / "examples").glob("*.parquet")):
        table = schema.read(path, ["split", "tokens"])
        rows = [row["tokens"] for row in table.to_pylist() if row["split"] == "test"][:: 20 if options.quick else 1]
        known = schema.labels_of(pq.read_schema(path))
        asked.append(Asked(rows, [task for task, label in labels.items() if label in known]))
    results = compare(options.model, asked, 1 if options.quick else options.turns)
    show(results, options.json)


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
