"""Predictions of a real small model: only test rows, without masked labels, the same rows for every run."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.config import Params, parse
from mtl.data.schema import schema, write
from mtl.errors import DataError
from mtl.evaluation.predictions import SCHEMA, check_rows, gather


def settings() -> Params:
    source = {"url": "data.csv", "sha256": "0" * 64}
    labels = {
        "mood": {"type": "class", "column": "mood"},
        "rating": {"type": "number", "column": "rating"},
        "spans": {"type": "tags", "column": "tags"},
    }
    dataset = {"source": source, "reader": {"format": "jsonl"}, "labels": labels, "split": {"train": 0.5, "test": 0.5}}
    tasks = {
        "mood": {"type": "classification", "label": "mood"},
        "rating": {"type": "regression", "label": "rating"},
        "spans": {"type": "token_classification", "label": "spans"},
    }
    sections = {"seed": 1, "augment": {}, "train": {}, "evaluate": {}, "report": {}}
    experiment = {"joint": ["plain"], "single_task": ["plain"]}
    return parse({**sections, "datasets": {"notes": dataset}, "tasks": tasks, "encoder": {"type": "fnn"}, "experiment": experiment})


def write_examples(folder: Path) -> None:
    labels = {"mood": "class", "rating": "number", "spans": "tags"}
    rows = [
        ("b", "test", ["Hi", "Bob", "!"], [True, False, False], "glad", None, ["O", "B-who", "O"]),
        ("a", "test", ["No"], [False], "sad", -1.5, None),
        ("c", "train", ["Yes", "Ann"], [True, False], "glad", 2.0, ["O", "B-who"]),
        ("d", "validation", ["Oh"], [False], None, 1.0, ["O"]),
    ]
    names = ["id", "split", "tokens", "space_after", "mood", "rating", "spans"]
    content = [{**dict(zip(names, row, strict=True)), "parent_id": None, "augmenter": None} for row in rows]
    write(pa.Table.from_pylist(content, schema=schema(labels)), folder / "notes.parquet")


def test_rows_are_those_of_the_test_split_with_their_labels(tmp_path: Path) -> None:
    write_examples(tmp_path)
    rows = [row for part in gather(settings(), ["mood", "rating", "spans"], tmp_path) for row in part]
    assert [(row.id, row.gold) for row in rows] == [
        ("b", {"mood": "glad", "spans": ["O", "B-who", "O"]}),
        ("a", {"mood": "sad", "rating": -1.5}),
    ]


def test_a_task_without_test_rows_is_an_error(tmp_path: Path) -> None:
    write_examples(tmp_path)
    path = tmp_path / "notes.parquet"
    pq.write_table(pq.read_table(path).slice(2), path)
    with pytest.raises(DataError, match="task mood: no test row of notes has its label"):
        check_rows(settings(), ["mood"], tmp_path)


def test_a_trained_run_predicts_every_labelled_row(tmp_path: Path) -> None:
    train = pytest.importorskip("mtl.training.run").train
    from mtl.evaluation.predictions import predict_run

    write_examples(tmp_path)
    params = settings()
    for name in ("joint-plain-1", "single_spans-plain-1"):
        model = tmp_path / name
        model.mkdir()
        train(params, params.runs()[name], tmp_path, tmp_path / "shards", None, model)
        predict_run(params, params.runs()[name], model, tmp_path, tmp_path)
    joint, single_task = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("joint-plain-1", "single_spans-plain-1"))
    assert joint.schema.equals(SCHEMA)
    rows = joint.to_pylist()
    assert [(row["task"], row["id"], row["gold"]) for row in rows] == [
        ("mood", "a", "sad"),
        ("mood", "b", "glad"),
        ("rating", "a", "-1.5"),
        ("spans", "b", '["O", "B-who", "O"]'),
    ]
    assert rows[1]["text"] == "Hi Bob!"
    assert json.loads(rows[3]["text"]) == ["Hi", "Bob", "!"]
    assert len(json.loads(rows[3]["prediction"])) == 3
    assert float(rows[2]["prediction"]) == float(rows[2]["prediction"])
    assert all(0 <= row["confidence"] <= 1 for row in rows)
    assert [row["id"] for row in single_task.to_pylist()] == ["b"]
