"""The plan that ``mtl check`` prints: datasets, tasks, runs, shards and the expected number of steps."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtl.config import Params, space
from mtl.words import plural

_SUBWORDS_PER_TOKEN = 1.5  # per space-separated token, typical of English; the exact number is known after tokenising


def plan(params: Params, data: Path = Path("data")) -> str:
    """The plan as text."""
    lines = ["Datasets"]
    for name, dataset in params.datasets.items():
        labels = ", ".join(f"{label} ({spec.type})" for label, spec in dataset.labels.items())
        lines.append(f"  {name}: {labels}; {_rows(data, name)}")
    lines.append("Tasks, all served by one encoder")
    for name, task in params.tasks.items():
        lines.append(f"  {name}: {task.type}, weight {task.weight:g}, from {', '.join(params.datasets_of(name))}")
    lines.append(f"Encoder\n  {params.encoder.type}, at most {params.encoder.max_length} subwords per text")
    lines.append("Augmentation")
    for name, method in params.augment.methods.items():
        applied = _listed(dataset for dataset in params.datasets if name in params.methods_of(dataset))
        lines.append(f"  {name}: {method.type}, {plural(method.copies, 'variant')} per row of {applied or 'no dataset'}")
    if not params.augment.methods:
        lines.append("  none")
    runs = params.runs()
    shards = params.augment.shards
    lines.append(f"  {plural(shards, 'shard')} per dataset, {plural(shards * len(params.datasets), 'job')}")
    lines.append(f"Runs: {len(runs)}")
    lines += [f"  {name}: {_listed(run.tasks)}" for name, run in runs.items()]
    if params.tune:
        trials = plural(space.count(params), "trial")
        lines.append(f"Search (snakemake tune)\n  {params.tune.method}, {trials} over {_listed(params.tune.space)}")
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
        return f"{_epochs(params)}; the number of steps is known once the data is prepared (snakemake prepare)"
    subwords = sum(card["tokens"]["train"] for card in cards) * _SUBWORDS_PER_TOKEN
    steps = math.ceil(subwords * params.train.epochs / params.train.batch_tokens)
    size = ", the same for every size of the train split" if len(params.experiment.sizes) > 1 else ""
    return f"about {steps} per run: {_epochs(params)} with {params.train.batch_tokens} subwords per step{size}"


def _epochs(params: Params) -> str:
    return f"{params.train.epochs:g} {'epoch' if params.train.epochs == 1 else 'epochs'}"
