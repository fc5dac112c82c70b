"""A finished project on disk: small, deterministic, in the form that the steps before the report write."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.config import Params, Run, parse
from mtl.data.schema import schema, text_of, write
from mtl.evaluation.predictions import SCHEMA
from mtl.evaluation.results import evaluate
from mtl.names import ACROSS_DATASETS
from mtl.tasks.base import to_text

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>&amp;\x00\x1b[31m\u202egnp'
WORDS = ["the", "a", "quiet", "storm", "rolled", "over", "lovely", "awful", "hills", "and", "we", "saw", "nothing", "but", "grey", "rain"]
NAMES = {"person": ["Ada", "Grace Hopper", "Linus"], "place": ["Oslo", "New York", "Lake Como"], "band": ["Blur", "The Cure"]}
SIZES = {"train": 120, "validation": 20, "test": 80}
ERRORS = {("joint", "augmented"): 0.18, ("joint", "plain"): 0.24, ("single", "augmented"): 0.2, ("single", "plain"): 0.3}


class Project(NamedTuple):
    params: Params
    data: Path


def settings(**changes: Any) -> Params:
    source = {"url": "https://example.org/notes.tsv", "sha256": "ab" * 32}
    split = {"train": 0.6, "validation": 0.1, "test": 0.3}
    feelings = {"sentiment": {"type": "class", "column": "mood"}, "intensity": {"type": "number", "column": "rating"}}
    tweets = {"source": source, "reader": {"format": "tsv"}, "labels": feelings, "split": split}
    spans = {"source": source, "reader": {"format": "conll"}, "labels": {"entities": {"type": "tags", "column": "tags"}}, "split": split}
    content = {
        "seed": 1,
        "datasets": {"notes_sentiment": tweets, "notes_entities": spans},
        "tasks": {
            "entities": {"type": "token_classification", "label": "entities"},
            "sentiment": {"type": "classification", "label": "sentiment"},
            "intensity": {"type": "regression", "label": "intensity"},
        },
        "augment": {"shards": 2, "methods": {"synonym": {"type": "synonym"}, "back_translate": {"type": "back_translate", "copies": 2}}},
        "encoder": {"type": "fnn"},
        "train": {},
        "experiment": {"seeds": [1], "joint": ["augmented", "plain"], "single_task": ["augmented"]},
        "evaluate": {"resamples": 400},
        "report": {"title": "Notes <b>& more</b>", "samples": 3},
        **changes,
    }
    return parse(content)


# --- examples -------------------------------------------------------------------------------------------------------


def _row(dataset: str, split: str, number: int, draw: np.random.Generator) -> dict[str, Any]:
    tokens = [str(word) for word in draw.choice(WORDS, size=draw.integers(4, 14))]
    row: dict[str, Any] = {"id": f"all-{number}", "split": split, "parent_id": None, "augmenter": None}
    if dataset == "notes_sentiment":
        rating = float(np.round(draw.normal(0.5, 1.5), 2))
        row |= {"sentiment": "positive" if rating > 0 else "negative", "intensity": rating}
        if number == 0:
            tokens[1] = HOSTILE
    else:
        kind = str(draw.choice(list(NAMES)))
        name = str(draw.choice(NAMES[kind])).split()
        row["entities"] = [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1), *["O"] * len(tokens)]
        tokens = name + tokens
    return row | {"tokens": tokens, "space_after": [True] * (len(tokens) - 1) + [False]}


def _kinds(dataset: str) -> dict[str, str]:
    return {"sentiment": "class", "intensity": "number"} if dataset == "notes_sentiment" else {"entities": "tags"}


def write_examples(data: Path, dataset: str) -> list[dict[str, Any]]:
    draw = np.random.default_rng(len(dataset))
    splits = [split for split, size in SIZES.items() for _ in range(size)]
    rows = [_row(dataset, split, number, draw) for number, split in enumerate(splits)]
    (data / "examples").mkdir(parents=True, exist_ok=True)
    write(pa.Table.from_pylist(rows, schema=schema(_kinds(dataset))), data / "examples" / f"{dataset}.parquet")
    (data / "examples" / f"{dataset}.json").write_text(json.dumps(_card(dataset, rows)))
    (data / "examples" / ACROSS_DATASETS).write_text(json.dumps(ACROSS))
    return rows


ACROSS = {
    "leakage": [
        {
            "held_out": "notes_sentiment",
            "train": "notes_entities",
            "tasks": [],
            "exact": {"validation": 0, "test": 2},
            "near": {"validation": 1, "test": 0},
            "samples": [{"kind": "exact", "split": "test", "id": "all-9", "text": HOSTILE, "train_id": "all-1", "train_text": HOSTILE}],
        }
    ],
    "warnings": ["entities: classes or entity types with only 1 train label: band"],
}


def _card(dataset: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    def count(split: str) -> int:
        return sum(row["split"] == split for row in rows)

    labels: dict[str, Any] = {
        "notes_sentiment": {
            "sentiment": {
                "type": "class",
                **{split: {"rows": n, "classes": {"negative": n // 3, "positive": n - n // 3}} for split, n in SIZES.items()},
            },
            "intensity": {
                "type": "number",
                **{split: {"rows": n, "mean": 0.5, "std": 1.5, "min": -3.9, "max": 3.1} for split, n in SIZES.items()},
            },
        },
        "notes_entities": {
            "entities": {
                "type": "tags",
                **{split: {"rows": n, "entities": {"band": n // 4, "person": n // 2, "place": n // 4}} for split, n in SIZES.items()},
            }
        },
    }
    return {
        "dataset": dataset,
        "sources": {"all": {"url": "https://example.org/notes.tsv", "sha256": "ab" * 32}},
        "rows_read": {"total": len(rows) + 2},
        "malformed": {
            "total": 2,
            "share": 2 / (len(rows) + 2),
            "samples": [{"source": "all", "line": 7, "reason": "the text is empty", "excerpt": HOSTILE}],
        },
        "rows": {"total": len(rows), **{split: count(split) for split in SIZES}},
        "tokens": {"total": 9 * len(rows), **{split: 9 * count(split) for split in SIZES}},
        "labels": labels[dataset],
        "duplicates": {"total": 1, "train": 1, "validation": 0, "test": 0},
        "leakage": {
            "exact": {"validation": 0, "test": 1},
            "near": {"validation": 1, "test": 0},
            "samples": [{"kind": "exact", "split": "test", "id": "all-9", "text": HOSTILE, "train_id": "all-1", "train_text": HOSTILE}],
        },
        "warnings": [f"{HOSTILE} look alike"],
    }


def write_shards(data: Path, dataset: str, rows: list[dict[str, Any]]) -> None:
    """Synonyms for the first tokens outside of entities; the engine of the other method is missing."""
    train = [row for row in rows if row["split"] == "train"]
    (data / "shards").mkdir(exist_ok=True)
    for index in range(2):
        mine = train[index * 60 : (index + 1) * 60]
        made = [
            {
                **row,
                "id": f"{row['id']}~synonym~0",
                "tokens": [*row["tokens"][:-1], "tempest"],
                "parent_id": row["id"],
                "augmenter": "synonym",
            }
            for row in mine[:40]
        ]
        dropped = {"unchanged": 15, "duplicate": 5}
        counts = {
            "rows": 60,
            "methods": {
                "synonym": {"made": 60, "kept": len(made), "dropped": dropped, "note": None},
                "back_translate": {
                    "made": 120,
                    "kept": 0,
                    "dropped": {"engine missing": 120},
                    "note": "install it: apt-get install apertium",
                },
            },
        }
        rejected = {"synonym": {"duplicate": [{"parent": "all-3", "original": HOSTILE, "variant": HOSTILE}]}, "back_translate": {}}
        table = pa.Table.from_pylist(made, schema=schema(_kinds(dataset)))
        extra = {b"mtl:counts": json.dumps(counts), b"mtl:rejected": json.dumps(rejected)}
        write(
            table.replace_schema_metadata({**(table.schema.metadata or {}), **extra}),
            data / "shards" / f"{dataset}-{index:05d}-of-00002.parquet",
        )


# --- runs -----------------------------------------------------------------------------------------------------------


def write_run(params: Params, data: Path, run: Run) -> None:
    folder = data / "models" / run.name
    folder.mkdir(parents=True)
    content = {
        "run": run.name,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "size": run.size,
        "budget": 300,
        "tasks": list(run.tasks),
        "steps": 300,
        "best_step": 240,
    }
    content |= {"best_score": 0.7, "stopped": "end", "epochs": {}, "rows": {}, "tokens": 300_000}
    content |= {"padding_share": 0.04, "precision": "fp32", "device": "cpu", "threads": 2}
    content |= {"parameters": 22_713_216, "versions": {"torch": "2.13.0", "python": "3.11.9"}}
    content["warnings"] = [f"{HOSTILE} 3 rows were cut at 64 subwords"] if run.model == "joint" else []
    (folder / "run.json").write_text(json.dumps(content))
    cost = {"seconds": 42.0 * len(run.tasks), "tokens_per_second": 7100.0, "peak_memory_bytes": 900 * 2**20}
    cost["serving"] = {"texts": 64, "disk_bytes": 88 * 2**20, "weight_bytes": 86 * 2**20, "cpu_ms_per_text": 2.0 + len(run.tasks) / 10}
    cost["throughput"] = [[step, 7000.0] for step in range(3, 303, 3)]
    (folder / "cost.json").write_text(json.dumps(cost))
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in _history(params, run)))


def _history(params: Params, run: Run) -> Iterator[dict[str, Any]]:
    draw = np.random.default_rng([run.seed, len(run.name)])
    for step in range(3, 303, 3):
        decay = {task: 0.25 + (0.5 + 0.2 * i) * np.exp(-step / 90) for i, task in enumerate(run.tasks)}
        loss = {task: round(float(value + draw.normal(0, 0.04)), 4) for task, value in decay.items()}
        norms = {task: round(0.3 / (1 + i) + float(draw.normal(0, 0.01)), 4) for i, task in enumerate(run.tasks)}
        weights = {task: round(0.2 / norm, 4) for task, norm in norms.items()}
        yield {
            "step": step,
            "kind": "train",
            "tokens": 1000 * step,
            "loss": loss,
            "weight": weights,
            "gradient_norm": norms,
        }
        if step % 60 == 0:
            metrics = {
                task: {METRIC[params.tasks[task].type]: round(float(0.8 - 0.6 * np.exp(-step / 80) + draw.normal(0, 0.02)), 4)}
                for task in run.tasks
            }
            yield {"step": step, "kind": "validation", "score": 0.5, "metrics": metrics}


METRIC = {"classification": "macro_f1", "regression": "pearson", "token_classification": "f1"}


def write_predictions(params: Params, data: Path, run: Run, examples: dict[str, list[dict[str, Any]]]) -> None:
    share = ERRORS["joint" if run.model == "joint" else "single", run.data]
    draw = np.random.default_rng([run.seed, len(run.name), 7])
    rows = []
    for task in sorted(run.tasks):
        for dataset in params.datasets_of(task):
            for row in sorted((row for row in examples[dataset] if row["split"] == "test"), key=lambda row: str(row["id"])):
                gold, prediction = _prediction(task, row, bool(draw.random() < share), draw)
                tagged = params.tasks[task].type == "token_classification"
                text = to_text(row["tokens"]) if tagged else text_of(row["tokens"], row["space_after"])
                rows.append(
                    {
                        "task": task,
                        "dataset": dataset,
                        "id": row["id"],
                        "text": text,
                        "gold": gold,
                        "prediction": prediction,
                        "confidence": round(float(draw.uniform(0.5, 1)), 3),
                        **(_checked(gold, prediction) if task == "sentiment" else {}),
                        **({"raw_gold": gold, "raw_prediction": prediction} if tagged else {}),
                    }
                )
    (data / "predictions").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), data / "predictions" / f"{run.name}.parquet")


def _checked(gold: str, prediction: str) -> dict[str, Any]:
    """Confidences that are too high before calibration."""
    return {name: [{"confidence": of, "right": gold == prediction}] for name, of in (("uncalibrated", 0.99), ("calibrated", 0.82))}


def _prediction(task: str, row: dict[str, Any], wrong: bool, draw: np.random.Generator) -> tuple[str, str]:
    gold = row[task]
    if task == "sentiment":
        return gold, ("negative" if gold == "positive" else "positive") if wrong else gold
    if task == "intensity":
        return repr(gold), repr(float(gold * 0.7 + draw.normal(0, 1.2 if wrong else 0.6)))
    return json.dumps(gold), json.dumps(["O"] * len(gold) if wrong else gold)


def write_project(data: Path, params: Params) -> Project:
    examples = {dataset: write_examples(data, dataset) for dataset in params.datasets}
    for dataset, rows in examples.items():
        write_shards(data, dataset, rows)
    for run in params.runs().values():
        write_run(params, data, run)
        write_predictions(params, data, run, examples)
    (data / "results").mkdir()
    evaluate(params, data / "models", data / "predictions", data / "results")
    return Project(params, data)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of the default experiment; tests must not change it."""
    return write_project(tmp_path_factory.mktemp("finished") / "data", settings())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of the test's own."""
    return write_project(tmp_path / "data", settings())


@pytest.fixture(scope="session")
def make_project() -> Callable[..., Project]:
    """Writes a project with other settings into a folder."""
    return lambda data, **changes: write_project(data, settings(**changes))
