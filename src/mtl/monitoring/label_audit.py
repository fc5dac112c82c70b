"""Which labels of train rows are likely wrong: by confident learning on predictions for rows that a model has not seen.

folds of the train rows ─► one training a fold, without it ─► probabilities of its rows ─► issues of all folds, ranked
"""

import csv
import io
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from mtl.config import Params
from mtl.data import schema
from mtl.data.coded import plain
from mtl.data.folds import folds_of
from mtl.data.prepare import row_groups
from mtl.errors import DataError
from mtl.evaluation.predictions import Row, gather, tokens_for
from mtl.files import existing, replacing, write_json, write_text
from mtl.model.decisions import Decisions, decisions
from mtl.model.device import Precision
from mtl.model.joining import encode
from mtl.model.prediction import Predictor
from mtl.pipeline.audit import LabelAudit
from mtl.pipeline.stages import ENCODER
from mtl.tasks.base import TaskType
from mtl.training.run import train

Probabilities = npt.NDArray[np.float64]
COLUMNS = ("task", "dataset", "id", "text", "decision", "token", "label", "suggested", "label_confidence", "confidence")
"""Of the exported issues. ``decision`` is the class whose presence is judged, where a row has several; ``token`` the token."""
JUDGED = pa.schema(
    [(name, pa.string()) for name in ("task", "dataset", "id", "text", "decision", "token", "label")]
    + [("place", pa.int64()), ("choices", pa.list_(pa.string())), ("probabilities", pa.list_(pa.float32()))]
)
"""Of a fold's file: one row for each labelled decision, with the probability of each choice."""


def run_fold(params: Params, number: int, audit: LabelAudit) -> bool:
    """Train without a fold and predict it; returns whether there was anything left to do.

    Raises:
        DataError: a table is missing or damaged, or no task of the settings can be audited.
        TrainingError: training cannot go on.
        Preempted: the process was asked to stop; the same call goes on from there.
    """
    if audit.fold(number).exists():
        return False
    folder, encoder = audit.work / str(number), existing(audit.data / "raw" / ENCODER)
    examples, model = folder / "examples", folder / "model"
    for path in (examples, model):
        path.mkdir(parents=True, exist_ok=True)
    chosen = _assigned(params, audit)
    for name in params.datasets:
        _withhold(audit.data / "examples" / f"{name}.parquet", examples / f"{name}.parquet", chosen[name], number)
    if not (model / "run.json").exists():  # written last; not from encoder.start, which may have learned the rows withheld
        train(params, audit.run, examples, model, encoder, model, progress=True)
    rows = list(judged(params, model, examples))
    with replacing(audit.fold(number)) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=JUDGED), temporary, compression="zstd")
    shutil.rmtree(folder)
    return True


def _assigned(params: Params, audit: LabelAudit) -> dict[str, dict[str, int]]:
    """The fold of each train row by dataset and id; all folds wait for the one that assigns them."""
    path = audit.work / "folds.json"
    with FileLock(audit.work / "folds.lock"):
        if not path.exists():
            tables = {name: audit.data / "examples" / f"{name}.parquet" for name in params.datasets}
            groups = {(name, row): group for name in tables for row, group in row_groups(params, name, audit.data / "raw" / name).items()}
            found: dict[str, dict[str, int]] = {name: {} for name in tables}
            for (name, row), fold in folds_of(tables, groups, audit.settings.folds, params.seed).items():
                found[name][row] = fold
            write_json(path, found)
    result: dict[str, dict[str, int]] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _withhold(path: Path, out: Path, folds: Mapping[str, int], number: int) -> None:
    """Copy a canonical table: rows of a fold become its test rows, and its own test rows are left out."""
    with schema.Writer(out, pq.read_schema(path)) as file:
        for part in schema.read_parts(path, schema.ROW_GROUP):
            rows = plain(part.filter(pc.not_equal(part["split"], "test")))
            splits = [
                "test" if folds.get(row) == number else split
                for row, split in zip(*(rows[name].to_pylist() for name in ("id", "split")), strict=True)
            ]
            place = rows.schema.get_field_index("split")
            file.write(rows.set_column(place, rows.schema.field(place), pa.array(splits, pa.string())))


# --- one fold ---------------------------------------------------------------------------------------------------------


def judged(params: Params, model: Path, examples: Path) -> Iterator[dict[str, Any]]:
    """The decisions of a model for the test rows, in the form of ``JUDGED``.

    Raises:
        DataError: no task can be audited.
    """
    predictor = Predictor.load(model)
    tasks = [name for name, task in predictor.tasks.items() if task.choices]
    if not tasks:
        types = ", ".join(sorted({task.name for task in predictor.tasks.values()}))
        raise DataError(f"tasks: no task has labels to audit; classes and entities have, and the types here are: {types}")
    rows = [row for part in gather(params, tasks, examples) for row in part]
    for dataset in params.datasets:
        if own := [row for row in rows if row.dataset == dataset]:
            yield from _judged(predictor, own, [task for task in tasks if any(task in row.gold for row in own)])


def _judged(predictor: Predictor, rows: Sequence[Row], tasks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Of one dataset. A token in two windows counts once."""
    model, seen = predictor.model, set[tuple[str, int, int]]()
    tokens = [tokens_for(row, predictor.tasks) for row in rows]
    encoded = encode(model.tokenizer, tokens, model.max_length, [model.tasks[name] for name in tasks])
    labels = {name: [row.gold.get(name) for row in rows] for name in tasks}
    for name, part in decisions(model, encoded, labels, Precision("fp32", model.device)):
        task, probabilities = model.tasks[name], softmax(part.logits / model.tasks[name].temperature)
        for number, (row, place) in enumerate(zip(part.rows.tolist(), part.places.tolist(), strict=True)):
            if (name, row, place) not in seen:
                seen.add((name, row, place))
                yield _decision(task, name, rows[row], part, number) | {"probabilities": probabilities[number].tolist()}


def _decision(task: TaskType, name: str, row: Row, part: Decisions, number: int) -> dict[str, Any]:
    place = int(part.places[number])
    return {
        "task": name,
        "dataset": row.dataset,
        "id": row.id,
        "text": row.text,
        "decision": task.decided[place] if task.decided else "",
        "token": row.fields[task.field].tokens[place] if task.token_level else "",
        "label": task.choices[part.right[number]],
        "place": place,
        "choices": list(task.choices),
    }


def softmax(logits: Probabilities) -> Probabilities:
    """Probabilities, ``[decisions, choices]``."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Probabilities = weights / weights.sum(axis=1, keepdims=True)
    return result


# --- all folds --------------------------------------------------------------------------------------------------------


def write_issues(params: Params, audit: LabelAudit) -> str:
    """Write ``issues.csv``, ``issues.jsonl`` and ``summary.json`` into ``data/audit``; returns one line about them."""
    rows = pd.concat([pq.read_table(path).to_pandas() for path in audit.folds()], ignore_index=True)
    issues = {task: find_issues(rows[rows["task"] == task]) for task in params.tasks if (rows["task"] == task).any()}
    audit.out.mkdir(parents=True, exist_ok=True)
    found = [issue for of_task in issues.values() for issue in of_task]
    write_text(audit.out / "issues.csv", to_csv(found))
    write_text(audit.out / "issues.jsonl", to_jsonl(found))
    summary = {task: {"labels": int((rows["task"] == task).sum()), "issues": of_task} for task, of_task in issues.items()}
    write_json(audit.out / "summary.json", {"folds": audit.settings.folds, "tasks": summary}, sort_keys=False)
    counts = ", ".join(f"{task} {len(of_task)}" for task, of_task in issues.items())
    return f"labels that are likely wrong: {counts}; see {audit.out / 'issues.csv'}, or run snakemake for the report"


def find_issues(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The likely wrong labels of one task, the most likely one first.

    Which labels are wrong, and how many, is estimated by confident learning (Northcutt et al. 2021, "Confident learning: estimating
    uncertainty in dataset labels"), for each decision of a row by itself. They are ranked by the
    probability of the label (self-confidence).

    Args:
        rows: in the form of ``JUDGED``.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    found: list[tuple[float, dict[str, Any]]] = []
    for _, own in rows.sort_values(["dataset", "id", "place"], kind="stable").groupby("decision", sort=True):
        choices, labels, probabilities = _aligned(own)
        if len(np.unique(labels)) < 2:  # confident learning needs a choice
            continue
        with warnings.catch_warnings(action="ignore"):  # about classes that few labels have
            flagged = find_label_issues(labels, probabilities, n_jobs=1)
        wrong = np.flatnonzero(flagged & (probabilities.argmax(axis=1) != labels))
        scores = get_label_quality_scores(labels, probabilities, method="self_confidence")
        found += [(float(scores[i]), _issue(own.iloc[i], choices, labels[i], probabilities[i])) for i in wrong.tolist()]
    return [issue for _, issue in sorted(found, key=lambda item: (item[0], item[1]["dataset"], item[1]["id"]))]


def _aligned(rows: pd.DataFrame) -> tuple[list[str], npt.NDArray[np.int64], Probabilities]:
    """All choices, and of each row the place of its label and the probability of each choice. A model that has not seen a class of another
    fold's train rows gives it none."""
    known = {tuple(choices) for choices in rows["choices"]}
    choices = list(dict.fromkeys(choice for own in sorted(known, key=len, reverse=True) for choice in own))
    index = {choice: place for place, choice in enumerate(choices)}
    places = {own: [index[choice] for choice in own] for own in known}
    probabilities = np.zeros((len(rows), len(choices)))
    for number, (own, values) in enumerate(zip(rows["choices"], rows["probabilities"], strict=True)):
        probabilities[number, places[tuple(own)]] = values
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 sums to almost 1
    return choices, rows["label"].map(index).to_numpy(np.int64), probabilities


def _issue(row: Any, choices: Sequence[str], label: int, probabilities: Probabilities) -> dict[str, Any]:
    best = int(probabilities.argmax())
    about = {name: row[name] for name in ("task", "dataset", "id", "text", "decision", "token", "label")}
    return about | {
        "suggested": choices[best],
        "label_confidence": round(float(probabilities[label]), 6),
        "confidence": round(float(probabilities[best]), 6),
        "place": int(row["place"]),
    }


def to_csv(issues: Sequence[Mapping[str, Any]]) -> str:
    """Issues as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(issues)
    return text.getvalue()


def to_jsonl(issues: Sequence[Mapping[str, Any]]) -> str:
    """Issues as JSON lines."""
    return "".join(json.dumps({name: issue[name] for name in COLUMNS}, ensure_ascii=False) + "\n" for issue in issues)
