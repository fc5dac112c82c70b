"""The temperature is that of the lowest cross-entropy; an overconfident model states confidences that hold on rows it has not seen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.config import Params
from mtl.data import schema
from mtl.evaluation.predictions import predict_run
from mtl.evaluation.scores import scores_of
from mtl.training.calibration import FEWEST, temperature
from mtl.training.run import train

from .loops import canonical

WORDS = {"joy": "glad", "fear": "afraid", "anger": "furious"}


def drawn(size: int, scale: float, seed: int = 0) -> tuple[Any, Any]:
    """Logits ``scale`` times as large as those that the labels are drawn by."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(size, 4))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = np.array([random.choice(4, p=share) for share in shares])
    return logits * scale, right


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    logits, right = drawn(4000, scale)
    assert temperature([(logits[:1000], right[:1000]), (logits[1000:], right[1000:])]) == pytest.approx(scale, rel=0.08)


def test_a_choice_that_is_not_there_does_not_count() -> None:
    logits, right = drawn(2000, 3.0)
    wider = np.concatenate([logits, np.full((2000, 2), -np.inf)], axis=1)
    assert temperature([(wider, right)]) == pytest.approx(temperature([(logits, right)]), rel=0.01)


def test_few_rows_do_not_make_a_model_certain() -> None:
    right = np.zeros(30, dtype=np.int64)
    logits = np.tile([[2.0, 0.0]], (30, 1))
    found = 1 / (1 + np.exp(-2.0 / temperature([(logits, right)])))
    assert found == pytest.approx(1 - 0.5 / 32)  # 31 of 32, the rest shared by both choices
    assert temperature([(logits[: FEWEST - 1], right[: FEWEST - 1])]) == temperature([]) == 1
    assert temperature([(np.zeros((30, 2)), right)]) == 1


def row(random: np.random.Generator, number: int) -> dict[str, Any]:
    """A word that says the class in two of three rows, among words by which the others can be learnt by heart."""
    mood = str(random.choice(list(WORDS)))
    shown = mood if random.random() < 0.65 else str(random.choice(list(WORDS)))
    words = [WORDS[shown], *(f"w{n}" for n in random.integers(60, size=4))]
    names = ["B-person" if word == "w7" or random.random() < 0.1 else "O" for word in words]
    split = "train" if number < 200 else "validation" if number < 400 else "test"
    return {"id": f"all-{number}", "split": split, "tokens": words, "mood": mood, "names": names}


def settings() -> Params:
    labels = {"mood": {"type": "class", "column": "mood"}, "names": {"type": "tags", "column": "names"}}
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.4, "validation": 0.3, "test": 0.3}}
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {"texts": {**source, "labels": labels}},
            "tasks": {"mood": {"type": "classification", "label": "mood"}, "names": {"type": "token_classification", "label": "names"}},
            "encoder": {"type": "fnn", "width": 24, "window": 1, "layers": 1, "vocabulary": 400, "max_length": 24, "dropout": 0.0},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 300, "epochs": 30, "eval_every": 10_000, "learning_rate": 1e-2, "head_learning_rate": 1e-2},
        }
    )


def test_an_overconfident_model_is_calibrated_on_rows_it_has_not_seen(tmp_path: Path) -> None:
    random, params = np.random.default_rng(0), settings()
    rows = [row(random, number) for number in range(700)]
    schema.write(canonical(rows, {"mood": "class", "names": "tags"}), tmp_path / "texts.parquet")
    run, out = params.runs()["joint-plain-1"], tmp_path / "model"
    out.mkdir()
    train(params, run, tmp_path, tmp_path, None, out)
    states = {name: task["state"] for name, task in json.loads((out / "config.json").read_text())["tasks"].items()}
    facts = json.loads((out / "run.json").read_text())
    assert facts["temperatures"] == {name: state["temperature"] for name, state in states.items()}
    assert states["mood"]["temperature"] > 1.2
    predict_run(params, run, out, tmp_path, tmp_path)
    scores = scores_of(params, run, tmp_path / f"{run.name}.parquet")
    errors = {score.task: score.calibration for score in scores if score.calibration}
    assert errors["mood"].after < errors["mood"].before / 2
    assert errors["names"].after < errors["names"].before
    assert errors["mood"].confidences == 300
