"""Rows of two text fields: read, trained on, saved and predicted, with labels of the row and tags of the second field."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtl.config import Params
from mtl.data import schema
from mtl.model.batch import Pair
from mtl.model.prediction import Predictor
from mtl.training.run import train

from .loops import whole_and_resumed

CITIES = ("berlin", "london", "paris")


def pair(random: np.random.Generator) -> dict[str, Any]:
    """Both fields have the same words but for one: the label says which field has it. In the second field the city is an entity."""
    left = bool(random.integers(2))
    one, other = random.choice(CITIES, 2)
    return {
        "premise": [str(one), "is", "great" if left else "a", "."],
        "hypothesis": ["a", str(other), "is", "a" if left else "great"],
        "match": "left" if left else "right",
        "things": ["O", "B-city", "O", "O"],
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one dataset of pairs."""
    folder, random = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    rows = [pair(random) for _ in range(200)]
    splits = ["train"] * 160 + ["validation"] * 20 + ["test"] * 20
    columns: dict[str, list[Any]] = {"id": [f"all-{i}" for i in range(len(rows))], "split": splits}
    for field in ("premise", "hypothesis"):
        tokens, spaces = schema.columns_of(field)
        columns |= {tokens: [row[field] for row in rows], spaces: [[True] * (len(row[field]) - 1) + [False] for row in rows]}
    columns |= {label: [row[label] for row in rows] for label in ("match", "things")}
    columns |= {"parent_id": [None] * len(rows), "augmenter": [None] * len(rows)}
    arrow = schema.schema({"match": "class", "things": "tags"}, ["premise", "hypothesis"], {"things": "hypothesis"})
    schema.write(pa.table(columns, schema=arrow), folder / "examples" / "pairs.parquet")
    return folder


def settings(encoder: dict[str, Any], **changes: Any) -> Params:
    labels = {"match": {"type": "class", "column": "match"}, "things": {"type": "tags", "column": "things", "field": "hypothesis"}}
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {
                "pairs": {
                    "source": {"url": "file:///nowhere"},
                    "reader": {"format": "jsonl"},
                    "text": ["premise", "hypothesis"],
                    "labels": labels,
                    "split": {"train": 0.8, "validation": 0.1, "test": 0.1},
                }
            },
            "tasks": {"match": {"type": "classification", "label": "match"}, "things": {"type": "token_classification", "label": "things"}},
            "encoder": {"max_length": 24, **encoder},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 300, "eval_every": 40, "learning_rate": 5e-3, "head_learning_rate": 1e-2, **changes},
        }
    )


TRANSFORMER = {"type": "transformer", "source": {"url": "file:///nowhere"}, "pooling": "first"}


@pytest.mark.parametrize("task_layers", [0, 1])
def test_which_field_has_a_word_is_learnt(pairs: Path, tiny_bert: Path, tmp_path: Path, task_layers: int) -> None:
    params = settings(TRANSFORMER | {"task_layers": task_layers}, epochs=16, learning_rate=3e-3)
    train(params, params.runs()["joint-plain-1"], pairs / "examples", pairs / "shards", tiny_bert, tmp_path)
    predictor = Predictor.load(tmp_path, "cpu")
    assert (predictor.model.tasks["match"].field, predictor.model.tasks["things"].field) == (0, 1)
    random = np.random.default_rng(1)
    rows = [pair(random) for _ in range(40)]
    result = predictor.predict([Pair(row["premise"], row["hypothesis"]) for row in rows])
    right = [prediction.value == row["match"] for prediction, row in zip(result["match"], rows, strict=True)]
    assert np.mean(right) > 0.95
    assert all(list(prediction.value) == row["things"] for prediction, row in zip(result["things"], rows, strict=True))


def test_a_run_on_pairs_goes_on_bit_by_bit(pairs: Path, tmp_path: Path) -> None:
    """Stopped by an exception after its first checkpoint, it ends with the weights of a run that was not."""
    params = settings({"type": "cnn", "width": 16, "layers": 1, "vocabulary": 300}, epochs=2, eval_every=5)
    run = params.runs()["joint-plain-1"]
    whole, resumed = whole_and_resumed(params, run, pairs / "examples", pairs / "shards", None, tmp_path)
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    config = json.loads((whole / "config.json").read_text())
    assert config["tasks"]["things"]["state"]["field"] == 1


def test_entities_of_a_long_second_field_are_found_in_windows(pairs: Path, tiny_bert: Path, tmp_path: Path) -> None:
    params = settings(TRANSFORMER, epochs=6, learning_rate=3e-3)
    train(params, params.runs()["joint-plain-1"], pairs / "examples", pairs / "shards", tiny_bert, tmp_path)
    predictor = Predictor.load(tmp_path, "cpu")
    sentence = ["a", "paris", "is", "great"]
    (prediction,) = predictor.predict([Pair(["berlin", "is", "a", "."], sentence * 8)], ["things"])["things"]
    assert len(prediction.value) == len(sentence) * 8
    assert sum(tag == "B-city" for tag in prediction.value) >= 6
