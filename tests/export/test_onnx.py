"""ONNX Runtime predicts what torch predicts."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tests.export.values import largest_difference
from tests.training.loops import canonical

from mtl.data import schema

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")

WITHOUT_TORCH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "safetensors", "huggingface_hub", "pyarrow", "pandas", "onnx", "onnxscript"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import mtl.cli
sys.exit(mtl.cli.main(["predict", "--model", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def model(shaped_model: Path) -> Path:
    return shaped_model


@pytest.fixture(scope="module")
def exported(graph: Path) -> Path:
    return graph


def test_predictions_of_all_task_types_are_those_of_torch(model: Path, exported: Path, lines: list[str]) -> None:
    """In another process, which cannot import torch."""
    from mtl.predict import predict_lines

    command = [sys.executable, "-c", WITHOUT_TORCH, str(exported)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    actual, expected = [json.loads(line) for line in done.stdout.splitlines()], list(predict_lines(model, lines))
    assert largest_difference(expected, actual) < 1e-4
    tasks = ("mood", "topics", "stars", "names", "follows", "cause", "answer")
    assert all(any(row.get(name) for row in expected) for name in tasks)
    assert expected[0]["names"]["entities"][-1]["end"] > 200  # far beyond the first window


def test_the_graph_itself_says_which_classes_reach_their_threshold(exported: Path) -> None:
    import onnxruntime

    from mtl.export.runtime import INPUTS, OnnxPredictor
    from mtl.model.batch import pad
    from mtl.model.joining import encode

    predictor, rows = OnnxPredictor(exported, threads=1), [["boring"] * number for number in range(1, 20)]
    batch = pad(encode(predictor.tokenizer, rows, predictor.max_length, [predictor.tasks["topics"]]), np.arange(len(rows)))
    feed = dict(zip(INPUTS, (batch.subwords, batch.mask, batch.word_shape_ids, np.zeros_like(batch.subwords)), strict=True))
    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    (labels,) = session.run(["task.topics.labels"], feed)
    predicted = [set(one.value["classes"]) for one in predictor.predict(rows, ["topics"])["topics"]]
    classes = predictor.tasks["topics"].class_names
    assert [{classes[i] for i in np.flatnonzero(row)} for row in labels] == predicted
    assert any(predicted)


def test_a_task_can_be_chosen(exported: Path) -> None:
    from mtl.errors import ModelError
    from mtl.export.runtime import OnnxPredictor

    predictor = OnnxPredictor(exported, threads=1)
    assert list(predictor.predict([["a", "friend"]], ["stars"])) == ["stars"]
    with pytest.raises(ModelError, match=r"no task 'star'; choose from: mood, topics, stars"):
        predictor.predict([["a"]], ["star"])


def test_the_graph_names_no_file_of_the_machine(exported: Path) -> None:
    content = (exported / "model.onnx").read_bytes()
    assert b"rows" in content
    assert [word for word in (b"/src/", b".py", b"site-packages", str(Path.home()).encode()) if word in content] == []


def test_a_graph_that_computes_something_else_is_refused(model: Path, exported: Path) -> None:
    from mtl.errors import ExportError
    from mtl.export.onnx import Graph, compare
    from mtl.export.runtime import OnnxPredictor
    from mtl.model.folder import load

    other = load(model)
    other.heads["mood"].layers[1].bias.data[0] += 0.1
    with pytest.raises(ExportError, match="the graph's outputs for task mood differ by"):
        compare(Graph(other, other.tasks), OnnxPredictor(exported), Path("model"))


def test_a_task_type_without_numpy_predictions_is_named(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl.errors import ExportError
    from mtl.export.onnx import export
    from mtl.tasks.base import TaskType
    from mtl.tasks.regression import Regression

    monkeypatch.setattr(Regression, "predict", TaskType.predict)
    with pytest.raises(ExportError, match=r"type regression cannot be exported: stars; choose with --task from: mood, topics, names"):
        export(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_torch_cannot_export_is_named(tmp_path: Path) -> None:
    from mtl import encoders
    from mtl.config.encoder import RecurrentEncoder
    from mtl.errors import ExportError
    from mtl.export.onnx import export
    from mtl.model.folder import save
    from mtl.model.model import Model
    from mtl.tasks.regression import Regression

    encoder, tokenizer = encoders.build(RecurrentEncoder.model_validate({"type": "rnn"}), None, [["a", "friend"]])
    model = Model(encoder, tokenizer, {"stars": Regression(Regression.fit([1.0, 5.0]))}, max_length=32, dropout=0.0)
    (tmp_path / "model").mkdir()
    save(model, tmp_path / "model", {})
    with pytest.raises(ExportError, match=r"an encoder of type rnn; use a transformer, cnn or fnn"):
        export(tmp_path / "model", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "config.json").write_text('{"format": 9}'), "format is 9; this version reads 1"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not readable"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no graph"), "cannot predict"),
    ],
)
def test_a_damaged_folder_is_an_error_of_one_line(
    exported: Path, tmp_path: Path, change: Callable[[Path], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtl.cli import main

    folder = shutil.copytree(exported, tmp_path / "graph")
    change(folder)
    assert main(["predict", "--model", str(folder), "/dev/null"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_exported_model_has_one_format(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mtl.cli import main

    assert main(["predict", "--model", str(exported), "--precision", "bf16", "/dev/null"]) == 2
    assert "leave out --precision" in capsys.readouterr().err


def test_an_existing_folder_is_not_replaced(model: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mtl.cli import main

    assert main(["export", "--model", str(model), "--to", "onnx", "--out", str(exported)]) == 2
    assert "exists already; name a new folder with --out" in capsys.readouterr().err


def test_8_bit_weights_come_with_what_they_change(exported: Path, lines: list[str], tmp_path: Path) -> None:
    from mtl.errors import ExportError
    from mtl.export.int8 import quantize

    folder, texts = shutil.copytree(exported, tmp_path / "graph"), tmp_path / "texts.jsonl"
    texts.write_text(" \n")
    with pytest.raises(ExportError, match=r"texts.jsonl holds none"):
        quantize(folder, texts)
    texts.write_text("\n".join(lines))
    size = (folder / "model.onnx").stat().st_size
    quantize(folder, texts)
    report = json.loads((folder / "int8.json").read_text())
    assert (folder / "model.onnx").stat().st_size < size
    assert report["rows"] == len(lines)
    assert report["speed"] > 0
    assert list(report["tasks"]) == ["mood", "topics", "stars", "names", "follows", "cause", "answer"]
    assert all(0 <= task["same_labels"] <= 1 for task in report["tasks"].values())
    assert report["tasks"]["stars"]["largest_change"] > 0
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "int8.json", "model.onnx", "tokenizer.json"]


def test_8_bit_weights_are_scored_on_labelled_rows(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mtl.cli import main
    from mtl.export.runtime import OnnxPredictor

    named, examples = shutil.copytree(model, tmp_path / "model"), tmp_path / "examples"
    config = json.loads((named / "config.json").read_text())
    for name, spec in config["tasks"].items():
        spec |= {"label": name, "datasets": ["reviews"]}
    (named / "config.json").write_text(json.dumps(config))
    texts = [f"the {word} film".split() for word in ("good", "bad", "boring", "great", "long") * 4]
    rows = [
        {"id": f"all-{i}", "split": "test" if i < 4 else "validation", "tokens": tokens, "mood": "good", "topics": ["film"], "names": None}
        for i, tokens in enumerate(texts)
    ]
    rows[5]["mood"], rows[6]["names"] = None, ["O", "B-person", "O"]
    examples.mkdir()
    schema.write(canonical(rows, {"mood": "class", "topics": "classes", "names": "tags"}), examples / "reviews.parquet")
    others = [row | {"mood": "bad"} for row in rows]  # of a dataset that the tasks did not learn from
    schema.write(canonical(others, {"mood": "class"}), examples / "others.parquet")
    chosen = [option for task in ("mood", "topics", "names") for option in ("--task", task)]
    common = ["export", "--model", str(named), "--to", "onnx", "--int8", str(examples)]
    assert main([*common, "--out", str(tmp_path / "int8"), *chosen]) == 0
    report = json.loads((tmp_path / "int8" / "int8.json").read_text())
    predicted = OnnxPredictor(tmp_path / "int8", threads=1).predict(texts[4:], ["mood"])["mood"]
    gold, texts_of = ["good"] * 15, [one.text for i, one in enumerate(predicted, start=4) if i != 5]
    assert report["rows"] == 16
    assert all(one["largest_change"] > 0 for one in report["tasks"].values())
    assert {name: one["metric"] for name, one in report["tasks"].items()} == {"mood": "macro_f1", "topics": "macro_f1", "names": "f1"}
    assert report["tasks"]["mood"]["int8"] == pytest.approx(f1_score(gold, texts_of, average="macro"))
    assert main([*common, "--out", str(tmp_path / "all")]) == 2
    assert "no validation row has a label of stars, follows, cause, answer" in capsys.readouterr().err


def test_8_bit_weights_are_not_for_transformers(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mtl.cli import main

    assert main(["export", "--model", str(model), "--to", "hf", "--out", str(tmp_path / "hf"), "--int8", "/dev/null"]) == 2
    assert "choose --to onnx or --to package" in capsys.readouterr().err
