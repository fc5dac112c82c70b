"""Questions about long contexts: training sees the answers, windows find them, and scores quote the text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mtl
from mtl.config import Params
from mtl.data import schema
from mtl.evaluation.predictions import predict
from mtl.tasks.question_answering import QuestionAnswering
from mtl.training.run import train

from .loops import canonical, whole_and_resumed

NAMES = ("berlin", "london", "paris", "great")
TRANSFORMER = {"type": "transformer", "source": {"url": "file:///nowhere"}, "pooling": "first"}


def row(random: np.random.Generator, number: int) -> dict[str, Any]:
    """A long context in which one name stands after *the*. That name is the answer, if the question is about it; else there is none."""
    context = [str(name) for name in random.choice(["a", "was", "of", "."], 60)]
    place = int(random.integers(59))
    context[place : place + 2] = ["the", str(random.choice(NAMES))]
    asked = bool(random.random() < 0.7)
    label = [{"text": context[place + 1], "start": place + 1, "end": place + 2}] * 2 if asked else []
    split = "train" if number < 500 else "validation" if number < 560 else "test"
    return {"id": f"all-{number}", "split": split, "question": ["the", "?"] if asked else ["a", "?"], "context": context, "answers": label}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("questions"), np.random.default_rng(0)
    rows = []
    for number in range(620):
        own = row(random, number)
        fields = {
            column: values
            for field in ("question", "context")
            for column, values in zip(schema.columns_of(field), (own[field], [True] * (len(own[field]) - 1) + [False]), strict=True)
        }
        rows.append({"id": own["id"], "split": own["split"], **fields, "answers": own["answers"], "parent_id": None, "augmenter": None})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.table(columns, schema=schema.schema({"answers": "answers"}, ["question", "context"], {"answers": "context"}))
    schema.write(table, folder / "texts.parquet")
    notes = [
        {"id": f"all-{n}", "split": rows[10 * n]["split"], "tokens": [["was", "great"], ["of", "."]][n % 2], "good": "ny"[n % 2]}
        for n in range(62)
    ]
    schema.write(canonical(notes, {"good": "class"}), folder / "notes.parquet")
    return folder


def settings(encoder: dict[str, Any], **changes: Any) -> Params:
    """Questions, and a task on a dataset of one text field beside them."""
    shared = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {
                "notes": shared | {"labels": {"good": {"type": "class", "column": "good"}}},
                "texts": shared
                | {"text": ["question", "context"], "labels": {"answers": {"type": "answers", "column": "answers", "field": "context"}}},
            },
            "tasks": {"good": {"type": "classification", "label": "good"}, "questions": {"type": "question_answering", "label": "answers"}},
            "encoder": {"max_length": 24, **encoder},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 600, "eval_every": 60, "learning_rate": 3e-3, "head_learning_rate": 1e-2, **changes},
        }
    )


def test_answers_in_any_window_are_learnt_and_found(texts: Path, tiny_bert: Path, tmp_path: Path) -> None:
    params = settings(TRANSFORMER, epochs=20)
    run = params.runs()["joint-plain-1"]
    train(params, run, texts, texts, tiny_bert, tmp_path)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert any("gold entities and ranges: 0)" in warning for warning in facts["warnings"])  # rows are cut, but no answer is
    rows = [row for row in predict(params, run, tmp_path, texts).to_pylist() if row["task"] == "questions"]
    scores = QuestionAnswering.metrics([row["gold"] for row in rows], [row["prediction"] for row in rows])
    assert scores["exact_match"] > 0.9
    assert facts["best_score"] > 0.9

    context = " ".join(["was"] * 5000 + ["the", "paris"] + ["of"] * 5)  # 20,000 characters
    asked = ["the ?", "a ?", "", "the " * 100]  # the last one is longer than a window
    [found, none, empty, long] = mtl.load(tmp_path, "cpu").predict(
        [{"question": question, "context": context} for question in asked], tasks=["questions"]
    )
    assert found["questions"]["answer"] == "paris"
    assert context[found["questions"]["start"] : found["questions"]["end"]] == "paris"
    assert none["questions"]["answer"] is None
    assert empty["questions"] is None
    assert set(long["questions"]) == {"answer", "start", "end", "confidence"}


@pytest.mark.parametrize("encoder", [TRANSFORMER, {"type": "rnn", "width": 16, "layers": 1, "vocabulary": 300}])
def test_a_run_goes_on_bit_by_bit(texts: Path, tiny_bert: Path, tmp_path: Path, encoder: dict[str, Any]) -> None:
    params, source = settings(encoder, epochs=1, eval_every=4), tiny_bert if encoder is TRANSFORMER else None
    whole, resumed = whole_and_resumed(params, params.runs()["joint-plain-1"], texts, texts, source, tmp_path)
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
