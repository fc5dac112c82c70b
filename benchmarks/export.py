"""An exported graph in ONNX Runtime beside the model in torch: time to predict one text and many, and whether they agree.

    python benchmarks/export.py [--lines 512] [--turns 5] [--file TEXTS] [--quick] [--json]

The model has random weights of the default encoder's shape (BERT, 6 layers of width 384) and predicts three tasks: a class, a number and
tags. Texts have 17 words on average, or are the lines of a file. Both sides start from texts and end with JSON, on one thread, in turns.

latency_vs_torch     time of one text in torch over that in ONNX Runtime, medians
bulk_vs_torch        the same for all lines at once, in CPU seconds
latency_ms           median of one text in ONNX Runtime
equal_labels         share of rows whose classes and entities are the same
largest_difference   between numbers and probabilities of the two sides

With --json the last line is one JSON object.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from baselines import show
from serve import texts, write_models


def in_turns(sides: Sequence[Callable[[], Any]], turns: int, clock: Callable[[], float]) -> list[list[float]]:
    """By side, the seconds of each turn."""
    seconds: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for _ in range(turns):
        for own, side in zip(seconds, sides, strict=True):
            start = clock()
            side()
            own.append(clock() - start)
    return seconds


def labels(row: Any) -> Any:
    """A prediction without its numbers."""
    if isinstance(row, dict):
        return {key: labels(value) for key, value in row.items()}
    return [labels(item) for item in row] if isinstance(row, list) else None if isinstance(row, float) else row


def largest_difference(a: Any, b: Any) -> float:
    """Between the numbers of two predictions with equal labels."""
    if isinstance(a, dict):
        return max((largest_difference(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list):
        return max((largest_difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    return abs(a - b) if isinstance(a, float) else 0.0


def compare(folder: Path, lines: list[str], turns: int) -> dict[str, Any]:
    """All figures."""
    import torch

    import mtl
    from mtl.export import onnx
    from mtl.export.runtime import OnnxPredictor
    from mtl.predict import predict_lines

    torch.set_num_threads(1)
    onnx.export(folder / "joint", folder / "graph")
    ours, other = mtl.load(folder / "joint", "cpu").predictor, OnnxPredictor(folder / "graph", threads=1)

    def predict(predictor: Any, texts: list[str]) -> list[Any]:
        return list(predict_lines(predictor, texts, form="text"))

    both = ours, other
    one = in_turns([lambda side=side: predict(side, lines[:1]) for side in both], 20 * turns, time.perf_counter)
    many = in_turns([lambda side=side: predict(side, lines) for side in both], turns, time.process_time)
    pairs = list(zip(*(predict(side, lines) for side in both), strict=True))
    equal = [(a, b) for a, b in pairs if labels(a) == labels(b)]
    return {
        "latency_vs_torch": round(median(one[0]) / median(one[1]), 2),
        "bulk_vs_torch": round(median(many[0]) / median(many[1]), 2),
        "latency_ms": round(1000 * median(one[1]), 2),
        "equal_labels": len(equal) / len(pairs),
        "largest_difference": max((largest_difference(a, b) for a, b in equal), default=0.0),
        "lines": len(lines),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=512, help="texts at once (%(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="of each side (%(default)s)")
    parser.add_argument("--file", type=Path, help="texts, one a line, instead of synthetic ones")
    parser.add_argument("--quick", action="store_true", help="one short turn: shows that it works, its figures say little")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    count, turns = (16, 1) if options.quick else (options.lines, options.turns)
    lines = options.file.read_text(encoding="utf-8").splitlines()[:count] if options.file else texts(count)
    with TemporaryDirectory() as folder:
        write_models(Path(folder))
        results = compare(Path(folder), lines, turns)
    show(results, options.json)


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
