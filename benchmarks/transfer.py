"""Does joint training gain where it should, and nowhere else? Small targets beside larger sets, with a related and an unrelated one.

    python benchmarks/transfer.py --data DIR --encoder data/raw/model.encoder --work work/transfer --json

    control           target                                        trained with
    crossner_ai       100 sentences about AI with entities          conll2003: entities in the news
    customer_reviews  100 sentences of reviews with a sentiment     sst2: sentiment of film reviews
    trec              100 questions with their type                 sst2: another question about other texts

``--data`` has a folder for each set (``crossner_ai/train.txt``, ``dev.txt``; ``conll2003/train.txt``; ``customer_reviews/two_thirds.txt``;
``sst2/train.txt``; ``trec/train.txt``). Joint and single-task runs have the same number of updates and predict the same test rows of the
target; weights are kept by the target's validation rows. The first two are positive controls: the interval should be above 0. The third
is negative: each replication draws other rows and seeds, and any verdict but "no difference shown" is a false claim.

Predictions stay in ``--work``; finished runs are skipped. With --json the last line is one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

import mtl.config
from mtl.config import Params, Run
from mtl.data import schema

Row = dict[str, Any]
TARGET, OTHER = "target", "other"


class Control(NamedTuple):
    """Two sets, and how many rows of them are used: train, validation, test."""

    files: tuple[str, ...]
    other: str
    type: str
    """Of the target's label; both tasks have the same type."""
    rows: tuple[int, int, int]
    positive: bool


CONTROLS = {
    "crossner_ai": Control(("crossner_ai/train.txt", "crossner_ai/dev.txt"), "conll2003/train.txt", "tags", (100, 100, 250), positive=True),
    "customer_reviews": Control(("customer_reviews/two_thirds.txt",), "sst2/train.txt", "class", (100, 100, 800), positive=True),
    "trec": Control(("trec/train.txt",), "sst2/train.txt", "class", (100, 100, 800), positive=False),
}
OTHER_ROWS = (1000, 50, 50)
TRAIN = {
    "batch_tokens": 512,
    "learning_rate": 2e-4,
    "head_learning_rate": 1e-3,
    "sampling": {"type": "temperature", "temperature": 2},
    "eval_every": 25,
    "patience": 100,
}


# --- data -------------------------------------------------------------------------------------------------------------


def read(path: Path, type_: str) -> Iterator[Row]:
    """Rows of a file of tagged tokens, or of lines that begin with a class (of which the part before a colon counts)."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if type_ == "class":
        for line in text.splitlines():
            label, _, words = line.partition(" ")
            yield {"tokens": words.split(), "label": label.partition(":")[0]}
        return
    for block in text.split("\n\n"):
        lines = [line.split() for line in block.splitlines() if line.strip() and not line.startswith("-DOCSTART-")]
        if lines:
            yield {"tokens": [cells[0] for cells in lines], "label": [cells[-1] for cells in lines]}


def write(name: str, files: Sequence[Path], type_: str, counts: Sequence[int], replication: int, folder: Path) -> None:
    """A canonical table of rows in random order; of several files the first is the train split."""
    draw, unique = np.random.default_rng([replication, len(name)]), {}
    for file in files:
        unique.update({tuple(row["tokens"]): (row, file) for row in read(file, type_) if row["tokens"]})
    rows = list(unique.values())
    order = [rows[i] for i in draw.permutation(len(rows))]
    order.sort(key=lambda item: files.index(item[1]))
    splits = [split for split, count in zip(("train", "validation", "test"), counts, strict=True) for _ in range(count)]
    made = [
        {
            **row,
            "id": f"all-{number}",
            "split": split,
            "space_after": [True] * len(row["tokens"]),
            "parent_id": None,
            "augmenter": None,
        }
        for number, (split, (row, _)) in enumerate(zip(splits, order, strict=False))
    ]
    schema.write(pa.Table.from_pylist(made, schema=schema.schema({"label": type_})), folder / f"{name}.parquet")


def settings(control: Control, encoder: Path | None, epochs: float, seeds: Sequence[int]) -> Params:
    """Two tasks of a control. The encoder is the default one, or without a folder a small one, to try the benchmark out."""
    label = {"type": control.type, "column": "label"}
    dataset = {"source": {"url": "made-here"}, "reader": {"format": "jsonl"}, "labels": {"label": label}}
    dataset["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    type_ = "token_classification" if control.type == "tags" else "classification"
    pretrained = {"type": "transformer", "source": {"url": "made-here"}, "max_length": 64, "word_shape": True, "pooling": "first"}
    return mtl.config.parse(
        {
            "seed": 1,
            "datasets": dict.fromkeys((TARGET, OTHER), dataset),
            "tasks": {name: {"type": type_, "label": "label", "datasets": [name]} for name in (TARGET, OTHER)},
            "augment": {},
            "encoder": pretrained if encoder else {"type": "fnn", "width": 32, "layers": 1, "vocabulary": 2_000, "max_length": 64},
            "train": {**TRAIN, "epochs": epochs, "score": TARGET},
            "experiment": {"seeds": list(seeds), "joint": ["plain"], "single_task": ["plain"]},
        }
    )


# --- runs and comparison ----------------------------------------------------------------------------------------------


def run_all(params: Params, encoder: Path | None, examples: Path, predictions: Path) -> None:
    """Train the joint runs and those of the target, and predict; what is there is kept."""
    from mtl.evaluation.predictions import predict_run
    from mtl.training.run import train

    predictions.mkdir(parents=True, exist_ok=True)
    for name, run in compared(params).items():
        if (predictions / f"{name}.parquet").exists():
            continue
        with TemporaryDirectory(prefix="transfer-") as out:
            train(params, run, examples, examples, encoder, Path(out))
            predict_run(params, run, Path(out), examples, predictions)
        print(f"{predictions.name}: {name} is done", file=sys.stderr, flush=True)


def compared(params: Params) -> dict[str, Run]:
    """The runs that have the target."""
    return {name: run for name, run in params.runs().items() if TARGET in run.tasks}


def gain(params: Params, predictions: Path) -> dict[str, Any]:
    """The comparison of joint with single-task training on the target."""
    from mtl.evaluation.bootstrap import draws, resample
    from mtl.evaluation.comparison import Key, Scores, compare
    from mtl.evaluation.results import read_predictions

    spec, sides = params.tasks[TARGET], {}
    for model in ("joint", "single"):
        names = [name for name, run in compared(params).items() if (len(run.tasks) == 1) == (model == "single")]
        found = [read_predictions(predictions / f"{name}.parquet", params.runs()[name])[TARGET] for name in names]
        sampled = [draws(spec.type, rows.gold, rows.prediction, resample(rows.keys, params.evaluate.resamples)) for rows in found]
        metric, seeds = spec.main_metric, tuple(params.runs()[name].seed for name in names)
        values = np.array([scores[metric.name] for scores, _ in sampled])
        sides[Key(TARGET, model, "plain")] = Scores(seeds, values, np.stack([drawn[metric.name] for _, drawn in sampled]), metric.sign)
    (result,) = compare(sides, params.evaluate.confidence)
    return result


def measure(name: str, options: argparse.Namespace, replication: int, seeds: int) -> dict[str, Any]:
    """The comparison of a control, on rows and seeds of its own."""
    control, data = CONTROLS[name], options.data
    params = settings(control, options.encoder, options.epochs, [1000 * replication + seed for seed in range(1, seeds + 1)])
    with TemporaryDirectory(prefix="transfer-") as folder:
        examples = Path(folder)
        write(TARGET, [data / file for file in control.files], control.type, control.rows, replication, examples)
        write(OTHER, [data / control.other], control.type, OTHER_ROWS, replication, examples)
        predictions = options.work / f"{name}-{replication}"
        run_all(params, options.encoder, examples, predictions)
        result = gain(params, predictions)
    print(
        f"{name}, replication {replication}, {seeds} seeds: single-task {result['second']:.3f}, joint {result['first']:.3f}, "
        f"difference {result['difference']:+.3f} ({result['corrected_low']:+.3f} to {result['corrected_high']:+.3f}): {result['verdict']}",
        flush=True,
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--encoder", type=Path, help="folder of the pretrained encoder; a small network without it")
    parser.add_argument("--work", type=Path, required=True, help="folder where predictions are kept")
    parser.add_argument("--controls", nargs="+", choices=CONTROLS, default=list(CONTROLS))
    parser.add_argument("--seeds", type=int, default=10, help="of a positive control")
    parser.add_argument("--replications", type=int, default=20, help="of a negative control")
    parser.add_argument("--seeds-of-replication", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"seeds": options.seeds, "replications": options.replications}
    for name in options.controls:
        if CONTROLS[name].positive:
            result = measure(name, options, 0, options.seeds)
            figures |= {f"gain_{name}": round(result["difference"], 4), f"interval_low_{name}": round(result["corrected_low"], 4)}
        else:
            results = [measure(name, options, number, options.seeds_of_replication) for number in range(options.replications)]
            figures["false_claims"] = sum(result["verdict"] in ("gained", "lost") for result in results)
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
