"""Sets of classes are learnt, and their thresholds are those of the weights that a run keeps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.config import Params
from mtl.data import schema
from mtl.model.prediction import Predictor
from mtl.tasks.multilabel_classification import thresholds
from mtl.training.run import train

from .loops import canonical

WORDS = {"joy": "glad", "fear": "afraid", "anger": "furious"}


def row(random: np.random.Generator, number: int) -> dict[str, Any]:
    """Some of the words, each with its class, among others."""
    classes = [name for name in sorted(WORDS) if random.random() < 0.3]
    words = [str(word) for word in random.permutation([*(WORDS[name] for name in classes), *random.choice(["we", "the", "was"], 3)])]
    split = "train" if number < 240 else "validation" if number < 300 else "test"
    return {"id": f"all-{number}", "split": split, "tokens": words, "feelings": classes}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one canonical table."""
    folder, random = tmp_path_factory.mktemp("feelings"), np.random.default_rng(0)
    rows = [row(random, number) for number in range(360)]
    schema.write(canonical(rows, {"feelings": "classes"}), folder / "texts.parquet")
    return folder


def settings(**task: Any) -> Params:
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {
                "texts": {
                    "source": {"url": "file:///nowhere"},
                    "reader": {"format": "jsonl"},
                    "labels": {"feelings": {"type": "classes", "column": "feelings"}},
                    "split": {"train": 0.8, "validation": 0.1, "test": 0.1},
                }
            },
            "tasks": {"feelings": {"type": "multilabel_classification", "label": "feelings", **task}},
            "encoder": {"type": "cnn", "width": 16, "layers": 1, "vocabulary": 300, "max_length": 24},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 200, "epochs": 12, "eval_every": 20, "learning_rate": 5e-3, "head_learning_rate": 1e-2},
        }
    )


def trained(texts: Path, out: Path, **task: Any) -> Predictor:
    params = settings(**task)
    out.mkdir()
    train(params, params.runs()["joint-plain-1"], texts, texts, None, out)
    return Predictor.load(out, "cpu")


def test_sets_of_classes_are_learnt(texts: Path, tmp_path: Path) -> None:
    predictor, random = trained(texts, tmp_path / "model"), np.random.default_rng(1)
    rows = [row(random, number) for number in range(100)]
    predictions = predictor.predict([row["tokens"] for row in rows])["feelings"]
    assert np.mean([prediction.value["classes"] == row["feelings"] for prediction, row in zip(predictions, rows, strict=True)]) > 0.95


def test_thresholds_are_those_of_the_weights_that_are_kept(texts: Path, tmp_path: Path) -> None:
    predictor = trained(texts, tmp_path / "model")
    rows = [row for row in schema.read(texts / "texts.parquet").to_pylist() if row["split"] == "validation"]
    predictions = predictor.predict([row["tokens"] for row in rows])["feelings"]
    stated = np.array([list(prediction.value["probabilities"].values()) for prediction in predictions])
    temperature = predictor.tasks["feelings"].temperature
    assert temperature != 1
    probabilities = (1 / (1 + (1 / stated - 1) ** temperature)).astype(np.float32)  # thresholds are those of temperature 1
    gold = np.array([[name in row["feelings"] for name in sorted(WORDS)] for row in rows])
    state = json.loads((tmp_path / "model" / "config.json").read_text())["tasks"]["feelings"]["state"]
    assert state["thresholds"] == pytest.approx(thresholds(probabilities, gold).tolist(), abs=1e-4)
    history = [json.loads(line) for line in (tmp_path / "model" / "history.jsonl").read_text().splitlines()]
    assert json.loads((tmp_path / "model" / "run.json").read_text())["best_step"] < history[-1]["step"]  # or the test would show nothing


def test_a_given_threshold_stays(texts: Path, tmp_path: Path) -> None:
    trained(texts, tmp_path / "model", threshold=0.25)
    state = json.loads((tmp_path / "model" / "config.json").read_text())["tasks"]["feelings"]["state"]
    assert state["threshold"] == 0.25
    assert "thresholds" not in state
