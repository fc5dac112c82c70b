"""Are the verdicts true? Runs the experiment on synthetic data for which the effect of joint training is known.

    python benchmarks/known_answer.py --results known_answer.csv
    python benchmarks/known_answer.py --results known_answer.csv --table

A text consists of synthetic words, each with a hidden class. The label of a text is the majority class of its words. In both pairs,
task ``few`` has few labelled texts. In the pair ``related``, task ``many`` has many texts of the same words with the same hidden
classes (its labels have other names, and its head is its own), so joint training must improve ``few``. In the pair ``unrelated``,
``many`` has other words and classes and cannot help ``few``: a verdict other than "no difference shown" on either task is a false
claim.

A replication draws new data and seeds, then trains, predicts and compares with the functions of the workflow. Its runs are compared
over all of their seeds and also over fewer. Each comparison is a line of the results; finished replications are skipped.
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
    """Number of seeds of the comparison."""
    task: str
    single_task: float
    """Mean score of the single-task runs."""
    difference: float
    low: float
    """Corrected for multiple comparisons, like ``high``; the verdict uses both."""
    high: float
    verdict: str


# --- synthetic data ---------------------------------------------------------------------------------------------------


def word(number: int) -> str:
    """A synthetic word, such as ``bakedi``; unique for numbers below 64,000."""
    syllables = [first + second for first in "bdfgklmn" for second in "aeiou"]
    return "".join(syllables[number // 40**digit % 40] for digit in range(3))


def texts(rng: np.random.Generator, first: int, names: Sequence[str], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Texts from a vocabulary of ``WORDS`` words that starts at number ``first``, each labelled with the name of its majority class.

    The class of a word is its number modulo ``CLASSES``.
    """
    rows = []
    for split, size in sizes.items():
        for number in range(size):
            label = int(rng.integers(CLASSES))
            classes = [label] * (LENGTH // 2 + 1) + [int(rng.integers(CLASSES)) for _ in range(LENGTH // 2)]
            sampled = [CLASSES * int(rng.integers(WORDS // CLASSES)) + class_ for class_ in rng.permutation(classes)]
            tokens = [word((first + place) * 7919 % 64_000) for place in sampled]
            row = {"id": f"{split}-{number}", "split": split, "tokens": tokens, "space_after": [True] * LENGTH}
            rows.append({**row, "label": names[label], "parent_id": None, "augmenter": None})
    return rows


def write(pair: str, replication: int, folder: Path) -> None:
    """The canonical tables of both datasets."""
    rng = np.random.default_rng([replication, PAIRS.index(pair)])
    other = 0 if pair == "related" else WORDS
    for name, first, labels in (("few", 0, ("x", "y", "z")), ("many", other, ("p", "q", "r"))):
        table = pa.Table.from_pylist(texts(rng, first, labels, SIZES[name]), schema=schema.schema({"label": "class"}))
        schema.write(table, folder / f"{name}.parquet")


def settings(seeds: Sequence[int]) -> Params:
    """A small network; joint and single-task runs."""
    dataset = {"source": {"url": "synthetic"}, "reader": {"format": "jsonl"}, "labels": {"label": {"type": "class", "column": "label"}}}
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
    """Create the data, train runs with the largest number of seeds, and compare them over the first seeds of each count."""
    params = settings([1000 * replication + seed for seed in range(max(counts))])
    with TemporaryDirectory(prefix="known_answer-") as name:
        examples, models, predictions, results = folders = [
            Path(name, folder) for folder in ("examples", "models", "predictions", "results")
        ]
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
    comparisons = json.loads((out / "comparisons.json").read_text(encoding="utf-8"))["comparisons"]
    return [
        Result(
            replication,
            pair,
            count,
            item["task"],
            *(round(item[key], 4) for key in ("second", "difference", "corrected_low", "corrected_high")),
            item["verdict"],
        )
        for item in comparisons
    ]


# --- all replications, and the table ----------------------------------------------------------------------------------


def read(path: Path) -> list[Result]:
    """The results so far."""
    return ledger.read(path, Result)


def table(results: Iterable[Result]) -> str:
    """How often each verdict occurs, as Markdown, and the number of replications without a false claim."""
    results = list(results)
    lines = [
        "| pair | seeds | task | replications | single-task | difference | gained, ahead | lost, behind | no difference shown |",
        "|---" * 9 + "|",
    ]
    for pair, seeds, task in dict.fromkeys((result.pair, result.seeds, result.task) for result in sorted(results, key=_place)):
        group = [result for result in results if (result.pair, result.seeds, result.task) == (pair, seeds, task)]
        verdicts = Counter(result.verdict for result in group)
        means = (np.mean([getattr(result, key) for result in group]) for key in ("single_task", "difference"))
        counts = (sum(verdicts[word] for word in words) for words in (("gained", "ahead"), ("lost", "behind"), ("no difference shown",)))
        cells = [pair, seeds, task, len(group), *(f"{mean:.3f}" for mean in means), *counts]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for seeds in sorted({result.seeds for result in results}):
        unrelated = [result for result in results if (result.pair, result.seeds) == ("unrelated", seeds)]
        false = {result.replication for result in unrelated if result.verdict in ("gained", "lost")}
        total = len({result.replication for result in unrelated})
        lines.append(f"\nseeds {seeds}: no false claim in {total - len(false)} of {total} replications of the unrelated pair")
    return "\n".join(lines)


def _place(result: Result) -> tuple[int, int, str]:
    return PAIRS.index(result.pair), result.seeds, result.task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing replications, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="CSV file to which each replication adds its lines")
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 3, 5], help="numbers of seeds to compare; the largest number is trained"
    )
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=PAIRS)
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args(arguments)
    finished = {(result.pair, result.replication) for result in read(options.results)}
    missing = [(pair, number) for number in range(options.replications) for pair in options.pairs if (pair, number) not in finished]
    for pair, number in [] if options.table else missing:
        append(replicate(pair, number, options.seeds), options.results)
    print(table(read(options.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
