"""A saved model gives the same predictions anywhere, and a folder that is no model is named."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl import encoders
from mtl.config import Params, TransformerEncoder
from mtl.encoders import fused
from mtl.encoders.windows import encode_windows
from mtl.errors import ModelError
from mtl.model import folder as models
from mtl.model import prediction as predictors
from mtl.model.batch import collate
from mtl.model.model import Model
from mtl.model.prediction import Predictor
from mtl.tasks.base import TaskType
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression
from mtl.tasks.token_classification import TokenClassification
from mtl.training.corpus import Corpus, labelled_batch
from mtl.training.run import train

ROWS = [["the", "film", "was", "great"], [], ["we", "saw", "Oslo", "and", "Lima"], ["\u200b"], ["x"] * 100, ["awful"]]
CHILD = """
import json, sys, torch
from pathlib import Path
from mtl.model.prediction import Predictor
torch.set_num_threads(1)
found = Predictor.load(Path(sys.argv[1]), "cpu").predict(json.loads(sys.argv[2]))
print(json.dumps({task: [[a.text, repr(a.confidence)] for a in predictions] for task, predictions in found.items()}))
"""


@pytest.fixture(scope="module")
def folder(project: Path, make_settings: Callable[..., Params], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, params = tmp_path_factory.mktemp("model"), make_settings(epochs=1)
    train(params, params.runs()["joint-plain-1"], project / "examples", project / "shards", None, out)
    return out


def transformer(folder: Path, pooling: str, task_layers: int = 0) -> tuple[encoders.Encoder, encoders.SubwordTokenizer]:
    source = {"url": "file:///nowhere"}
    settings = {"type": "transformer", "source": source, "max_length": 32, "dropout": 0, "pooling": pooling, "task_layers": task_layers}
    return encoders.build(TransformerEncoder.model_validate(settings), folder, [])


def test_a_new_process_gives_identical_predictions(folder: Path) -> None:
    found = Predictor.load(folder, "cpu").predict(ROWS)
    here = {task: [[prediction.text, repr(prediction.confidence)] for prediction in predictions] for task, predictions in found.items()}
    done = subprocess.run([sys.executable, "-c", CHILD, str(folder), json.dumps(ROWS)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == here


def test_predictions_come_in_the_order_of_the_rows(folder: Path) -> None:
    predictor = Predictor.load(folder, "cpu")
    together = predictor.predict(ROWS, batch_tokens=20)
    for i, row in enumerate(ROWS):
        for task, predictions in predictor.predict([row]).items():
            if task == "rating":
                assert predictions[0].value == pytest.approx(together[task][i].value, rel=1e-4)
            else:
                assert predictions[0].value == together[task][i].value
    assert [len(prediction.value) for prediction in together["names"] if isinstance(prediction.value, tuple)] == [len(row) for row in ROWS]


def test_entities_beyond_the_longest_length_are_found(folder: Path) -> None:
    predictor = Predictor.load(folder, "cpu")
    long = [*(["the", "film", "was"] * 20), "Lima", *(["we", "saw"] * 20), "Oslo", "and"]
    short = ["we", "saw", "Oslo", "and"]
    found = predictor.predict([short, long, short])
    cities = [i for i, tag in enumerate(found["names"][1].value) if tag != "O"]  # type: ignore[arg-type]
    alone = predictor.predict([short])["names"][0].value
    assert alone[2] == "B-city"  # type: ignore[index]
    assert len(found["names"][1].value) == len(long)  # type: ignore[arg-type]
    assert {60, 101} <= set(cities)
    # The beginning speaks for the whole text, as it does in training.
    assert found["mood"][1] == predictor.predict([long[:30]])["mood"][0]


def test_only_tokens_need_the_windows_of_a_long_row(folder: Path) -> None:
    predictor = Predictor.load(folder, "cpu")
    rows = [["over", "the"] * 200, ["large", "cities"]]
    sizes = [len(predictors.encode(predictor.model.tokenizer, rows, 32, [predictor.model.tasks[name]])) for name in ("mood", "names")]
    assert sizes[0] == 2 < sizes[1]
    found, expected = predictor.predict(rows, ["mood"])["mood"], predictor.predict(rows)["mood"]
    assert [prediction.value for prediction in found] == [prediction.value for prediction in expected]
    assert [prediction.confidence for prediction in found] == pytest.approx([prediction.confidence for prediction in expected], abs=1e-5)


def test_tasks_can_be_chosen(folder: Path) -> None:
    predictor = Predictor.load(folder, "cpu")
    assert predictor.predict(ROWS, ["mood"]).keys() == {"mood"}
    assert predictor.predict([], ["mood"]) == {"mood": []}
    with pytest.raises(ModelError, match="no task 'weather'; choose from: names, mood, rating"):
        predictor.predict(ROWS, ["weather"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_predictions_are_finite_whatever_the_head_gives(folder: Path, value: float) -> None:
    model = models.load(folder)
    for parameter in model.heads.parameters():
        parameter.data.fill_(value)
    found = Predictor(model, "cpu").predict([["the", "friend"], ["over"] * 40])
    for task, own in found.items():
        assert all(math.isfinite(prediction.confidence) for prediction in own)
        gold = [prediction.text for prediction in own]
        assert all(math.isfinite(score) for score in model.tasks[task].metrics(gold, gold).values())
        assert not isinstance(own[0].value, float) or math.isfinite(own[0].value)


def test_saved_again_it_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    models.save(models.load(folder), tmp_path, {})
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


@pytest.mark.skipif(not fused.available(), reason="this machine's torch has no fused products")
@pytest.mark.parametrize("tasks", [["rating", "names"], ["rating"]])
@pytest.mark.parametrize("task_layers", [0, 1])
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_predictor_fuses_and_predictions_the_same(tiny_bert: Path, pooling: str, task_layers: int, tasks: list[str]) -> None:
    encoder, tokenizer = transformer(tiny_bert, pooling, task_layers)
    heads = {"rating": Regression({"mean": 0.0, "std": 1.0}), "names": TokenClassification(TokenClassification.fit([["B-city"]]))}
    model = Model(encoder, tokenizer, heads, max_length=32, dropout=0.0).eval()
    rows = [["the", "friend"], ["large", "cities"], ["over"] * 40, [], ["over", "the", "quick"]]
    encoded = encode_windows(tokenizer, rows, 32)
    expected = predictors.predictions(model, encoded, predictors.counts_of(rows), tasks)
    found = Predictor(model, "cpu").predict(rows, tasks)
    assert sum(isinstance(module, fused.FusedLayer) for module in model.modules()) == 2 + task_layers
    assert found.keys() == expected.keys() == set(tasks)
    for task, own in found.items():
        for prediction, other in zip(own, expected[task], strict=True):
            assert prediction.value == (pytest.approx(other.value, rel=1e-4, abs=1e-5) if task == "rating" else other.value)


@pytest.mark.parametrize("task_layers", [0, 1])
def test_a_task_may_have_any_name_and_none_need_be_requested(tiny_bert: Path, tmp_path: Path, task_layers: int) -> None:
    encoder, tokenizer = transformer(tiny_bert, "first", task_layers)
    names = ["type", "keys", "training", "forward", "T"]
    tasks: dict[str, TaskType] = {name: Regression({"mean": 0.0, "std": 1.0}) for name in names}
    model = Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0).eval()
    models.save(model, tmp_path, {})
    found = Predictor(models.load(tmp_path), "cpu").predict([["the", "friend"]])
    assert list(found) == names
    assert Predictor(model, "cpu").predict([["the", "friend"]], []) == {}


def test_layers_of_the_tasks_own_are_learnt_saved_and_loaded(
    project: Path, make_settings: Callable[..., Params], tiny_bert: Path, tmp_path: Path
) -> None:
    settings = {"encoder": {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "task_layers": 1}}
    params = Params.model_validate(make_settings(epochs=1).model_dump(exclude={"encoder"}) | settings)
    train(params, params.runs()["joint-plain-1"], project / "examples", project / "shards", tiny_bert, tmp_path)
    model, shared = models.load(tmp_path), 0
    own = [model.encoder.own(task) for task in model.tasks]
    assert [len(part) for part in own] == [16] * 3
    for one, other, another in zip(*own, strict=True):
        shared += torch.equal(one, other) or torch.equal(other, another) or torch.equal(one, another)
    assert shared <= 1  # the bias of keys, whose gradient is 0
    (tmp_path / "again").mkdir()
    models.save(model, tmp_path / "again", {})
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_what_no_head_looks_at_is_not_asked_of_the_encoder(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, pooling: str) -> None:
    encoder, tokenizer = transformer(tiny_bert, pooling)
    rows = [["the", "friend"], ["large", "cities"], ["over", "the", "quick"]]
    labels: dict[str, Any] = {
        "mood": ["good", None, "bad"],
        "rating": [1.5, None, None],
        "names": [None, ["O", "B-city"], ["B-city", None, "O"]],
    }
    types: dict[str, type[TaskType]] = {"mood": Classification, "rating": Regression, "names": TokenClassification}
    tasks = {name: kind(kind.fit(labels[name])) for name, kind in types.items()}
    model = Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0).eval()
    encoded = tokenizer.encode(rows, 32)
    batch, unlabelled = labelled_batch(Corpus(encoded, labels), np.arange(3), tasks), collate(encoded, np.arange(3))

    pooled = batch.mask if pooling == "mean" else batch.mask & (torch.arange(batch.mask.shape[1]) == 0)
    tagged = {(1, 0), (1, 1), (2, 0), (2, 2)}
    named = torch.tensor([[(row, word) in tagged for word in words] for row, words in enumerate(batch.word_ids.tolist())])
    assert torch.equal(model._needed(batch, "mood", {}), pooled & torch.tensor([True, False, True])[:, None])
    assert torch.equal(model._needed(batch, "names", {}), named)
    assert torch.equal(model._needed(unlabelled, "mood", {}), pooled)
    assert torch.equal(model._needed(unlabelled, "names", {}), torch.from_numpy(batch.word_ids >= 0))

    def losses_and_gradients() -> list[torch.Tensor]:
        model.zero_grad()
        logits = model(batch, tasks)
        losses = [task.loss(logits[name], batch.targets[name]) for name, task in tasks.items()]
        torch.stack(losses).sum().backward()
        return [torch.stack(losses).detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    some = losses_and_gradients()
    monkeypatch.setattr(Model, "_needed", lambda self, batch, task, markers: batch.mask)
    for one, other in zip(some, losses_and_gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def _version(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))


def _task(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["tasks"]["mood"]
    (folder / "config.json").write_text(json.dumps(config))


def _width(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder": config["encoder"] | {"width": "wide"}}))


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


DAMAGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    (lambda folder: shutil.rmtree(folder), "config.json is missing"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json: is not readable"),
    (lambda folder: (folder / "config.json").write_text("[]"), "config.json: is not readable"),
    (lambda folder: (folder / "config.json").write_text('{"format": 2}'), "config.json: lacks 'encoder'"),
    (_version, "format is 99; this version reads 2"),
    (_task, r"model.safetensors: does not fit config.json: .*mood"),
    (_width, "does not fit config.json"),
    (_truncate, "model.safetensors: does not fit config.json"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_folder_is_named(folder: Path, tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(ModelError, match=f"(?s){message}"):
        models.load(copy)


def test_the_model_keeps_how_its_datasets_split_texts(tiny_bert: Path, tmp_path: Path) -> None:
    encoder, tokenizer = transformer(tiny_bert, "first")
    tasks: dict[str, TaskType] = {
        "rating": Regression({"mean": 0.0, "std": 1.0, "segmentation": "spaces"}),
        "names": TokenClassification(TokenClassification.fit([["O", "B-x"]]) | {"segmentation": "characters"}),
    }
    models.save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0), tmp_path, {})
    assert {name: task.segmentation for name, task in models.load(tmp_path).tasks.items()} == {"rating": "spaces", "names": "characters"}
    config = json.loads((tmp_path / "config.json").read_text())
    config["tasks"]["names"]["state"]["segmentation"] = "syllables"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="task names: segmentation is 'syllables'; choose from: words, tweets, characters, spaces"):
        models.load(tmp_path)
