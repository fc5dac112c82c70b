"""The plan that ``mtl check`` prints: datasets, tasks, runs, shards and the expected number of steps."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config import Params, SmallEncoder, checks, space
from mtl.errors import Issue, MtlError
from mtl.names import ACROSS_DATASETS
from mtl.pipeline.stages import ENCODER
from mtl.words import plural

if TYPE_CHECKING:
    from mtl.training.texts import Texts

SUBWORDS_PER_TOKEN = 1.5
"""Typical of English, where the tokenizer cannot be asked yet."""
SAMPLE = 10_000
"""Train rows that are tokenised for the number of steps, at most."""


def plan(params: Params, data: Path = Path("data")) -> str:
    """The plan as text."""
    from mtl.data.card import describe_language, describe_segmentation

    lines = ["Datasets"]
    for name, dataset in params.datasets.items():
        labels = ", ".join(f"{label} ({spec.type})" for label, spec in dataset.labels.items()) or "no labels"
        lines.append(f"  {name}: {labels}; {_rows(data, name)}")
        card = _card(data, name)
        if language := card.get("language"):
            lines.append(f"    {describe_language(language, name)}")
        if found := card.get("segmentation"):
            lines.append(f"    {describe_segmentation(found)}")
    lines.append("Tasks, all served by one encoder")
    for name, task in params.tasks.items():
        lines.append(f"  {name}: {task.type}, weight {task.weight:g}, from {', '.join(params.datasets_of(name))}")
        lines += [
            f"    and from rows without its label of {_listed(unlabelled)}" for unlabelled in [params.unlabelled_of(name)] if unlabelled
        ]
    lines.append(f"Encoder\n  {params.encoder.type}, at most {params.encoder.max_length} subwords per text")
    lines.append("Augmentation")
    for name, method in params.augment.methods.items():
        applied = _listed(dataset for dataset in params.datasets if name in params.methods_of(dataset))
        lines.append(f"  {name}: {method.type}, {plural(method.copies, 'variant')} per row of {applied or 'no dataset'}")
        lines += [
            f"    not {dataset}: label {about_both[0]} is about both texts, and this method may make it false (pairs: true applies it)"
            for dataset in params.datasets
            if (about_both := params.labels_against(method, dataset)) and (method.datasets is None or dataset in method.datasets)
        ]
    shards = sum(map(params.shards_of, params.datasets))
    lines.append(f"  {plural(params.augment.shards, 'shard')} per dataset, {plural(shards, 'job')}" if shards else "  none")
    runs = params.runs()
    lines.append(f"Runs: {len(runs)}")
    lines += [f"  {name}: {_listed(run.tasks)}" for name, run in runs.items()]
    if params.tune:
        trials = plural(space.count(params), "trial")
        lines.append(f"Search (snakemake tune)\n  {params.tune.method}, {trials} over {_listed(params.tune.space)}")
    lines.append(f"Steps\n  {_steps(params, data)}")
    lines += _warnings(data)
    return "\n".join(lines)


def language_issues(params: Params, data: Path = Path("data")) -> list[Issue]:
    """Methods that do not know the language of a dataset, as it was guessed when that was prepared."""
    cards = {name: _card(data, name).get("language", {}) for name in params.datasets}
    return checks.language_issues(params, {name: str(found["tag"]) for name, found in cards.items() if found.get("tag")})


def _warnings(data: Path) -> list[str]:
    """What the check of the examples warned of."""
    if not (path := data / "examples" / ACROSS_DATASETS).exists():
        return []
    from mtl.data.check import all_warnings

    warnings = all_warnings(_read(path))
    return ["Warnings", *(f"  {warning}" for warning in warnings)] if warnings else []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _card(data: Path, name: str) -> dict[str, Any]:
    return _read(data / "examples" / f"{name}.json")


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _rows(data: Path, name: str) -> str:
    rows = _card(data, name).get("rows")
    if not rows:
        return "not prepared yet"
    kept = _card(data, name).get("unlabelled", {}).get("kept", 0)
    unlabelled = f" ({kept} without a label)" if kept else ""
    return f"{rows['train']} train{unlabelled}, {rows['validation']} validation, {rows['test']} test"


def _steps(params: Params, data: Path) -> str:
    cards = {name: _card(data, name) for name in params.used_datasets(params.tasks)}
    if not all(cards.values()):
        return f"{_epochs(params)}; the number of steps is known once the data is prepared (snakemake prepare)"
    size = ", the same for every size of the train split" if len(params.experiment.sizes) > 1 else ""
    steps = _measured(params, data) or _estimated(params, [card for name, card in cards.items() if params.datasets[name].labels])
    return f"{steps}: {_epochs(params)} with {params.train.batch_tokens} subwords per step{size}"


def _estimated(params: Params, cards: Iterable[dict[str, Any]]) -> str:
    subwords = sum(card["tokens"]["train"] for card in cards) * SUBWORDS_PER_TOKEN
    steps = math.ceil(subwords * params.train.epochs / params.train.batch_tokens)
    return f"about {steps} per run (an estimate of {SUBWORDS_PER_TOKEN:g} subwords per token, until encoder and rows can be read)"


def _measured(params: Params, data: Path) -> str | None:
    """The number of steps by the encoder's own tokenizer: exact for few rows, of many from a sample; None where files are missing."""
    import numpy as np

    from mtl.encoders.store import coded
    from mtl.training.plan import total_steps
    from mtl.training.texts import read_split

    try:
        rows = read_split(params, "train", data / "examples", tuple(params.tasks))
        rows, share = _sample(rows, params)
        if (tokenizer := _tokenizer(params, data, rows)) is None:
            return None
        parts = [coded(*fields) for fields in rows.tokens.parts()]
        length = params.encoder.max_length
        lengths = np.concatenate([tokenizer.encode_distinct(part.words, part.left, length, part.right).lengths for part in parts])
    except MtlError:
        return None
    counted = int(lengths[rows.labelled(params.tasks)].sum() / share)
    steps = total_steps(np.array([counted]), params.train.batch_tokens, params.train.epochs)
    return f"{steps} per run" if share == 1 else f"about {steps} per run (measured on {len(rows)} train rows)"


def _sample(rows: "Texts", params: Params) -> tuple["Texts", float]:
    """At most ``SAMPLE`` rows, at equal distances, and their share of the labelled ones."""
    import numpy as np

    labelled = rows.labelled(params.tasks)
    if len(rows) <= SAMPLE:
        return rows, 1.0
    chosen = np.zeros(len(rows), dtype=np.bool_)
    chosen[np.linspace(0, len(rows) - 1, SAMPLE, dtype=np.int64)] = True
    return rows.only(chosen), float((labelled & chosen).sum() / max(labelled.sum(), 1))


def _tokenizer(params: Params, data: Path, rows: "Texts") -> Any:
    """The tokenizer of the encoder, without its weights; None where it is not downloaded or has another form."""
    from mtl.encoders import SubwordTokenizer

    file = data / "raw" / ENCODER / "tokenizer.json"
    if isinstance(params.encoder, SmallEncoder):
        return SubwordTokenizer.train(rows.tokens.texts(), params.encoder.vocabulary)
    return SubwordTokenizer.load(file) if file.exists() else None


def _epochs(params: Params) -> str:
    return f"{params.train.epochs:g} {'epoch' if params.train.epochs == 1 else 'epochs'}"
