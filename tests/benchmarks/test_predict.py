"""The benchmark of prediction runs on a small project, and does not compare unlike predictions."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from mtl.model import folder as models
from mtl.tasks.base import Prediction

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import predict

    return predict


@pytest.fixture
def model(predict: ModuleType, joint_project: Path, wide_bert: Path) -> Path:
    """A model of the small project."""
    from baselines import make_loop

    loop = make_loop(joint_project / "params.json", joint_project, wide_bert, whole=True)
    folder = joint_project / "model"
    folder.mkdir()
    models.save(loop.model, folder, {"tasks": {task: {"label": task} for task in loop.model.tasks}})
    return folder


def test_the_last_line_has_all_figures(predict: ModuleType, joint_project: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict.main(["--model", str(model), "--data", str(joint_project), "--quick", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(found[f"vs_{side}{tasks}"] for side in ("tutorial", "unfused") for tasks in ("", "_all_tasks")) > 0
    assert found["identical"]
    assert found["difference"] < 1e-4
    assert found["rows"] == 4
    assert 0.5 < found["padding_share_of_tutorial"] < 1
    assert 0 < found["window_growth"] < 4  # it would be 8 if each row looked at all
    assert found["device"].startswith("cpu")
    for name, has_units in predict.UNITS.items():
        assert (f"{name}_vs_fp32" in found) == has_units()
        if has_units():
            assert min(found[f"{name}_vs_fp32"], found[f"{name}_vs_tutorial_all_tasks"]) > 0
            assert found[f"{name}_unequal_share"] < 0.5


def test_another_format_and_pipelines(predict: ModuleType, joint_project: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--precision", "bf16", "--pipelines", "--quick", "--json"]
    predict.main(["--model", str(model), "--data", str(joint_project), *options])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(found[f"vs_{side}{tasks}"] for side in ("tutorial", "pipelines") for tasks in ("", "_all_tasks")) > 0
    assert found["texts_per_second"] > 0
    assert (found["precision"], "vs_unfused" in found) == ("bf16", False)


def test_in_16_bits_the_share_that_differs_is_counted(predict: ModuleType) -> None:
    def predictions(*tags: str, number: float) -> list[dict[str, list[Prediction]]]:
        return [{"names": [Prediction(list(tags), 0.5)], "mood": [Prediction("a", 0.5)], "number": [Prediction(number, 0.5)]}]

    found = predict.difference(predictions("O", "B-x", "O", number=1.0), predictions("O", "O", "O", number=1.5), exact=False)
    assert found == (0.5, 0.25)


def test_other_predictions_end_the_comparison(predict: ModuleType) -> None:
    def predictions(mood: str, number: float) -> list[dict[str, list[Prediction]]]:
        return [{"mood": [Prediction(mood, 0.5)], "number": [Prediction(number, 0.5)]}]

    assert predict.difference(predictions("a", 1.0), predictions("a", 1.0005)).number == pytest.approx(0.0005)
    with pytest.raises(SystemExit, match="mood is 'a' on our side and 'b' on the other"):
        predict.difference(predictions("a", 1.0), predictions("b", 1.0))
    with pytest.raises(SystemExit, match="numbers differ"):
        predict.difference(predictions("a", 1.0), predictions("a", 1.1))
