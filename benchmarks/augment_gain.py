"""Does augmentation help? Trains single-task models on small subsets of the train split, with and without each method, over several seeds.

    snakemake --cores all prepare
    python benchmarks/augment_gain.py --data data --encoder data/raw/model.encoder --results gain.csv --workers 2
    python benchmarks/augment_gain.py --results gain.csv --table

A run trains one task on ``size`` rows, sampled by seed so that smaller subsets lie in larger ones, and is scored on the whole test split.
All runs of a task, size and seed make the same number of updates over the same rows in the same order: a setting only decides which of
them are shown as a variant. Seeds are that of the rows, of the augmentation and of the training at once. Each finished run is one line
of the results; a run that is there already is skipped. The table holds the difference of each setting to none, paired by seed.
"""

import argparse
import json
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ledger
import pyarrow as pa
import pyarrow.compute as pc

import mtl.config
from mtl.augment.shards import augment_shard, read_counts
from mtl.config import Augment, AugmentMethod, Experiment, Params
from mtl.data import schema
from mtl.names import ShardName
from mtl.progress import progress_bar
from mtl.seeds import seed_of

METHODS: dict[str, dict[str, Any]] = {
    "synonym": {"type": "synonym", "rate": 0.3, "copies": 2},
    "back_translate": {"type": "back_translate", "engine": "apertium", "pivots": ["eo", "es"], "copies": 2},
    "delete": {"type": "delete", "rate": 0.1, "copies": 2},
    "swap": {"type": "swap", "rate": 0.1, "copies": 2},
    "insert_punctuation": {"type": "insert_punctuation", "rate": 0.3, "copies": 2},
    "typo": {"type": "typo", "rate": 0.1, "copies": 2},
    "nlpaug_keyboard": {"type": "nlpaug", "augmenter": "KeyboardAug", "copies": 1},
    "mention_replace": {"type": "mention_replace", "rate": 0.5, "copies": 2},
    "label_token_replace": {"type": "label_token_replace", "rate": 0.2, "copies": 2},
    "shuffle_within_segments": {"type": "shuffle_within_segments", "rate": 0.3, "copies": 2},
}
"""The methods that are tried one at a time."""
TOGETHER = {"synonym_and_back_translate": ("synonym", "back_translate")}
"""Methods that are tried together."""
SETTINGS = ("none", *METHODS, *TOGETHER, "mix")
"""All settings that are tried; ``mix`` is that of the params file, unless it is one of the others."""

TRAIN = {"batch_tokens": 128, "warmup": 0.1, "eval_every": 1_000_000, "score": "mean"}
"""Replaced in the section train: small batches, so that few rows give enough updates, and one validation, at the end."""


def epochs(size: int) -> float:
    """Passes over a train split of that many rows: 10 over 50, 5 over 150, 2.5 over 500; of the default data 80 to 320 updates.

    As many as it takes until the validation score of none rises no more: entities of 500 rows score 0 for 60 updates, and still rise
    at 200. With fewer, a setting would be judged by how fast it is learnt.
    """
    return float(10 * (50 / size) ** 0.6)


class Job(NamedTuple):
    """What is run: jobs are done in the order of these fields."""

    seed: int
    size: int
    task: str
    setting: str


class Result(NamedTuple):
    """One line of the results."""

    task: str
    size: int
    seed: int
    setting: str
    score: float
    """The task's main metric on the test split."""
    steps: int
    variants: int
    """Rows in the shard."""
    seconds: float
    """CPU seconds, those of other programs included."""

    @property
    def job(self) -> Job:
        """What it is the result of."""
        return Job(self.seed, self.size, self.task, self.setting)


class Place(NamedTuple):
    """What all runs have in common."""

    params: Params
    examples: Path
    encoder: Path | None


# --- settings ---------------------------------------------------------------------------------------------------------


def settings(params: Params, task: str) -> dict[str, dict[str, AugmentMethod]]:
    """The settings that make sense for a task, by name: the methods of each."""
    tagged = params.tasks[task].type == "token_classification"
    single = {name: {name: spec} for name, spec in Augment.model_validate({"methods": METHODS}).methods.items()}
    chosen = {name: methods for name, methods in single.items() if tagged or not methods[name].needs_tags}
    chosen |= {name: {part: single[part][part] for part in parts} for name, parts in TOGETHER.items()}
    mix = _mix(params, task)
    return {"none": {}, **chosen, **({"mix": mix} if mix and mix not in chosen.values() else {})}


def _mix(params: Params, task: str) -> dict[str, AugmentMethod]:
    """What the task would learn from by the params file."""
    methods = {}
    for name, spec in params.methods_of(_dataset(params, task)).items():
        copies = sum(params.tasks[task].learns_from(name, copy) for copy in range(spec.copies))
        if copies:
            methods[name] = spec.model_copy(update={"copies": copies, "datasets": None})
    return methods


def _dataset(params: Params, task: str) -> str:
    """The one dataset of a task."""
    (dataset,) = params.datasets_of(task)
    return dataset


def job_params(params: Params, job: Job) -> Params:
    """The settings of one run: nothing but the task, its dataset and the setting's methods."""
    dataset, methods = _dataset(params, job.task), settings(params, job.task)[job.setting]
    return params.model_copy(
        update={
            "seed": job.seed,
            "datasets": {dataset: params.datasets[dataset]},
            "tasks": {job.task: params.tasks[job.task].model_copy(update={"methods": None})},
            "augment": params.augment.model_copy(update={"shards": 1, "methods": methods}),
            "train": params.train.model_copy(update={**TRAIN, "epochs": epochs(job.size)}),
            "experiment": Experiment(seeds=(job.seed,), joint=("augmented" if methods else "plain",), single_task=()),
        }
    )


# --- one run ----------------------------------------------------------------------------------------------------------


def run(place: Place, job: Job) -> Result:
    """Augment, train, predict and score, each by the function that the workflow uses."""
    before, params, dataset = sum(os.times()[:4]), job_params(place.params, job), _dataset(place.params, job.task)
    with TemporaryDirectory(prefix="augment_gain-") as name:
        examples, shards, model, predictions = folders = [Path(name, part) for part in ("examples", "shards", "model", "predictions")]
        for folder in folders:
            folder.mkdir()
        table = schema.read(place.examples / f"{dataset}.parquet")
        schema.write(subset(table, job, params.tasks[job.task].label), examples / f"{dataset}.parquet")
        variants = augment(params, dataset, examples, shards) if params.augment.methods else 0
        steps = train(params, examples, shards, place.encoder, model)
        score = test(params, job.task, model, examples, predictions)
    return Result(job.task, job.size, job.seed, job.setting, score, steps, variants, round(sum(os.times()[:4]) - before, 1))


def subset(table: pa.Table, job: Job, label: str) -> pa.Table:
    """A canonical table with ``job.size`` of the train rows that have the label; the rows of a smaller size are among them."""
    train = pc.and_(pc.equal(table["split"], "train"), pc.is_valid(table[label]))
    ids = sorted(table.filter(train)["id"].to_pylist(), key=lambda row: seed_of("subset", job.seed, row))
    if len(ids) < job.size:
        raise ValueError(f"only {len(ids)} train rows have the label {label}")
    chosen = pc.is_in(table["id"], value_set=pa.array(ids[: job.size], type=pa.string()))
    return table.filter(pc.or_(pc.not_equal(table["split"], "train"), chosen))


def augment(params: Params, dataset: str, examples: Path, shards: Path) -> int:
    """Make the shard; the number of its rows. Without its engine a method would go by the name of none."""
    augment_shard(params, dataset, 0, examples, shards)
    methods = read_counts(shards / ShardName(dataset, 0, 1).file)["methods"]
    if missing := [counts["note"] for counts in methods.values() if counts["note"]]:
        raise RuntimeError("; ".join(missing))
    return sum(counts["kept"] for counts in methods.values())


def train(params: Params, examples: Path, shards: Path, encoder: Path | None, model: Path) -> int:
    """Train the only run; the number of updates."""
    import mtl.training.run

    (spec,) = params.runs().values()
    mtl.training.run.train(params, spec, examples, shards, encoder, model)
    return int(json.loads((model / "run.json").read_text(encoding="utf-8"))["steps"])


def test(params: Params, task: str, model: Path, examples: Path, predictions: Path) -> float:
    """The main metric of the only run on the test split."""
    from mtl import plugins
    from mtl.evaluation.predictions import predict_run
    from mtl.evaluation.results import read_predictions

    (spec,) = params.runs().values()
    predict_run(params, spec, model, examples, predictions)
    predictions = read_predictions(predictions / f"{spec.name}.parquet", spec)[task]
    settings = params.tasks[task]
    main = settings.main_metric
    return plugins.task_type(settings.type).scores(predictions.gold, predictions.prediction, main)[main.name]


# --- all runs ---------------------------------------------------------------------------------------------------------


def run_all(place: Place, jobs: Sequence[Job], results: Path, workers: int) -> int:
    """Run the jobs that the results lack, and add a line for each to them; returns how many failed."""
    done = {result.job for result in read(results)}
    todo = [job for job in jobs if job not in done]
    failed = 0
    with _pool(workers) as pool, progress_bar("runs", len(jobs), initial=len(jobs) - len(todo)) as bar:
        futures = {pool.submit(run, place, job): job for job in todo}
        for future in as_completed(futures):
            if error := future.exception():
                failed += 1
                print(f"{futures[future]}: {type(error).__name__}: {error}", file=sys.stderr)
            else:
                ledger.append([future.result()], results)
            bar.update()
    return failed


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each, which share nothing. Leaving the block cancels what still waits."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # inherited by the workers, which import torch
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker end when the main process does, however that ends."""

    def wait() -> None:
        if parent := parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def read(path: Path) -> list[Result]:
    """The results so far."""
    return ledger.read(path, Result)


# --- the table --------------------------------------------------------------------------------------------------------


def table(results: Iterable[Result]) -> str:
    """The differences to none as Markdown: a line for each task and setting, a column for each size."""
    by_job = {result.job: result for result in results}
    check_budget(by_job.values())
    sizes = sorted({job.size for job in by_job})
    lines = ["| task | setting | " + " | ".join(f"{size} rows" for size in sizes) + " |", "|---" * (2 + len(sizes)) + "|"]
    for task, setting in dict.fromkeys((job.task, job.setting) for job in sorted(by_job, key=_place_in_table)):
        lines.append(f"| {task} | {setting} | " + " | ".join(cell(by_job, task, setting, size) for size in sizes) + " |")
    return "\n".join(lines)


def _place_in_table(job: Job) -> tuple[str, int]:
    return job.task, SETTINGS.index(job.setting)


def check_budget(results: Iterable[Result]) -> None:
    """Check that the runs of a task, size and seed made the same number of updates."""
    steps: dict[tuple[str, int, int], int] = {}
    for result in results:
        if steps.setdefault((result.task, result.size, result.seed), result.steps) != result.steps:
            raise ValueError(f"{result.job}: {result.steps} updates, and another setting made {steps[result[:3]]}")


def cell(by_job: dict[Job, Result], task: str, setting: str, size: int) -> str:
    """Mean difference to none and its interval, bold where that leaves out 0; of none the mean score. In brackets: the number of seeds."""
    seeds = [job.seed for job in by_job if job[1:] == (size, task, setting) and Job(job.seed, size, task, "none") in by_job]
    scores = [by_job[Job(seed, size, task, setting)].score for seed in seeds]
    if not seeds:
        return "–"
    if setting == "none":
        return f"{fmean(scores):.3f} ({len(seeds)})"
    mean, half = interval([score - by_job[Job(seed, size, task, "none")].score for seed, score in zip(seeds, scores, strict=True)])
    text = f"{mean:+.3f}" + (f" ± {half:.3f}" if len(seeds) > 1 else "")
    return (f"**{text}**" if abs(mean) > half else text) + f" ({len(seeds)})"


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Their mean, and half the width of its 95 % t interval, which a single one leaves open."""
    from scipy.stats import t

    n = len(differences)
    return fmean(differences), float(t.ppf(0.975, n - 1)) * stdev(differences) / math.sqrt(n) if n > 1 else math.inf


# --- command line -----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then print the table; the exit status is 1 if a run failed."""
    options = _parser().parse_args(arguments)
    failed = 0
    if not options.table:
        params = mtl.config.load(options.params)
        jobs = [
            Job(seed, size, task, setting)
            for seed in options.seeds
            for size in options.sizes
            for task in options.tasks
            for setting in settings(params, task)
            if options.only is None or setting in ("none", *options.only)
        ]
        failed = run_all(Place(params, options.data / "examples", options.encoder), jobs, options.results, options.workers)
    print(table(read(options.results)))
    return int(failed > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="a project's data folder, prepared")
    parser.add_argument("--encoder", type=Path, help="folder of the transformer; other encoders need none")
    parser.add_argument(
        "--params", type=Path, default=Path("examples/tweets/params.yaml"), help="its datasets, tasks, encoder, train, and augment as mix"
    )
    parser.add_argument("--results", type=Path, required=True, help="CSV file, which grows by a line a run")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 150, 500], help="train rows")
    parser.add_argument("--tasks", nargs="+", default=["entities", "sentiment"])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, metavar="SETTING", help="none and these")
    parser.add_argument("--table", action="store_true", help="run nothing, only print the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
