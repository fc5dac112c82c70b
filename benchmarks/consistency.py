"""Do rows without labels help? Trains on few labelled rows, alone and beside a pool of rows without labels, over several seeds.

    python benchmarks/consistency.py --sentiment sst2/train.txt sst2/dev.txt --entities conll2003/train.txt conll2003/valid.txt \
        --encoder data/raw/model.encoder --work work/consistency --json

The files of ``--sentiment`` (train, test) have lines of a class and a text (``1 a good film``); those of ``--entities`` one token and its
IOB2 tag a line, in the first and last of the columns between spaces. The pool is drawn from the train file once; the labelled rows are
drawn by seed from what is left, so that fewer rows lie within more. Three ways of training:

| way | learns from |
|---|---|
| supervised | the labelled rows |
| consistency | the same, and the pool by ``consistency``, on back-translations and synonyms |
| self_training | the same, and the pool with the predictions of the supervised model that are confident enough as its labels |

All make the same number of updates, each over as many subwords of labelled rows, and those with the pool over ``--ratio`` times as many of
its. The weights at the end count; no validation row selects any. Each finished run is one line of ``results.csv`` in ``--work``, where
it is skipped next time. Gains are differences to supervised paired by seed, with their 95 % t interval.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from shutil import rmtree
from statistics import fmean
from typing import Any, NamedTuple

import ledger
import numpy as np
import pyarrow as pa
from augment_gain import augment, interval, train

import mtl.config
from mtl.config import Params
from mtl.data import schema

WAYS = ("supervised", "consistency", "self_training")
TASKS = {"sentiment": ("classification", "class"), "entities": ("token_classification", "tags")}
"""Task to the types of task and label."""
METHODS = {"back_translate": {"type": "back_translate", "copies": 2}, "synonym": {"type": "synonym"}}
MAX_LENGTH = 64
CONFIDENT = 0.8
"""Confidence of a prediction from which self-training takes it for a label: the default of ``consistency.confidence``."""

Row = tuple[list[str], Any]
"""Tokens and label."""


class Job(NamedTuple):
    """What is run: jobs are done in the order of these fields."""

    seed: int
    task: str
    size: int
    way: str


class Result(NamedTuple):
    """One line of the results."""

    seed: int
    task: str
    size: int
    way: str
    score: float
    """The task's main metric on the test rows."""
    steps: int
    followed: float
    """Share of the compared items that were followed, or of the pool that got a label."""
    seconds: float

    @property
    def job(self) -> Job:
        """What it is the result of."""
        return Job(*self[:4])


# --- rows -------------------------------------------------------------------------------------------------------------


def read(task: str, path: Path) -> list[Row]:
    """The rows of a file; of equal tokens the first."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if task == "sentiment":
        found = [(words.split(), label) for label, _, words in (line.partition(" ") for line in lines) if words.split()]
    else:
        blocks = "\n".join(line.strip() for line in lines if not line.startswith("-DOCSTART-")).split("\n\n")
        pairs = [[line.split(" ") for line in block.splitlines() if line] for block in blocks]
        found = [([pair[0] for pair in block], [pair[-1] for pair in block]) for block in pairs if block]
    unique: dict[tuple[str, ...], Row] = {}
    for tokens, label in found:
        unique.setdefault(tuple(tokens), (tokens, label))
    return list(unique.values())


class Rows(NamedTuple):
    """The rows of a task."""

    pool: list[Row]
    """Their labels are not used."""
    labelled: list[Row]
    test: list[Row]

    @classmethod
    def draw(cls, task: str, files: Sequence[Path], pool: int, test: int) -> "Rows":
        """Draw pool and test rows, always the same ones."""
        rows, held_out = (read(task, path) for path in files)
        order = np.random.default_rng(1).permutation(len(rows)).tolist()
        tested = np.random.default_rng(2).permutation(len(held_out)).tolist()[:test]
        return cls([rows[i] for i in order[:pool]], [rows[i] for i in order[pool:]], [held_out[i] for i in tested])

    def sample(self, seed: int, size: int) -> list[Row]:
        """Labelled rows; those of a smaller size are among them."""
        return [self.labelled[i] for i in np.random.default_rng([3, seed]).permutation(len(self.labelled)).tolist()[:size]]


def write(rows: Iterable[Row], label_type: str | None, path: Path) -> None:
    """A canonical table of train rows, with labels or without."""
    labels = {} if label_type is None else {"label": label_type}
    made = [
        {
            "id": f"all-{number}",
            "split": "train",
            "tokens": tokens,
            "space_after": [True] * (len(tokens) - 1) + [False],
            **({"label": label} if labels else {}),
            "parent_id": None,
            "augmenter": None,
        }
        for number, (tokens, label) in enumerate(rows)
    ]
    schema.write(pa.Table.from_pylist(made, schema=schema.schema(labels)), path)


# --- one run ----------------------------------------------------------------------------------------------------------


def settings(options: argparse.Namespace, job: Job, epochs: float) -> Params:
    """One task. The encoder is the default one, or without a folder a small one."""
    task_type, label_type = TASKS[job.task]
    source = {"source": {"url": "made-here"}, "reader": {"format": "jsonl"}, "language": "en"}
    labelled = source | {"labels": {"label": {"type": label_type, "column": "label"}}, "split": {"train": 0.5, "test": 0.5}}
    pool = {"consistency": {"pool": source}, "self_training": {"pool": labelled}}.get(job.way, {})
    spec = {"datasets": ["pool"], "anneal": None if options.anneal == "none" else options.anneal}
    consistency = {"consistency": spec} if job.way == "consistency" else {}
    shares = {"type": "fixed", "shares": {"labelled": 1.0, "pool": options.ratio}}
    pretrained = {"type": "transformer", "source": {"url": "made-here"}, "max_length": MAX_LENGTH, "word_shape": True, "pooling": "mean"}
    rate = 1e-4 if options.encoder else 3e-3
    return mtl.config.parse(
        {
            "seed": 1,
            "datasets": {"labelled": labelled, **pool},
            "tasks": {job.task: {"type": task_type, "label": "label", "methods": {}, **consistency}},
            "augment": {"shards": 1, "methods": METHODS if consistency else {}},
            "encoder": pretrained if options.encoder else {"type": "fnn", "width": 64, "layers": 1, "max_length": MAX_LENGTH},
            "train": {
                "epochs": epochs,
                "batch_tokens": options.batch_tokens * (1 + options.ratio if job.way == "self_training" else 1),
                "unlabelled": options.ratio,
                "sampling": shares if job.way == "self_training" else "proportional",
                "learning_rate": rate,
                "head_learning_rate": 10 * rate if options.encoder else rate,
                "eval_every": 1_000_000,
            },
            "experiment": {"seeds": [job.seed], "joint": ["augmented" if consistency else "plain"], "single_task": []},
        }
    )


class Bench:
    """The runs of a benchmark, and what they share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        files = {"sentiment": options.sentiment, "entities": options.entities}
        self.rows = {task: Rows.draw(task, own, options.pool, options.test) for task, own in files.items() if own}

    def run(self, job: Job) -> Result:
        """Train and score; the supervised model of a seed and size stays for self-training."""
        folder = self.options.work / f"{job.task}-{job.size}-{job.seed}-{job.way}"
        if folder.exists():
            rmtree(folder)
        (folder / "examples").mkdir(parents=True)
        (folder / "model").mkdir()
        sample, label_type, rows = self.rows[job.task].sample(job.seed, job.size), TASKS[job.task][1], self.rows[job.task]
        write(sample, label_type, folder / "examples/labelled.parquet")
        learnt, share, shards = list(sample), 0.0, folder / "shards"
        if job.way == "self_training":
            pseudo = self.pseudo(job)
            learnt, share = learnt + pseudo, len(pseudo) / len(rows.pool)
            write(pseudo, label_type, folder / "examples/pool.parquet")
        elif job.way == "consistency":
            write(rows.pool, None, folder / "examples/pool.parquet")
            shards = self.shards(job)
        batch_tokens = self.options.batch_tokens * (1 + self.options.ratio if job.way == "self_training" else 1)
        epochs = self.options.steps / max(1, round(self.subwords(learnt) / batch_tokens))
        train(settings(self.options, job, epochs), folder / "examples", shards, self.options.encoder, folder / "model")
        facts = json.loads((folder / "model/run.json").read_text(encoding="utf-8"))
        seconds = json.loads((folder / "model/cost.json").read_text(encoding="utf-8"))["seconds"]
        share = facts["unlabelled"][job.task]["followed"] if job.way == "consistency" else share
        return Result(*job, self.score(job, folder / "model"), facts["steps"], share, round(seconds, 1))

    def shards(self, job: Job) -> Path:
        """The variants of the pool, made once for each task."""
        folder = self.options.work / f"{job.task}-pool"
        if not (folder / "shards").exists():
            (folder / "making").mkdir(parents=True, exist_ok=True)
            write(self.rows[job.task].pool, None, folder / "pool.parquet")
            params = settings(self.options, job, 1.0)
            augment(params, "pool", folder, folder / "making")
            (folder / "making").rename(folder / "shards")
        return folder / "shards"

    def subwords(self, rows: Iterable[Row]) -> int:
        """How many subwords rows have; of a small encoder, whose vocabulary is not learnt yet, about how many."""
        from mtl.encoders import SubwordTokenizer

        tokens = [tokens for tokens, _ in rows]
        if self.options.encoder is None:
            return sum(len(row) + 2 for row in tokens)
        return int(SubwordTokenizer.load(self.options.encoder / "tokenizer.json").encode(tokens, MAX_LENGTH).lengths.sum())

    def pseudo(self, job: Job) -> list[Row]:
        """Rows of the pool with the predictions of the supervised model, where it is confident, as their labels."""
        pool = [tokens for tokens, _ in self.rows[job.task].pool]
        found = _predictions(self.options.work / f"{job.task}-{job.size}-{job.seed}-supervised/model", job.task, pool)
        confident = [(tokens, made) for tokens, made in zip(pool, found, strict=True) if made.confidence >= CONFIDENT]
        return [(tokens, made.value if isinstance(made.value, str) else list(made.value)) for tokens, made in confident]

    def score(self, job: Job, model: Path) -> float:
        """The main metric on the test rows."""
        from mtl.plugins import task_type
        from mtl.tasks.base import to_text

        kind, test = task_type(TASKS[job.task][0]), self.rows[job.task].test
        predicted = [made.text for made in _predictions(model, job.task, [tokens for tokens, _ in test])]
        main = kind.metric()
        return float(kind.scores([to_text(label) for _, label in test], predicted, main)[main.name])


def _predictions(model: Path, task: str, rows: Sequence[list[str]]) -> list[Any]:
    from mtl.model.prediction import Predictor

    return Predictor.load(model).predict(rows, [task])[task]


# --- results ----------------------------------------------------------------------------------------------------------


def cells(results: Iterable[Result]) -> Iterator[dict[str, Any]]:
    """For each task and size the scores and gains over the seeds that have all three runs."""
    by_job = {result.job: result for result in results}
    for task, size in sorted({(job.task, job.size) for job in by_job}, key=lambda cell: (list(TASKS).index(cell[0]), cell[1])):
        seeds = [seed for seed in sorted({job.seed for job in by_job}) if all(Job(seed, task, size, way) in by_job for way in WAYS)]
        if not seeds:
            continue
        runs = {way: [by_job[Job(seed, task, size, way)] for seed in seeds] for way in WAYS}
        cell: dict[str, Any] = {"task": task, "labels": size, "seeds": len(seeds), "steps": runs["supervised"][0].steps}
        for way, own in runs.items():
            gains = [run.score - base.score for run, base in zip(own, runs["supervised"], strict=True)]
            mean, half = interval(gains)
            cell[way] = {"score": fmean(run.score for run in own), "seconds": fmean(run.seconds for run in own)}
            if way != "supervised":
                cell[way] |= {"followed": fmean(run.followed for run in own), "gain": mean}
                cell[way] |= {"low": mean - half, "high": mean + half} if len(seeds) > 1 else {}
        yield cell


def table(found: Iterable[dict[str, Any]]) -> str:
    """The cells as Markdown."""
    lines = ["| task | labelled rows | seeds | supervised | consistency | self-training |", "|---" * 6 + "|"]
    for cell in found:
        gains = [
            f"{own['gain']:+.3f} ({own['low']:+.3f} to {own['high']:+.3f})" if "low" in own else f"{own['gain']:+.3f}"
            for own in (cell[way] for way in WAYS[1:])
        ]
        lines.append(
            f"| {cell['task']} | {cell['labels']} | {cell['seeds']} | {cell['supervised']['score']:.3f} | " + " | ".join(gains) + " |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    results, bench = options.work / "results.csv", Bench(options)
    cells_ = [(task, size) for task in bench.rows for size in (options.sizes if task == "sentiment" else options.sentences)]
    done = {result.job for result in ledger.read(results, Result)}
    for seed, (task, size), way in product(options.seeds, cells_, WAYS):
        if (job := Job(seed, task, size, way)) not in done:
            ledger.append([bench.run(job)], results)
            print(f"{job} is done", file=sys.stderr, flush=True)
    found = list(cells(ledger.read(results, Result)))
    print(table(found), flush=True)
    if options.json:
        print(json.dumps({"ratio": options.ratio, "pool": options.pool, "cells": found}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentiment", type=Path, nargs=2, metavar=("TRAIN", "TEST"), help="files of lines of a class and a text")
    parser.add_argument("--entities", type=Path, nargs=2, metavar=("TRAIN", "TEST"), help="files of a token and its tag a line")
    parser.add_argument("--encoder", type=Path, help="folder of the pretrained encoder; a small network without it")
    parser.add_argument("--work", type=Path, required=True, help="folder where finished runs are kept")
    parser.add_argument("--sizes", type=int, nargs="*", default=[20, 50, 100], help="labelled rows of the sentiment")
    parser.add_argument("--sentences", type=int, nargs="*", default=[50, 100], help="labelled rows of the entities")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--pool", type=int, default=5_000, help="rows without labels")
    parser.add_argument("--test", type=int, default=1_000, help="test rows, at most")
    parser.add_argument("--steps", type=int, default=100, help="updates of each run")
    parser.add_argument("--batch-tokens", type=int, default=256, help="subwords of labelled rows in an update")
    parser.add_argument("--ratio", type=int, default=2, help="subwords of rows without labels in an update, in units of those")
    parser.add_argument("--anneal", choices=["none", "linear", "log", "exp"], default="linear", help="of consistency; has its own --work")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
