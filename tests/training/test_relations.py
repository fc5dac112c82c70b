"""Rows with marked ranges: read, trained on, saved and predicted, beside a task on the same rows without markers of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtl
from mtl.config import Params
from mtl.data import schema
from mtl.evaluation.predictions import predict
from mtl.model.prediction import Predictor
from mtl.training.run import train

from .loops import canonical, whole_and_resumed

NAMES = ("berlin", "london", "paris", "great")


def row(random: np.random.Generator, number: int) -> dict[str, Any]:
    """Four names; the class says whether the first marked one stands before the second. Only the markers tell which are marked."""
    tokens = ["a", *(str(name) for name in random.permutation(NAMES)), "."]
    head, tail = (int(place) for place in random.choice(4, 2, replace=False) + 1)
    relation = {"head_start": head, "head_end": head + 1, "tail_start": tail, "tail_end": tail + 1}
    split = "train" if number < 240 else "validation" if number < 270 else "test"
    return {
        "id": f"all-{number}",
        "split": split,
        "tokens": tokens,
        "order": {"class": "before" if head < tail else "after", **relation},
        "end": "great" if tokens[4] == "great" else "other",
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one canonical table."""
    folder, random = tmp_path_factory.mktemp("relations"), np.random.default_rng(0)
    rows = [row(random, number) for number in range(300)]
    schema.write(canonical(rows, {"order": "relation", "end": "class"}), folder / "texts.parquet")
    return folder


def settings(encoder: dict[str, Any], **changes: Any) -> Params:
    labels = {
        "order": {"type": "relation", "column": "order", "head": "head", "tail": "tail"},
        "end": {"type": "class", "column": "end"},
    }
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {
                "texts": {
                    "source": {"url": "file:///nowhere"},
                    "reader": {"format": "jsonl"},
                    "labels": labels,
                    "split": {"train": 0.8, "validation": 0.1, "test": 0.1},
                }
            },
            "tasks": {"order": {"type": "relation_classification", "label": "order"}, "end": {"type": "classification", "label": "end"}},
            "encoder": {"max_length": 32, **encoder},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 400, "eval_every": 40, "learning_rate": 3e-3, "head_learning_rate": 1e-2, **changes},
        }
    )


TRANSFORMER = {"type": "transformer", "source": {"url": "file:///nowhere"}, "pooling": "first"}


@pytest.mark.parametrize("task_layers", [0, 1])
def test_which_names_are_marked_is_learnt(texts: Path, tiny_bert: Path, tmp_path: Path, task_layers: int) -> None:
    params = settings(TRANSFORMER | {"task_layers": task_layers}, epochs=25)
    run = params.runs()["joint-plain-1"]
    train(params, run, texts, texts, tiny_bert, tmp_path)
    rows = predict(params, run, tmp_path, texts).to_pylist()
    for task in run.tasks:
        gold = [json.loads(row["gold"])["class"] if task == "order" else row["gold"] for row in rows if row["task"] == task]
        predicted = [row["prediction"] for row in rows if row["task"] == task]
        assert np.mean([a == b for a, b in zip(gold, predicted, strict=True)]) > 0.9

    model = mtl.load(tmp_path, "cpu")
    first, second, unmarked = model.predict(
        [
            "a <e1>paris</e1> london <e2>berlin</e2> great .",
            "a <e2>paris</e2> london <e1>berlin</e1> great .",
            "a paris london berlin great .",
        ]
    )
    assert (first["order"]["label"], second["order"]["label"]) == ("before", "after")
    assert unmarked["order"] is None
    assert first["end"]["label"] == "great"


@pytest.mark.parametrize("encoder", [TRANSFORMER, {"type": "cnn", "width": 16, "layers": 1, "vocabulary": 300}])
def test_a_run_goes_on_bit_by_bit(texts: Path, tiny_bert: Path, tmp_path: Path, encoder: dict[str, Any]) -> None:
    """Stopped by an exception after its first checkpoint, it ends with the weights of a run that was not."""
    params, source = settings(encoder, epochs=1, eval_every=4), tiny_bert if encoder is TRANSFORMER else None
    run = params.runs()["joint-plain-1"]
    whole, resumed = whole_and_resumed(params, run, texts, texts, source, tmp_path)
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()


def test_markers_are_entries_of_the_vocabulary_that_no_text_can_spell(texts: Path, tiny_bert: Path, tmp_path: Path) -> None:
    params = settings(TRANSFORMER, epochs=1)
    train(params, params.runs()["joint-plain-1"], texts, texts, tiny_bert, tmp_path)
    model = Predictor.load(tmp_path, "cpu").model
    assert sorted(model.markers) == ["</e1>", "</e2>", "<e1>", "<e2>"]
    assert model.encoder.vocabulary == model.tokenizer.size
    spelt = model.tokenizer.encode([["<e1>", "paris"]], 32)
    assert model.markers["<e1>"] not in spelt.subwords


def test_marked_rows_that_are_cut_off_are_counted(texts: Path, tiny_bert: Path, tmp_path: Path) -> None:
    params = settings(TRANSFORMER | {"max_length": 8}, epochs=1)
    train(params, params.runs()["joint-plain-1"], texts, texts, tiny_bert, tmp_path)
    warnings = json.loads((tmp_path / "run.json").read_text())["warnings"]
    assert any("gold entities and ranges: " in warning and "ranges: 0" not in warning for warning in warnings)
