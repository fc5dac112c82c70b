"""Prediction in 8-bit numbers: what it changes is measured on the validation rows, and it is refused where it cannot be had."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mtl
from encoders.test_packing import needs_int8
from mtl.cli import main
from mtl.config import Params, TransformerEncoder
from mtl.errors import TrainingError
from mtl.model.folder import load
from mtl.model.prediction import Predictor
from mtl.serving.served import ServedModel
from mtl.training.run import train

MakeParams = Callable[..., Params]
RUN = "joint-plain-1"
TEXTS = ["the film was great", "we saw Oslo and Lima", "the film was really awful"]


def with_bert(params: Params) -> Params:
    encoder = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32}
    return params.model_copy(update={"encoder": TransformerEncoder.model_validate(encoder)})


@pytest.fixture(scope="module")
def trained(project: Path, make_settings: MakeParams, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Path]:
    params, out = with_bert(make_settings(epochs=6, int8=True)), tmp_path_factory.mktemp("model")
    train(params, params.runs()[RUN], project / "examples", project / "shards", tiny_bert, out)
    return params, out


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@needs_int8
def test_scores_of_both_formats_are_those_of_the_kept_weights(trained: tuple[Params, Path]) -> None:
    _, out = trained
    measured = facts(out)["int8"]
    best = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    [kept] = [record for record in best if "metrics" in record and record["step"] == facts(out)["best_step"]]
    assert measured.keys() == kept["metrics"].keys() == {"names", "mood", "rating"}
    for task, one in measured.items():
        assert one["fp32"] == pytest.approx(kept["metrics"][task][one["metric"]], abs=1e-4)
        assert one["int8"] == pytest.approx(one["fp32"], abs=0.1)


@needs_int8
def test_predictions_are_about_the_same_wherever_they_are_asked_for(trained: tuple[Params, Path]) -> None:
    _, out = trained
    exact = mtl.load(out, "cpu").predict(TEXTS)
    rounded = mtl.load(out, "cpu", "int8").predict(TEXTS)
    assert ServedModel(out, "cpu", "int8")._model.predict(TEXTS) == rounded
    assert exact != rounded
    for row, other in zip(rounded, exact, strict=True):
        assert row["mood"]["probability"] == pytest.approx(other["mood"]["probability"], abs=0.05)


def test_where_it_cannot_be_had_it_is_refused_and_training_says_so(
    trained: tuple[Params, Path],
    project: Path,
    make_settings: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = make_settings(epochs=1, int8=True)
    train(params, params.runs()[RUN], project / "examples", project / "shards", None, tmp_path)
    [warning] = [warning for warning in facts(tmp_path)["warnings"] if "int8" in warning]
    assert warning.startswith("train.int8: not measured: precision 'int8'")
    assert "int8" not in facts(tmp_path)
    monkeypatch.setattr("mtl.model.device.has_int8_units", lambda: True)
    with pytest.raises(TrainingError, match="needs an encoder like BERT"):
        Predictor(load(tmp_path), "cpu", "int8")
    monkeypatch.setattr("mtl.model.device.has_int8_units", lambda: False)
    assert main(["predict", "--model", str(trained[1]), "--precision", "int8", "/dev/null"]) == 2
    assert "needs a CPU with avx512_vnni" in capsys.readouterr().err
