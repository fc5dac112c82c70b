"""Rows as users have them, from raw files to predictions: each is counted with its reason, or does no harm."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtl
from mtl.config import Params, parse
from mtl.data.prepare import prepare
from mtl.evaluation.predictions import predict
from mtl.plugins import task_type
from mtl.training.run import train

WORDS = ["the", "film", "was", "really", "great", "and", "boring", "we", "saw", "it", "in", "paris", "london"]
TOPICS = 2000
BY_SHARE = {"train": 0.8, "validation": 0.1, "test": 0.1}
ANY = {"url": "file:///nowhere"}


def words(random: np.random.Generator, count: int) -> str:
    return " ".join(str(word) for word in random.choice(WORDS, count))


def pairs(random: np.random.Generator) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train and test rows. Two texts are empty; one class stands in the test rows only; the set of another label has one member."""
    rows: list[dict[str, Any]] = [
        {
            "premise": words(random, 5),
            "hypothesis": words(random, 4) if number != 7 else "",
            "entailment": "yes" if number % 2 else "no",
            "tags": ["only"] if number % 3 else [],
        }
        for number in range(200)
    ]
    return rows, [*rows[10:40], {**rows[1], "premise": ""}, {**rows[1], "entailment": "never seen"}]


def relations(random: np.random.Generator) -> list[dict[str, Any]]:
    """Every tenth row has no label, and three rows have marks that overlap or are not there."""
    rows: list[dict[str, Any]] = [
        {
            "sentence": f"<e1>{words(random, 1)}</e1> {words(random, 3)} <e2>{words(random, 1)}</e2>",
            "relation": ("A(e1,e2)", "B")[number % 2] if number % 10 else None,
        }
        for number in range(300)
    ]
    wrong = ["<e1>the <e2>film</e1> was</e2> great", "<e1>the film</e1> was great", "<e1>the <e2>film</e2> was</e1> great"]
    return rows + [{"sentence": sentence, "relation": "B"} for sentence in wrong]


def topics(random: np.random.Generator) -> list[dict[str, Any]]:
    """Many classes."""
    return [{"text": f"{words(random, 4)} {number}", "topic": f"topic {number % TOPICS}"} for number in range(2 * TOPICS)]


def settings() -> Params:
    shared = {"source": ANY, "reader": {"format": "jsonl"}, "split": BY_SHARE, "max_malformed": 0.05}
    relation = {"type": "relation", "column": "relation", "head": "e1", "tail": "e2"}
    two = {"entailment": {"type": "class", "column": "entailment"}, "tags": {"type": "classes", "column": "tags"}}
    return parse(
        {
            "seed": 1,
            "datasets": {
                "pairs": shared
                | {"source": {"train": ANY, "test": ANY}, "split": {"train": 0.8, "validation": 0.2}}
                | {"text": ["premise", "hypothesis"], "labels": two},
                "sentences": shared | {"text": "sentence", "marks": ["e1", "e2"], "labels": {"relation": relation}},
                "texts": shared | {"labels": {"topic": {"type": "class", "column": "topic"}}},
            },
            "tasks": {
                "entailment": {"type": "classification", "label": "entailment"},
                "tags": {"type": "multilabel_classification", "label": "tags"},
                "relations": {"type": "relation_classification", "label": "relation"},
                "topics": {"type": "classification", "label": "topic"},
            },
            "augment": {"methods": {}},
            "encoder": {"type": "transformer", "source": ANY, "max_length": 32, "pooling": "first"},
            "train": {"epochs": 1, "batch_tokens": 2000, "eval_every": 1000},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the examples, with their data cards."""
    folder, random, params = tmp_path_factory.mktemp("bad"), np.random.default_rng(0), settings()
    first, second = pairs(random)
    files = {"pairs/train": first, "pairs/test": second, "sentences/all": relations(random), "texts/all": topics(random)}
    for name, rows in files.items():
        (folder / "raw" / name).mkdir(parents=True)
        (folder / "raw" / name / "file").write_text("\n".join(map(json.dumps, rows)))
    (folder / "examples").mkdir()
    for name in params.datasets:
        prepare(params, name, folder / "raw" / name, folder / "examples")
    return folder / "examples"


def test_rows_that_cannot_be_used_are_counted_with_line_and_reason(prepared: Path) -> None:
    def malformed(name: str) -> list[tuple[str, int, str]]:
        samples = json.loads((prepared / f"{name}.json").read_text())["malformed"]["samples"]
        return [(sample["source"], sample["line"], sample["reason"]) for sample in samples]

    assert malformed("pairs") == [("train", 8, "hypothesis: the text is empty"), ("test", 31, "premise: the text is empty")]
    assert malformed("sentences") == [
        ("all", 301, "e1 and e2 overlap"),
        ("all", 302, "the text has <e2> 0 times, not once"),
        ("all", 303, "e1 and e2 overlap"),
    ]
    assert malformed("texts") == []


def test_the_rest_is_trained_predicted_and_scored(prepared: Path, tiny_bert: Path, tmp_path: Path) -> None:
    params = settings()
    run = params.runs()["joint-plain-1"]
    train(params, run, prepared, prepared, tiny_bert, tmp_path)
    warnings = json.loads((tmp_path / "run.json").read_text())["warnings"]
    rows = predict(params, run, tmp_path, prepared).to_pylist()
    scores = {}
    for task, spec in params.tasks.items():
        gold, prediction = zip(*((row["gold"], row["prediction"]) for row in rows if row["task"] == task), strict=True)
        scores[task] = task_type(spec.type).metrics(gold, prediction)
        assert all(0 <= value <= 1 for value in scores[task].values()), task
        if task == "entailment":
            assert "never seen" in gold  # counts as wrong
            assert scores[task]["accuracy"] <= 1 - 1 / len(gold)
    assert not [warning for warning in warnings if "nan" in warning.lower()]

    model = mtl.load(tmp_path, "cpu")
    empty = {"premise": "the film", "hypothesis": ""}
    assert model.predict([empty], tasks=["entailment", "tags"]) == [{"entailment": None, "tags": None}]
    assert model.predict(["<e1>the film</e1> was", "no marks"], tasks=["relations"]) == [{"relations": None}] * 2
    (found,) = model.predict([{"text": "we saw it"}], tasks=["topics"])
    assert found["topics"]["label"].startswith("topic ")
