"""The plan that ``python -m mtl check`` prints: datasets, tasks, runs, shards and the steps to expect."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtl.config import Params, space

_SUBWORDS_PER_TOKEN = 1.5  # word subwords per space-separated token, a usual figure for English; the exact one is known after tokenising


def plan(params: Params, data: Path = Path("data")) -> str:
    """The plan in words, for people."""
    lines = ["Datasets"]
    for name, dataset in params.datasets.items():
        labels = ", ".join(f"{label} ({spec.type})" for label, spec in dataset.labels.items())
        lines.append(f"  {name}: {labels}; {_rows(data, name)}")
    lines.append("Tasks, all served by one encoder")
    for name, task in params.tasks.items():
        lines.append(f"  {name}: {task.type}, weight {task.weight:g}, from {', '.join(params.datasets_of(name))}")
    lines.append(f"Encoder\n  {params.encoder.type}, at most {params.encoder.max_length} subwords a text")
    lines.append("Augmentation")
    for name, method in params.augment.methods.items():
        applied = _listed(dataset for dataset in params.datasets if name in params.methods_of(dataset))
        lines.append(f"  {name}: {method.type}, {method.copies} variant(s) a row of {applied or 'no dataset'}")
    if not params.augment.methods:
        lines.append("  none")
    runs = params.runs()
    lines.append(f"  {params.augment.shards} shard(s) a dataset, {params.augment.shards * len(params.datasets)} job(s)")
    lines.append(f"Runs: {len(runs)}")
    lines += [f"  {name}: {_listed(run.tasks)}" for name, run in runs.items()]
    if params.tune:
        lines.append(f"Search, by snakemake tune\n  {params.tune.method}, {space.count(params)} trials over {_listed(params.tune.space)}")
    lines.append(f"Steps\n  {_steps(params, data)}")
    return "\n".join(lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _card(data: Path, name: str) -> dict[str, Any]:
    path = data / "examples" / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _rows(data: Path, name: str) -> str:
    rows = _card(data, name).get("rows")
    return f"{rows['train']} train, {rows['validation']} validation, {rows['test']} test" if rows else "not prepared yet"


def _steps(params: Params, data: Path) -> str:
    cards = [_card(data, name) for name in params.datasets]
    if not all(cards):
        return f"{params.train.epochs:g} epochs; their number is known once the data is prepared (snakemake prepare)"
    subwords = sum(card["tokens"]["train"] for card in cards) * _SUBWORDS_PER_TOKEN
    steps = math.ceil(subwords * params.train.epochs / params.train.batch_tokens)
    size = ", whatever the size of its part of the train split" if len(params.experiment.sizes) > 1 else ""
    return f"about {steps} a run: {params.train.epochs:g} epochs at {params.train.batch_tokens} subwords a step{size}"
