"""Prediction beside the usual loop: real subwords per second of CPU time (on a GPU: of wall time), from tokens to predictions.

    python benchmarks/predict.py --model data/models/joint-augmented-1 --data data [--turns 5] [--quick] [--json]
    python benchmarks/predict.py --model data/models/joint-augmented-1 --data data --precision bf16 --pipelines --json      # on a GPU

The usual loop pads each text to 128 subwords and takes 16 at a time as they come. All sides tokenise, compute and decode the test texts of
all datasets with one model and take turns in one process. In fp32 on a CPU they must give identical predictions: equal classes and tags,
and numbers equal to rounding. Elsewhere the order of additions differs, and the share of classes and tags that do is printed.

vs_tutorial            the requested tasks of each text are those of its own dataset, as in the workflow before it evaluates
vs_tutorial_all_tasks  all tasks are requested of each text, as by `mtl predict`
vs_unfused, ...        beside the same without ``Model.fuse``, in fp32 on a CPU: no fused products, and where one position of a text is
                       needed, keys and values in the last layer
vs_pipelines, ...      with --pipelines: beside a Hugging Face pipeline per task, 32 texts at a time, with random weights of the same
                       architecture, whose predictions are not compared

bf16_vs_fp32, ...      on a CPU with instructions for bfloat16: ours in bf16 beside ours in fp32; bf16_unequal_share is the share of classes
                       and tags that differ
int8_vs_fp32, ...      the same in int8

first_line_seconds     wall time of `mtl predict` from its start to its end, given one line
window_growth          seconds per row to join the windows of 800 rows of 200 words, beside those of 100 rows: 1 is linear in the rows

With --json the last line is one JSON object.
"""

import argparse
import os
import subprocess
import sys
import time
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
from mtl.encoders.products import has_bf16_units, has_int8_units
from mtl.encoders.windows import best_windows, encode_windows
from mtl.model import folder as models
from mtl.model.batch import Batch, collate
from mtl.model.device import Precision
from mtl.model.joining import counts_of, encode
from mtl.model.model import Model
from mtl.model.prediction import Predictor, predictions
from mtl.tasks.base import Prediction

WIDTH, ROWS, PIPELINE_ROWS = 128, 16, 32
UNITS = {"bf16": has_bf16_units, "int8": has_int8_units}
"""Formats of fewer bits, in which ours is a side of its own where the CPU has instructions for them."""


class Request(NamedTuple):
    """Texts, and the requested tasks."""

    rows: list[list[str]]
    tasks: list[str]


Predictions = list[dict[str, list[Prediction]]]
"""Of each ``Request``, by task."""
Side = Callable[[Iterable[Request]], Predictions]


def ours(predictor: Predictor, precision: Precision) -> Side:
    """Predictions of the package. ``Predictor.predict`` computes in fp32; other formats are those of a validation."""
    model = predictor.model

    def predicted(rows: list[list[str]], tasks: list[str]) -> dict[str, list[Prediction]]:
        if precision.dtype is None:
            return predictor.predict(rows, tasks)
        encoded = encode(model.tokenizer, rows, model.max_length, [model.tasks[task] for task in tasks])
        return predictions(model, encoded, counts_of(rows), tasks, precision=precision)

    return lambda requests: [predicted(*request) for request in requests]


def usual(model: Model, requests: Iterable[Request], precision: Precision) -> Predictions:
    """Predictions of the tutorial's loop."""
    results: Predictions = []
    with torch.inference_mode(), precision.autocast():
        for rows, tasks in requests:
            by_task: dict[str, list[Prediction]] = {task: [] for task in tasks}
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                encoded = model.tokenizer.encode(part, model.max_length)
                batch = padded_to_width(collate(encoded, np.arange(len(part)))).to(model.device)
                for task, logits in model(batch, tasks).items():
                    by_task[task] += model.tasks[task].decode(logits.float().cpu(), batch.word_ids, [len(row) for row in part])
            results.append(by_task)
    return results


def padded_to_width(batch: Batch) -> Batch:
    """The batch padded to ``WIDTH``."""
    more = (0, WIDTH - batch.mask.shape[1])
    tensors = (nn.functional.pad(tensor, more) for tensor in (batch.subwords, batch.mask, batch.word_shape_ids))
    return Batch(*tensors, np.pad(batch.word_ids, ((0, 0), more), constant_values=-1), {}, {})


def pipelines(folder: Path, model: Model, precision: Precision) -> Side:
    """A pipeline of Hugging Face for each task; gives no predictions that could be compared."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        PreTrainedTokenizerFast,
        pipeline,
    )

    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / models.TOKENIZER), model_max_length=model.max_length, **names)
    settings = dict(model.encoder.config()["model"])
    architecture = AutoConfig.for_model(settings.pop("model_type"), **settings)
    made = {}
    for name, task in model.tasks.items():
        tags = task.name == "token_classification"
        auto = AutoModelForTokenClassification if tags else AutoModelForSequenceClassification
        own = auto.from_config(architecture, dtype=precision.dtype or torch.float32).eval()
        task_name, options = (
            "token-classification" if tags else "text-classification",
            {"device": model.device, "batch_size": PIPELINE_ROWS},
        )
        made[name] = pipeline(task_name, own, tokenizer=tokenizer, **options)

    def run(requests: Iterable[Request]) -> Predictions:
        for rows, tasks in requests:
            texts = [" ".join(row) for row in rows]
            for task in tasks:
                options = {} if model.tasks[task].name == "token_classification" else {"truncation": True}
                made[task](texts, **options)
        return []

    return run


class Difference(NamedTuple):
    """How far the predictions of two sides are apart."""

    number: float
    """The largest difference of two numbers."""
    unequal: float
    """Share of the classes and tags that differ."""


def difference(first: Predictions, second: Predictions, *, exact: bool = True) -> Difference:
    """Compare predictions.

    Args:
        first: those of our side.
        second: those of the other side.
        exact: only rounding in float32 is allowed.

    Raises:
        SystemExit: more than that differs.
    """
    worst, unequal, count = 0.0, 0, 0
    for own, other in zip(first, second, strict=True):
        for task, predicted in own.items():
            for row, (a, b) in enumerate(zip(predicted, other[task], strict=True)):
                if isinstance(a.value, float) and isinstance(b.value, float):
                    worst = max(worst, abs(a.value - b.value))
                    continue
                if exact and a.value != b.value:
                    raise SystemExit(f"row {row}: {task} is {a.value!r} on our side and {b.value!r} on the other")
                pairs = list(zip(labels_of(a), labels_of(b), strict=True))
                count += len(pairs)
                unequal += sum(x != y for x, y in pairs)
    if exact and worst > 1e-3:
        raise SystemExit(f"numbers differ by {worst:.2g}")
    return Difference(worst, unequal / max(count, 1))


def labels_of(prediction: Prediction) -> Sequence[Any]:
    """The tags of a prediction, or its only class."""
    return prediction.value if isinstance(prediction.value, (list, tuple)) else [prediction.value]


def compare(folder: Path, own: list[Request], turns: int, format_: str = "fp32", *, with_pipelines: bool = False) -> dict[str, Any]:
    """All sides in turn.

    Args:
        folder: of the model.
        own: the texts of each dataset, with its own tasks.
        turns: of each side.
        format_: number format of all sides.
        with_pipelines: whether pipelines are a side too.
    """
    with mock.patch.object(Model, "fuse"):
        unfused = Predictor(models.load(folder))
    precision = Precision(format_, unfused.model.device)
    exact = precision.device.type == "cpu" and precision.dtype is None
    model, other = unfused.model, padded(unfused.model).eval()
    sides: dict[str, Side] = {
        "": ours(Predictor.load(folder) if exact else unfused, precision),
        "tutorial_": lambda requests: usual(other, requests, precision),
    }
    if exact:
        sides["unfused_"] = ours(unfused, precision)
    compared = list(sides)[1:]
    rounded = [name for name, has_units in UNITS.items() if exact and has_units()]
    for name in rounded:
        sides[f"{name}_"] = ours(Predictor.load(folder, precision=name), precision)
    if with_pipelines:
        sides["pipelines_"] = pipelines(folder, model, precision)
    every = [Request([row for request in own for row in request.rows], list(model.tasks))]
    kinds = {"": own, "_all_tasks": every}
    clock, subwords = Clock(model.device), int(model.tokenizer.encode(every[0].rows, model.max_length).lengths.sum())
    for side in sides.values():  # on a GPU the first pass makes memory and kernels ready
        side([Request(request.rows[:ROWS], request.tasks) for request in own])
    seconds: dict[str, list[float]] = {}
    differences: list[Difference] = []
    roundings: dict[str, list[Difference]] = {name: [] for name in rounded}
    for _ in range(turns):
        for name, requests in kinds.items():
            predicted = {}
            for side, prediction in sides.items():
                start = clock()
                predicted[side] = prediction(requests)
                seconds.setdefault(f"{side}{name}", []).append(clock() - start)
            differences += [difference(predicted[""], predicted[side], exact=exact) for side in compared]
            for name, found in roundings.items():
                found.append(difference(predicted[""], predicted[f"{name}_"], exact=False))
    return {
        **{key: value for name, found in roundings.items() for key, value in in_fewer_bits(name, seconds, found).items()},
        **{
            f"vs_{side.removesuffix('_')}{name}": round(ratio(seconds[f"{side}{name}"], seconds[name]), 3)
            for side in list(sides)[1:]
            if side.removesuffix("_") not in rounded
            for name in kinds
        },
        **{f"{side}subwords_per_second{name}": round(subwords / median(seconds[f"{side}{name}"])) for side in sides for name in kinds},
        **{
            f"{side}texts_per_second{name}": round(len(every[0].rows) / median(seconds[f"{side}{name}"]))
            for side in sides
            for name in kinds
        },
        "padding_share_of_tutorial": round(1 - subwords / (WIDTH * len(every[0].rows)), 3),
        "identical": not any(each.unequal for each in differences),
        "unequal_share": max(each.unequal for each in differences),
        "difference": max(each.number for each in differences),
        "rows": len(every[0].rows),
        "precision": precision.name,
        "device": device_name(model.device),
    }


def in_fewer_bits(format_: str, seconds: dict[str, list[float]], differences: Sequence[Difference]) -> dict[str, float]:
    """Ours in a format beside ours in fp32 and the tutorial way in fp32, for both sorts of requests."""
    speeds = {
        f"{format_}_vs_{key}{name}": round(ratio(seconds[f"{side}{name}"], seconds[f"{format_}_{name}"]), 3)
        for key, side in (("fp32", ""), ("tutorial", "tutorial_"))
        for name in ("", "_all_tasks")
    }
    unequal, worst = (max(values) for values in zip(*((each.unequal, each.number) for each in differences), strict=True))
    return speeds | {f"{format_}_unequal_share": unequal, f"{format_}_difference": worst}


def first_line_seconds(folder: Path, turns: int) -> float:
    """Of `mtl predict`."""
    command, seconds = [sys.executable, "-m", "mtl", "predict", "--model", folder], []
    for _ in range(turns):
        start = time.perf_counter()
        subprocess.run(command, input=b"a line\n", check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def window_growth(model: Model, turns: int = 3) -> float:
    """Seconds per row to join the windows of long rows: of many rows beside few ones."""
    few, many = 100, 800
    return min(joining(model, many) for _ in range(turns)) / min(joining(model, few) for _ in range(turns)) * few / many


def joining(model: Model, rows: int) -> float:
    """CPU seconds to find the best window of each token of rows of 200 words."""
    encoded = encode_windows(model.tokenizer, [["word"] * 200] * rows, WIDTH)
    owner = encoded.owner
    assert owner is not None
    order = np.argsort(owner, kind="stable")
    windows = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
    start = time.process_time()
    for own in windows:
        best_windows(encoded, own.tolist())
    return time.process_time() - start


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/models/joint-augmented-1"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--turns", type=int, default=5, help="of each side (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rows, one turn: shows that it works, its figures say little")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16", "fp16"), default="fp32", help="of all sides (%(default)s)")
    parser.add_argument("--pipelines", action="store_true", help="beside Hugging Face's pipelines too")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    labels = {task: spec["label"] for task, spec in models.read_config(options.model)["tasks"].items()}
    requests = []
    for path in sorted((options.data / "examples").glob("*.parquet")):
        table = schema.read(path, ["split", "tokens"])
        rows = [row["tokens"] for row in table.to_pylist() if row["split"] == "test"][:: 20 if options.quick else 1]
        known = schema.labels_of(pq.read_schema(path))
        requests.append(Request(rows, [task for task, label in labels.items() if label in known]))
    turns = 1 if options.quick else options.turns
    results = compare(options.model, requests, turns, options.precision, with_pipelines=options.pipelines)
    results["first_line_seconds"] = round(first_line_seconds(options.model, turns), 2)
    results["window_growth"] = round(window_growth(Predictor.load(options.model).model), 2)
    show(results, options.json)


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
