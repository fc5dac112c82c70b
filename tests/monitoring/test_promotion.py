"""Which new models replace the promoted one, on made predictions and real model folders, and the way back."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from mtl.cli import main
from mtl.config import Params, parse
from mtl.errors import PipelineError
from mtl.monitoring.promotion import LEAST_ROWS, Versions, decide

TASKS = {
    "mood": {"type": "classification", "label": "mood"},
    "stars": {"type": "regression", "label": "stars"},
    "names": {"type": "token_classification", "label": "names"},
}
LABELS = {
    "mood": {"type": "class", "column": "mood"},
    "stars": {"type": "number", "column": "stars"},
    "names": {"type": "tags", "column": "names"},
}
CLASSES = ("bad", "fine", "good")
Rows = list[dict[str, Any]]


def settings(**more: Any) -> Params:
    dataset = {
        "source": {"url": "old.jsonl"},
        "reader": {"format": "jsonl"},
        "tokens": True,
        "labels": LABELS,
        "split": {"train": 0.5, "test": 0.5},
    }
    grow = {**dataset, "source": {"url": "new.jsonl"}, "incoming": "incoming"}
    return parse(
        {
            "seed": 1,
            "datasets": {"old": dataset, "new": grow},
            "tasks": TASKS,
            "encoder": {"type": "cnn"},
            "evaluate": {"resamples": 200},
            **more,
        }
    )


def rows(task: str, skill: float, rng: np.random.Generator, dataset: str = "old", count: int = 500) -> Rows:
    """Predictions that are right, or near, as often as the skill says. The same generator state draws the same gold labels and errors."""
    made = []
    for number in range(count):
        gold, wrong = (int(one) for one in rng.choice(3, 2, replace=False))
        lucky, noise = float(rng.random()), float(rng.normal())
        value = gold if lucky < skill else wrong
        if task == "stars":
            texts = repr(float(gold)), repr(gold + noise * 2 * (1 - skill))
        elif task == "mood":
            texts = CLASSES[gold], CLASSES[value]
        else:
            texts = json.dumps(["O", f"B-{CLASSES[gold]}"]), json.dumps(["O", f"B-{CLASSES[value]}"])
        made.append({"task": task, "dataset": dataset, "id": str(number), "gold": texts[0], "prediction": texts[1]})
    return made


def both(seed: int, changes: dict[str, float], dataset: str = "old", count: int = 500) -> tuple[Rows, Rows]:
    """Predictions of the promoted model and of a new one whose skill differs."""
    promoted, candidate = (
        [
            row
            for i, task in enumerate(TASKS)
            for row in rows(task, 0.75 + change.get(task, 0.0), np.random.default_rng([seed, i]), dataset, count)
        ]
        for change in ({}, changes)
    )
    return promoted, candidate


@pytest.mark.parametrize("task", TASKS)
def test_a_fall_of_one_task_is_refused_whatever_the_others_gain(task: str) -> None:
    """20 of 20 in all, also with drift."""
    changes = {name: -0.06 if name == task else 0.08 for name in TASKS}
    for seed in range(7 if task != "names" else 6):
        decision = decide(settings(), *both(seed, changes), drift=True)
        assert not decision.promote
        assert decision.reason == f"not shown to be within the margin: {task} (frozen)"


@pytest.mark.parametrize("task", TASKS)
def test_a_clear_gain_is_promoted(task: str) -> None:
    """20 of 20 in all."""
    for seed in range(7 if task != "names" else 6):
        decision = decide(settings(), *both(seed, {task: 0.08}))
        assert decision.promote, decision
        assert decision.reason == f"gain: {task} (frozen)"


def test_without_gain_only_drift_promotes() -> None:
    promoted, candidate = both(1, {})
    assert decide(settings(), promoted, candidate)[:2] == (False, "no task falls, but none gains")
    assert decide(settings(), promoted, candidate, drift=True)[:2] == (True, "drift was found, and no task falls")


def test_a_fall_on_recent_rows_counts_and_few_rows_do_not() -> None:
    for count, promote in ((300, False), (LEAST_ROWS - 1, True)):
        frozen, recent = both(1, {"mood": 0.08}), both(2, {"mood": -0.2}, "new", count)
        decision = decide(settings(), frozen[0] + recent[0], frozen[1] + recent[1])
        assert decision.promote is promote
        assert {one.split for one in decision.compared} == ({"frozen"} if promote else {"frozen", "recent"})


def test_the_margin_is_that_of_the_task() -> None:
    models = both(3, {"mood": -0.01, "stars": 0.05})
    assert not decide(settings(), *models).promote
    assert decide(settings(promote={"margins": {"mood": 0.1}}), *models).promote
    assert not decide(settings(promote={"margins": {"names": 0.1}}), *models).promote


def test_models_must_predict_the_same_rows() -> None:
    promoted, candidate = both(1, {})
    with pytest.raises(PipelineError, match="task mood: the models predicted different frozen test rows"):
        decide(settings(), promoted, candidate[1:])


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, model: Path, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its examples and settings of one task."""
    monkeypatch.chdir(tmp_path)
    content = {
        "seed": 1,
        "datasets": {
            "reviews": {
                "source": {"url": "reviews.jsonl"},
                "reader": {"format": "jsonl"},
                "labels": {"mood": LABELS["mood"]},
                "split": {"train": 0.5, "test": 0.5},
            }
        },
        "tasks": {"mood": TASKS["mood"]},
        "encoder": {"type": "cnn"},
    }
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    shutil.copytree(examples, "data/examples")
    for name in ("joint-plain-1", "other"):
        copied = Path("data/models") / name
        shutil.copytree(model, copied)
        config = json.loads((copied / "config.json").read_text())
        config["tasks"] = {"mood": config["tasks"]["mood"]}
        (copied / "config.json").write_text(json.dumps(config))
        rewrite_weights(copied, lambda key, value: None if key.startswith("heads.") and ".mood." not in f".{key}." else value)
    return tmp_path


def rewrite_weights(folder: Path, change: Callable[[str, Any], Any]) -> None:
    """Change the weights of a model; None leaves one out."""
    from safetensors.torch import load_file, save_file

    weights = {key: change(key, value) for key, value in load_file(folder / "model.safetensors").items()}
    save_file({key: value for key, value in weights.items() if value is not None}, folder / "model.safetensors")


def test_versions_are_promoted_and_rolled_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All gold labels are good: a head that always says so gains, one that never does falls."""
    head = {"always": (0.0, 9.0), "never": (9.0, 0.0)}
    folders = {name: project / "data/models" / name for name in head}
    for name, bias in head.items():
        shutil.copytree(project / "data/models/joint-plain-1", folders[name])
        rewrite_weights(
            folders[name],
            lambda key, value, bias=bias: value.new_tensor(bias) if key.startswith("heads.") and key.endswith("bias") else value,
        )
    current = project / "data/promoted/current"
    assert main(["promote", "--rollback"]) == 2
    assert "no version was promoted before any other" in capsys.readouterr().err
    assert main(["promote", "--model", str(folders["never"])]) == 0
    assert "promoted as joint@v1.0.0 (the first version)" in capsys.readouterr().out
    assert main(["promote", "--model", str(folders["never"])]) == 0
    assert "nothing to do; the promoted model is joint@v1.0.0" in capsys.readouterr().out
    assert main(["promote", "--model", str(folders["always"])]) == 0
    assert "promoted as joint@v1.1.0 (gain: mood (frozen))" in capsys.readouterr().out
    assert current.resolve().name == "v1.1.0"
    with (project / "params.yaml").open("a") as file:
        file.write("promote: {drift: drift.json}\n")
    assert main(["promote", "--model", str(folders["never"])]) == 2
    assert "drift.json: No such file" in capsys.readouterr().err
    (project / "drift.json").write_text('{"drift": true}')
    assert main(["promote", "--model", str(folders["never"])]) == 0
    assert "refused; the promoted model stays joint@v1.1.0 (not shown to be within the margin: mood (frozen))" in capsys.readouterr().out
    assert main(["promote", "--rollback"]) == 0
    assert (current.resolve().name, capsys.readouterr().out) == ("v1.0.0", "data/promoted/current is joint@v1.0.0 again\n")
    actions = [(one["action"], one["version"], one["previous"]) for one in Versions(project / "data/promoted").decisions()]
    assert actions == [
        ("promote", "v1.0.0", None),
        ("promote", "v1.1.0", "v1.0.0"),
        ("refuse", "v1.1.0", "v1.1.0"),
        ("rollback", "v1.0.0", "v1.1.0"),
    ]
    assert main(["promote", "--model", str(folders["always"])]) == 0
    assert "refused; the promoted model stays joint@v1.0.0 (it was v1.1.0, which was rolled back)" in capsys.readouterr().out
    assert main(["promote", "--rollback"]) == 2


def test_what_is_wrong_is_named(project: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "--model", "missing"]) == 2
    assert "missing: is not a model folder" in capsys.readouterr().err
    assert main(["promote", "--model", str(model)]) == 0
    assert main(["promote", "--model", "data/models/other"]) == 2
    assert "data/models/other: lacks the tasks of v1.0.0: stars, names" in capsys.readouterr().err
    (project / "drift.json").write_text("[]")
    assert main(["promote", "--drift", "drift.json"]) == 2
    assert "drift.json: is not the output of mtl drift --json" in capsys.readouterr().err
