"""Texts written by the shared decoder, through the real pipeline: learnt, scored, resumed and bounded."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

import mtl
from mtl.config import Params
from mtl.data import schema
from mtl.decoders.base import IGNORED
from mtl.evaluation.bootstrap import draws
from mtl.evaluation.predictions import predict
from mtl.evaluation.scored import predictions_of
from mtl.model.device import Precision
from mtl.model.folder import load
from mtl.model.model import Model
from mtl.tasks.generation import Generation
from mtl.training.prepare import prepare
from mtl.training.run import train
from mtl.training.splits import read_splits

from .loops import canonical, whole_and_resumed

WORDS = ("ant", "bee", "cat", "dog", "eel")
RNN = {"type": "rnn", "width": 64, "layers": 1, "vocabulary": 300, "dropout": 0.0}


def rows(count: int) -> list[dict[str, Any]]:
    """Texts of five words, each with its words in reverse and in capitals, and whether it begins with an ant."""
    random, result = np.random.default_rng(0), []
    for number in range(count):
        words = [str(word) for word in random.permutation(WORDS)[: int(random.integers(2, 5))]]
        split = "train" if number < 0.8 * count else "validation" if number < 0.9 * count else "test"
        row = {"id": f"all-{number}", "split": split, "tokens": words, "first": words[0]}
        result.append(row | ({"reverse": " ".join(words[::-1]).title()} if number % 4 else {"copy": " ".join(words)}))
    return result


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    schema.write(canonical(rows(800), {"reverse": "text", "copy": "text", "first": "class"}), folder / "texts.parquet")
    return folder


def settings(tasks: dict[str, Any], encoder: dict[str, Any] = RNN, **changes: Any) -> Params:
    labels = {name: {"type": "class" if name == "first" else "text", "column": name} for name in ("reverse", "copy", "first")}
    dataset = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    return Params.model_validate(
        {
            "seed": 1,
            "datasets": {"texts": dataset | {"labels": labels}},
            "tasks": tasks,
            "encoder": {"max_length": 24, **encoder},
            "experiment": {"joint": ["plain"], "single_task": []},
            "train": {"batch_tokens": 300, "eval_every": 60, "learning_rate": 3e-3, "head_learning_rate": 6e-3, **changes},
        }
    )


def generation(label: str, **changes: Any) -> dict[str, Any]:
    return {"type": "generation", "label": label, **changes}


SMALL = {"layers": 1, "width": 64, "heads": 4, "vocabulary": 300, "max_length": 12, "dropout": 0.0}
TASKS = {
    "back": generation("reverse", decoder=SMALL, label_smoothing=0.0),
    "first": {"type": "classification", "label": "first"},
    "same": generation("copy", label_smoothing=0.0),
}


def test_two_tasks_write_with_one_decoder_beside_a_classification(texts: Path, tmp_path: Path) -> None:
    params = settings(TASKS, epochs=16)
    run = params.runs()["joint-plain-1"]
    train(params, run, texts, texts, None, tmp_path)
    losses = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    last = [record["loss"] for record in losses if record["kind"] == "train"][-1]

    assert max(last["back"], last["same"]) < 0.02
    table = predict(params, run, tmp_path, texts)
    found = [row for row in table.to_pylist() if row["task"] == "back"]
    right = [row for row in found if row["prediction"] == row["gold"]]
    assert right
    for row in right:  # what is predicted is as probable as what is expected
        assert math.exp(-row["surprise"] / row["subwords"]) == pytest.approx(row["confidence"], rel=1e-4)
    assert table.filter(pc.equal(table["task"], "first"))["surprise"].null_count == 80
    by_task = predictions_of(params.tasks, table)
    assert [list(by_task[task].measured) for task in TASKS] == [["perplexity"], [], ["perplexity"]]
    mean = sum(row["surprise"] for row in found) / sum(row["subwords"] for row in found)
    back = by_task["back"]
    values, drawn = draws("generation", back.gold, back.prediction, [np.ones((2, len(found)))], None, back.measured)
    assert values["perplexity"] == pytest.approx(math.exp(mean)) == pytest.approx(drawn["perplexity"][0])
    assert values["perplexity"] < 1.5
    scores = Generation.metrics([row["gold"] for row in found], [row["prediction"] for row in found])

    assert scores["bleu"] > 90
    model = mtl.load(tmp_path, "cpu")
    [known, empty] = model.predict(["bee cat dog", ""])
    assert known["back"]["text"] == "Dog Cat Bee"
    assert known["same"]["text"] == "bee cat dog"
    assert known["first"]["label"] == "bee"
    assert 0.5 < known["back"]["score"] <= 1
    assert empty == {"back": None, "first": None, "same": None}
    [foreign] = model.predict(["東京 に 行く"])  # no train text has such letters
    assert 0 <= foreign["back"]["score"] <= 1
    assert len(foreign["back"]["text"].encode()) <= SMALL["max_length"] * len("Dog Cat")


def test_a_run_starts_from_the_decoder_of_another_unless_that_has_another_form(texts: Path, tmp_path: Path) -> None:
    def prepared(tasks: dict[str, Any], start: Path | None) -> tuple[Model, list[str]]:
        params = settings(tasks)
        run = params.runs()["joint-plain-1"]
        loop, warnings = prepare(
            params, run, read_splits(params, run, texts, texts), None, Precision("fp32", torch.device("cpu")), start=start
        )
        return loop.model, warnings

    params = settings(TASKS, epochs=1)
    train(params, params.runs()["joint-plain-1"], texts, texts, None, tmp_path)
    before = load(tmp_path)
    model, warnings = prepared(TASKS, tmp_path)
    assert not warnings
    for name, weight in (*model.decoder.state_dict().items(), *model.heads.state_dict().items()):  # type: ignore[union-attr]
        assert torch.equal(weight, {**before.decoder.state_dict(), **before.heads.state_dict()}[name])  # type: ignore[union-attr]
    other = {**TASKS, "back": generation("reverse", decoder=SMALL | {"layers": 2}, label_smoothing=0.0)}
    (model, warnings), (plain, _) = prepared(other, tmp_path), prepared(other, None)
    assert warnings == ["the decoder is not taken over: its vocabulary or form differs"]
    assert torch.equal(model.heads["back"].start, plain.heads["back"].start)


def test_micro_batches_have_room_for_the_targets(texts: Path) -> None:
    params, limit = settings(TASKS, micro_batch_tokens=60), 60
    run = params.runs()["joint-plain-1"]
    loop, _ = prepare(params, run, read_splits(params, run, texts, texts), None, Precision("fp32", torch.device("cpu")))
    batches = loop._batches(apart=False).batches
    for batch in batches:
        sizes = batch.mask.sum(1)
        for task in ("back", "same"):
            if task in batch.targets:
                sizes = sizes + (batch.targets[task] != IGNORED).sum(1)
        assert len(sizes) * int(sizes.max()) <= limit
    assert len(batches) > 1


@pytest.mark.parametrize("encoder", [RNN, {"type": "transformer", "source": {"url": "file:///nowhere"}, "pooling": "first"}])
def test_a_run_goes_on_bit_by_bit(texts: Path, tiny_bert: Path, tmp_path: Path, encoder: dict[str, Any]) -> None:
    params, source = settings(TASKS, encoder, epochs=1, eval_every=4), tiny_bert if encoder is not RNN else None
    whole, resumed = whole_and_resumed(params, params.runs()["joint-plain-1"], texts, texts, source, tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


@pytest.mark.parametrize("changes", [{"balancing": "pcgrad"}, {"balancing": {"type": "gradient_norm", "interval": 3}}])
def test_tasks_that_share_the_decoder_are_balanced_and_resumed(texts: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    params = settings(TASKS, {"type": "cnn", "width": 16, "vocabulary": 300}, epochs=1, eval_every=6, **changes)
    whole, resumed = whole_and_resumed(params, params.runs()["joint-plain-1"], texts, texts, None, tmp_path)
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
