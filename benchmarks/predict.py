"""Prediction beside the usual loop: real pieces per second of CPU time (on a GPU: of wall time), from tokens to answers.

    python benchmarks/predict.py --model data/models/joint-augmented-1 --data data [--turns 5] [--quick] [--json]

The usual loop pads each text to 128 pieces and takes 16 at a time as they come. Both sides tokenise, compute and decode the test texts of
all data sets with one model, take turns in one process, and must give identical answers: equal classes and tags, and numbers equal to
rounding. With --json the last line is one JSON object.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from baselines import Clock, device_name, padded, ratio, show
from torch import nn

from mtl.data import schema
from mtl.tasks import Answer
from mtl.training.corpus import Batch, collate
from mtl.training.model import Model
from mtl.training.predictor import Predictor

WIDTH, ROWS = 128, 16


def usual(model: Model, rows: Sequence[Sequence[str]]) -> dict[str, list[Answer]]:
    """Answers by task of the tutorial's loop."""
    found: dict[str, list[Answer]] = {task: [] for task in model.tasks}
    with torch.inference_mode():
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            encoded = model.tokenizer.encode(part, model.max_length)
            batch = widened(collate(encoded, np.arange(len(part)))).to(model.device)
            for task, logits in model(batch, model.tasks).items():
                found[task] += model.tasks[task].decode(logits.float().cpu(), batch.word, [len(row) for row in part])
    return found


def widened(batch: Batch) -> Batch:
    """The batch padded to ``WIDTH``."""
    more = (0, WIDTH - batch.mask.shape[1])
    tensors = (nn.functional.pad(tensor, more) for tensor in (batch.pieces, batch.mask, batch.shapes))
    return Batch(*tensors, np.pad(batch.word, ((0, 0), more), constant_values=-1), {}, {})


def difference(ours: dict[str, list[Answer]], theirs: dict[str, list[Answer]]) -> float:
    """The largest difference of two numbers.

    Raises:
        SystemExit: a class or a tag differs, or a number by more than rounding.
    """
    worst = 0.0
    for task, answers in ours.items():
        for row, (a, b) in enumerate(zip(answers, theirs[task], strict=True)):
            if isinstance(a.value, float) and isinstance(b.value, float):
                worst = max(worst, abs(a.value - b.value))
            elif a.value != b.value:
                raise SystemExit(f"row {row}: {task} is {a.value!r} on our side and {b.value!r} on the other")
    if worst > 1e-3:
        raise SystemExit(f"numbers differ by {worst:.2g}")
    return worst


def compare(predictor: Predictor, rows: list[list[str]], turns: int) -> dict[str, Any]:
    model, other = predictor.model, padded(predictor.model).eval()
    clock, pieces = Clock(model.device), int(model.tokenizer.encode(rows, model.max_length).lengths.sum())
    rates: tuple[list[float], list[float]] = ([], [])
    worst = 0.0
    for _ in range(turns):
        start = clock()
        ours = predictor.predict(rows)
        middle = clock()
        theirs = usual(other, rows)
        rates[0].append(pieces / (middle - start))
        rates[1].append(pieces / (clock() - middle))
        worst = max(worst, difference(ours, theirs))
    return {
        "vs_tutorial": round(ratio(*rates), 3),
        "pieces_per_second": round(median(rates[0])),
        "tutorial_pieces_per_second": round(median(rates[1])),
        "padding_share_of_tutorial": round(1 - pieces / (WIDTH * len(rows)), 3),
        "identical": True,
        "difference": worst,
        "rows": len(rows),
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
    rows: list[list[str]] = []
    for path in sorted((options.data / "examples").glob("*.parquet")):
        rows += [row["tokens"] for row in schema.read(path, ["split", "tokens"]).to_pylist() if row["split"] == "test"]
    results = compare(Predictor.load(options.model), rows[:: 20 if options.quick else 1], 1 if options.quick else options.turns)
    show(results, options.json)


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
