"""From files to a model that takes raw texts: one segmentation all the way, and both scores in all results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import mtl
from mtl.config import Params, parse
from mtl.data.check import check_examples
from mtl.data.prepare import prepare
from mtl.data.schema import read_schema, segmentation_of
from mtl.data.spans import entities
from mtl.evaluation.predictions import predict_run
from mtl.evaluation.results import evaluate
from mtl.evaluation.scores import scores_of
from mtl.model.folder import read_config

NAMES = {"PER": ["王小明", "李雷", "赵敏"], "LOC": ["北京", "上海", "东京"]}
CONTEXTS = ["{PER}在{LOC}买屏幕1", "我和{PER}去{LOC}了！", "{LOC}下雨，{PER}说ok", "今天很好。"]
LABELS = {"tags": {"type": "tags", "column": "tags"}}


def chinese(number: int) -> str:
    """A sentence as a file of characters, each with its place in its word."""
    lines, text = [], CONTEXTS[number % 4]
    while text:
        type_ = next((name for name in NAMES if text.startswith(f"{{{name}}}")), None)
        word = NAMES[type_][number // 4 % 3] if type_ else text[0]
        lines += [f"{letter}{i}\t{'BI'[i > 0]}-{type_}" if type_ else f"{letter}{i}\tO" for i, letter in enumerate(word)]
        text = text[len(type_) + 2 if type_ else 1 :]
    return "\n".join(lines) + "\n\n"


def english(number: int) -> str:
    """A sentence whose entity the named segmentation of new texts cuts off: it ends with punctuation."""
    name = ["Ann", "Bob", "Eve"][number % 3]
    return f"{name}! B-PER\ncalls O\nnumber{number} O\n\n"


def settings(dataset: dict[str, Any]) -> Params:
    reader = {"format": "conll", "columns": ["token", "tags"]} | dataset.pop("reader", {})
    reviews = {"reader": {"format": "csv"}, "labels": {"mood": {"type": "class", "column": "mood"}}}
    common = {"source": {split: {"url": "x", "sha256": "0" * 64} for split in ("train", "test")}}
    return parse(
        {
            "seed": 1,
            "datasets": {
                "names": {**common, "reader": reader, "labels": LABELS, **dataset},
                "reviews": {**common, **reviews, "text": "text"},
            },
            "tasks": {"names": {"type": "token_classification", "label": "tags"}, "mood": {"type": "classification", "label": "mood"}},
            "augment": {"methods": {}},
            "encoder": {"type": "fnn", "width": 64, "vocabulary": 600},
            "train": {"epochs": 30, "batch_tokens": 512, "learning_rate": 0.01},
            "experiment": {"joint": ["plain"], "single_task": []},
            "evaluate": {"resamples": 100},
            "report": {},
        }
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Params, str, str], Path]:
    """Prepares, trains, predicts and evaluates a project of two files."""
    from mtl.training.run import train

    def build(params: Params, names: str, reviews: str) -> Path:
        data = tmp_path_factory.mktemp("data")
        for dataset, content in (("names", names), ("reviews", reviews)):
            for split in ("train", "test"):
                (data / "raw" / dataset / split).mkdir(parents=True)
                (data / "raw" / dataset / split / "file").write_text(content)
        run = params.runs()["joint-plain-1"]
        for folder in ("examples", "predictions", "results", f"models/{run.name}"):
            (data / folder).mkdir(parents=True)
        for dataset in params.datasets:
            prepare(params, dataset, data / "raw" / dataset, data / "examples")
        check_examples(params, data / "examples", data / "examples")
        train(params, run, data / "examples", data, None, data / "models" / run.name)
        predict_run(params, run, data / "models" / run.name, data / "examples", data / "predictions")
        evaluate(params, data / "models", data / "predictions", data / "results")
        return data

    return build


def reviews(texts: tuple[str, str]) -> str:
    return "text,mood\n" + "".join(f"{texts[i % 2]}{i},{'good' if i % 2 else 'bad'}\n" for i in range(60))


@pytest.fixture(scope="module")
def characters(built: Callable[[Params, str, str], Path]) -> Path:
    params = settings({"reader": {"separator": "tab", "strip": "digits"}})
    return built(params, "".join(map(chinese, range(120))), reviews(("很差，太慢", "很好，很快")))


def test_a_raw_chinese_sentence_has_the_entities_of_its_characters(characters: Path) -> None:
    assert segmentation_of(read_schema(characters / "examples/names.parquet")) == "characters"
    assert segmentation_of(read_schema(characters / "examples/reviews.parquet")) == "words"  # no spaces between its words
    model = mtl.load(characters / "models/joint-plain-1", device="cpu")
    (prediction,) = model.predict(["王小明在北京买屏幕1"])
    found = [(entity["type"], entity["text"], entity["start"]) for entity in prediction["names"]["entities"]]
    assert found == [("PER", "王小明", 0), ("LOC", "北京", 4)]
    assert prediction["mood"]["label"] in ("bad", "good")
    assert read_config(characters / "models/joint-plain-1")["tasks"]["mood"]["state"]["segmentation"] == "words"


def test_raw_text_and_characters_have_identical_entities(characters: Path) -> None:
    rows = [row for row in pq.read_table(characters / "predictions/joint-plain-1.parquet").to_pylist() if row["task"] == "names"]
    assert sum(len(entities(json.loads(row["gold"]))) for row in rows) > 20
    for row in rows:
        for on_tokens, on_text in (("gold", "raw_gold"), ("prediction", "raw_prediction")):
            assert json.loads(row[on_tokens]) == json.loads(row[on_text])
    metrics = json.loads((characters / "results/metrics.json").read_text())
    assert metrics["raw_text"] == {"names": metrics["names"]}
    assert metrics["names"] > 0.95


def test_a_task_on_whole_texts_has_no_score_of_its_own_on_raw_text(characters: Path) -> None:
    rows = pq.read_table(characters / "predictions/joint-plain-1.parquet").to_pylist()
    assert {row["raw_gold"] for row in rows if row["task"] == "mood"} == {None}
    tasks = json.loads((characters / "results/comparisons.json").read_text())["runs"]["joint-plain-1"]["tasks"]
    assert ["raw_text" in tasks[name] for name in ("names", "mood")] == [True, False]


def test_a_score_that_raw_texts_do_not_reach_is_a_warning(built: Callable[[Params, str, str], Path]) -> None:
    params = settings({"segmentation": "words"})
    data = built(params, "".join(map(english, range(90))), reviews(("bad and slow", "good and fast")))
    card = json.loads((data / "examples/names.json").read_text())
    assert card["segmentation"]["name"] == "words"
    assert card["warnings"] == [
        f"the segmentation of new texts, words, reproduces {card['segmentation']['reproduced']['words']:.1%} of the tokens: "
        "compare the scores on raw text in the report"
    ]
    comparisons = json.loads((data / "results/comparisons.json").read_text())
    parity = comparisons["runs"]["joint-plain-1"]["tasks"]["names"]["raw_text"]
    assert parity["tokens"] > 0.9
    assert parity["raw_text"] == 0
    assert parity["difference"] == -parity["tokens"]
    assert parity["high"] < 0
    assert any(warning.startswith("names: scores 0.000 on the raw text") for warning in comparisons["warnings"])
    scores = scores_of(params, params.runs()["joint-plain-1"], data / "predictions/joint-plain-1.parquet")
    (on_raw_text,) = [score.raw_text for score in scores if score.raw_text]
    assert (on_raw_text.value, on_raw_text.high < 0) == (0, True)
