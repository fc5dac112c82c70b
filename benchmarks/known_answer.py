"""Do the verdicts tell the truth? Runs the experiment on made data of which it is known what joint training brings.

    python benchmarks/known_answer.py --results known_answer.csv
    python benchmarks/known_answer.py --results known_answer.csv --table

A text is a handful of made words, and each word has a hidden class. In both pairs, task ``few`` has few labelled texts, labelled by
which class prevails. In the pair ``related``, task ``many`` has many texts of the same words with the same hidden classes (its labels
have other names, and a head of their own), so that joint training must show a gain of ``few``. In the pair ``unrelated``, its words
and classes are others, and nothing that is learnt of them tells anything of ``few``: a verdict other than "no difference shown" on
either task is a false claim.

A replication draws data and seeds anew, and trains, predicts and compares by the functions that the workflow uses. Its runs are compared
over all of their seeds and also over fewer. Each finished comparison is a line of the results; what is there already is skipped.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ledger
import numpy as np
import pyarrow as pa
from ledger import append

import mtl.config
from mtl.config import Params
from mtl.data import schema

PAIRS = ("related", "unrelated")
SIZES = {"few": {"train": 60, "validation": 60, "test": 400}, "many": {"train": 600, "validation": 60, "test": 400}}
WORDS, CLASSES, LENGTH = 300, 3, 9


class Result(NamedTuple):
    """One line of the results."""

    replication: int
    pair: str
    seeds: int
    """How many the comparison is over."""
    task: str
    alone: float
    difference: float
    low: float
    """Corrected, as is ``high``: what the verdict goes by."""
    high: float
    verdict: str


# --- made data --------------------------------------------------------------------------------------------------------


def word(number: int) -> str:
    """A made word, such as ``bakedi``; different numbers below 64,000 have different ones."""
    syllables = [first + second for first in "bdfgklmn" for second in "aeiou"]
    return "".join(syllables[number // 40**place % 40] for place in range(3))


def texts(draw: np.random.Generator, first: int, names: Sequence[str], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Texts of ``WORDS`` words from number ``first`` on, each labelled by the name of the class that prevails in it.

    The class of a word is a function of its number, scattered over them.
    """
    rows = []
    for split, size in sizes.items():
        for number in range(size):
            label = int(draw.integers(CLASSES))
            classes = [label] * (LENGTH // 2 + 1) + [int(draw.integers(CLASSES)) for _ in range(LENGTH // 2)]
            chosen = [CLASSES * int(draw.integers(WORDS // CLASSES)) + kind for kind in draw.permutation(classes)]
            tokens = [word((first + place) * 7919 % 64_000) for place in chosen]
            row = {"id": f"{split}-{number}", "split": split, "tokens": tokens, "space_after": [True] * LENGTH}
            rows.append({**row, "label": names[label], "parent_id": None, "augmenter": None})
    return rows


def write(pair: str, replication: int, folder: Path) -> None:
    """The canonical tables of both datasets."""
    draw = np.random.default_rng([replication, PAIRS.index(pair)])
    other = 0 if pair == "related" else WORDS
    for name, first, labels in (("few", 0, ("x", "y", "z")), ("many", other, ("p", "q", "r"))):
        table = pa.Table.from_pylist(texts(draw, first, labels, SIZES[name]), schema=schema.schema({"label": "class"}))
        schema.write(table, folder / f"{name}.parquet")


def settings(seeds: Sequence[int]) -> Params:
    """A small network, and each task joint and alone."""
    dataset = {"source": {"url": "made"}, "reader": {"format": "jsonl"}, "labels": {"label": {"type": "class", "column": "label"}}}
    split = {"train": 0.5, "validation": 0.25, "test": 0.25}
    return mtl.config.parse(
        {
            "seed": 1,
            "datasets": {name: {**dataset, "split": split} for name in SIZES},
            "tasks": {name: {"type": "classification", "label": "label", "datasets": [name]} for name in SIZES},
            "augment": {},
            "encoder": {"type": "fnn", "width": 32, "window": 0, "layers": 1, "vocabulary": 2_000, "max_length": 32},
            "train": {"epochs": 6, "batch_tokens": 1024, "learning_rate": 0.01, "head_learning_rate": 0.01, "patience": 100},
            "experiment": {"seeds": list(seeds), "joint": ["plain"], "single_task": ["plain"]},
            "evaluate": {"resamples": 1000},
            "report": {},
        }
    )


# --- a replication ----------------------------------------------------------------------------------------------------


def replicate(pair: str, replication: int, counts: Sequence[int]) -> list[Result]:
    """Make the data, train the runs of as many seeds as the greatest count, and compare them over the first seeds of each count."""
    params = settings([1000 * replication + seed for seed in range(max(counts))])
    with TemporaryDirectory(prefix="known_answer-") as name:
        examples, models, predictions, results = folders = [Path(name, part) for part in ("examples", "models", "predictions", "results")]
        for folder in folders:
            folder.mkdir()
        write(pair, replication, examples)
        run_all(params, examples, models, predictions)
        return [result for count in counts for result in compare(params, count, pair, replication, models, predictions, results)]


def run_all(params: Params, examples: Path, models: Path, predictions: Path) -> None:
    """Train and predict."""
    import mtl.training.run
    from mtl.evaluation.predictions import predict_run

    for name, run in params.runs().items():
        (models / name).mkdir()
        mtl.training.run.train(params, run, examples, examples, None, models / name)
        predict_run(params, run, models / name, examples, predictions)


def compare(params: Params, count: int, pair: str, replication: int, models: Path, predictions: Path, out: Path) -> list[Result]:
    """The comparisons over the first seeds."""
    from mtl.evaluation.results import evaluate

    experiment = params.experiment.model_copy(update={"seeds": params.experiment.seeds[:count]})
    evaluate(params.model_copy(update={"experiment": experiment}), models, predictions, out)
    found = json.loads((out / "comparisons.json").read_text(encoding="utf-8"))["comparisons"]
    return [
        Result(
            replication,
            pair,
            count,
            item["task"],
            *(round(item[key], 4) for key in ("second", "difference", "corrected_low", "corrected_high")),
            item["verdict"],
        )
        for item in found
    ]


# --- all replications, and the table ----------------------------------------------------------------------------------


def read(path: Path) -> list[Result]:
    """The results so far."""
    return ledger.read(path, Result)


def table(results: Iterable[Result]) -> str:
    """How often each verdict was given, as Markdown, and the number of replications without a false claim."""
    results = list(results)
    lines = [
        "| pair | seeds | task | replications | alone | difference | gained, ahead | lost, behind | no difference shown |",
        "|---" * 9 + "|",
    ]
    for pair, seeds, task in dict.fromkeys((result.pair, result.seeds, result.task) for result in sorted(results, key=_place)):
        found = [result for result in results if (result.pair, result.seeds, result.task) == (pair, seeds, task)]
        verdicts = Counter(result.verdict for result in found)
        means = (np.mean([getattr(result, key) for result in found]) for key in ("single", "difference"))
        counts = (sum(verdicts[word] for word in words) for words in (("gained", "ahead"), ("lost", "behind"), ("no difference shown",)))
        cells = [pair, seeds, task, len(found), *(f"{mean:.3f}" for mean in means), *counts]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for seeds in sorted({result.seeds for result in results}):
        unrelated = [result for result in results if (result.pair, result.seeds) == ("unrelated", seeds)]
        false = {result.replication for result in unrelated if result.verdict in ("gained", "lost")}
        whole = len({result.replication for result in unrelated})
        lines.append(f"\nseeds {seeds}: no false claim in {whole - len(false)} of {whole} replications of the unrelated pair")
    return "\n".join(lines)


def _place(result: Result) -> tuple[int, int, str]:
    return PAIRS.index(result.pair), result.seeds, result.task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="CSV file, which grows by the lines of a replication")
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 5], help="over how many to compare; the greatest is trained")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=PAIRS)
    parser.add_argument("--table", action="store_true", help="run nothing, only print the table")
    options = parser.parse_args(arguments)
    done = {(result.pair, result.replication) for result in read(options.results)}
    todo = [(pair, number) for number in range(options.replications) for pair in options.pairs if (pair, number) not in done]
    for pair, number in [] if options.table else todo:
        append(replicate(pair, number, options.seeds), options.results)
    print(table(read(options.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
