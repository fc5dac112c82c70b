"""From predictions to comparisons.json, metrics.json and plots: real files of a small experiment."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.config import Params, parse
from mtl.errors import DataError, PipelineError
from mtl.evaluation.predictions import SCHEMA
from mtl.evaluation.results import Predictions, confusion_rows, evaluate, joint_run, read_history, read_predictions

ROWS = 60


def settings(**changes: Any) -> Params:
    source = {"url": "data.csv", "sha256": "0" * 64}
    labels = {
        "mood": {"type": "class", "column": "mood"},
        "rating": {"type": "number", "column": "rating"},
        "spans": {"type": "tags", "column": "tags"},
    }
    dataset = {"source": source, "reader": {"format": "jsonl"}, "tokens": True, "labels": labels, "split": {"train": 0.5, "test": 0.5}}
    content = {
        "seed": 1,
        "train": {},
        "experiment": {},
        "report": {},
        "datasets": {"notes": dataset},
        "tasks": {
            "mood": {"type": "classification", "label": "mood"},
            "rating": {"type": "regression", "label": "rating"},
            "spans": {"type": "token_classification", "label": "spans"},
        },
        "augment": {"methods": {"synonym": {"type": "synonym"}}},
        "encoder": {"type": "fnn"},
        "evaluate": {"resamples": 200},
        **changes,
    }
    return parse(content)


ERRORS = {("joint", "augmented"): 0.05, ("joint", "plain"): 0.2, ("single", "augmented"): 0.5}
"""Share of wrong predictions by model and data: joint training and augmentation both help a lot."""


def labels_of(task: str, row: int, wrong: bool) -> tuple[str, str]:
    if task == "mood":
        gold = "glad" if row % 3 else "sad"
        return gold, ("sad" if gold == "glad" else "glad") if wrong else gold
    if task == "rating":
        return repr(row / 10), repr(row / 10 + (5.0 if row % 2 else -5.0) * wrong)
    return json.dumps(["B-x", "I-x", "O"]), json.dumps(["O", "O", "B-x"] if wrong else ["B-x", "I-x", "O"])


def write_run(params: Params, name: str, models: Path, predictions: Path) -> None:
    run = params.runs()[name]
    share = ERRORS["joint" if run.model == "joint" else "single", run.data]
    rows = []
    for task in sorted(run.tasks):
        wrong = np.random.default_rng([run.seed, len(name), len(task)]).random(ROWS) < share
        for row in range(ROWS):
            gold, prediction = labels_of(task, row, bool(wrong[row]))
            rows.append(
                {
                    "task": task,
                    "dataset": "notes",
                    "id": f"all-{row:03d}",
                    "text": "x",
                    "gold": gold,
                    "prediction": prediction,
                    "confidence": 0.5,
                }
            )
    predictions.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), predictions / f"{name}.parquet")
    records = [
        {"step": 10, "kind": "train", "tokens": 9, "loss": dict.fromkeys(run.tasks, 0.9), "learning_rate": 0.1},
        {"step": 10, "kind": "validation", "score": 0.5, "metrics": {"mood": {"accuracy": 0.6, "macro_f1": 0.5}}},
    ]
    (models / name).mkdir(parents=True, exist_ok=True)
    (models / name / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def finished(tmp_path: Path) -> Callable[[Params], tuple[Path, Path, Path]]:
    """Writes the runs of an experiment; returns the folders of models, predictions and results."""

    def write(params: Params) -> tuple[Path, Path, Path]:
        folders = tmp_path / "models", tmp_path / "predictions", tmp_path / "results"
        for name in params.runs():
            write_run(params, name, folders[0], folders[1])
        folders[2].mkdir(exist_ok=True)
        return folders

    return write


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


Finished = Callable[[Params], tuple[Path, Path, Path]]


def test_the_files_say_what_the_runs_are_made_to_show(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    assert len(found["comparisons"]) == 6
    assert {(item["kind"], item["task"]): item["verdict"] for item in found["comparisons"] if item["kind"] == "joint"} == {
        ("joint", task): "ahead" for task in params.tasks
    }
    assert [item["corrected_confidence"] for item in found["comparisons"]] == [pytest.approx(1 - 0.05 / 6)] * 6
    assert found["overall"][0]["delta_m"] > 0
    assert found["runs"]["joint-plain-1"]["tasks"]["mood"]["confusion"]["classes"] == ["glad", "sad"]
    for run in found["runs"].values():
        for task in run["tasks"].values():
            for metric in task["metrics"].values():
                assert metric["low"] <= metric["value"] <= metric["high"] or metric["value"] in (0, 1)
    assert any("One seed" in warning for warning in found["warnings"])


def test_the_target_has_all_seeds_and_a_correction_of_its_own(finished: Finished) -> None:
    params = settings(experiment={"seeds": [1, 2, 3], "target": "mood"})
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    families = {item["task"] == "mood": item["corrected_confidence"] for item in found["comparisons"]}
    assert families == {True: pytest.approx(1 - 0.05 / 2), False: pytest.approx(1 - 0.05 / 4)}
    seeds = {(item["kind"], item["task"]): item["seeds"] for item in found["comparisons"]}
    assert seeds["joint", "mood"] == seeds["augmentation", "rating"] == [1, 2, 3]
    assert seeds["joint", "rating"] == [1]
    assert found["overall"][0]["seeds"] == [1]
    assert [item["task"] for item in found["comparisons"][:2]] == ["mood", "mood"]


def test_metrics_are_few_and_well_named(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    figures = read(out / "metrics.json")
    assert list(figures) == ["score", "delta_m", "mood", "rating", "spans"]
    assert figures["score"] == pytest.approx((figures["mood"] + figures["rating"] + figures["spans"]) / 3, abs=1e-4)
    found = read(out / "comparisons.json")
    means = {group["task"]: group["mean"] for group in found["groups"] if (group["model"], group["data"]) == ("joint", "augmented")}
    assert {task: figures[task] for task in params.tasks} == pytest.approx(means, abs=1e-4)


def test_plots_hold_the_curves_and_every_prediction(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    losses = rows_of(out / "plots" / "loss.csv")
    assert losses[0] == {"step": "10", "run": "joint-augmented-1", "task": "mood", "loss": "0.9"}
    assert {row["run"] for row in losses} == set(params.runs())
    assert rows_of(out / "plots" / "validation.csv")[0] == {"step": "10", "run": "joint-augmented-1", "task": "mood", "score": "0.5"}
    confusion = rows_of(out / "plots" / "confusion.csv")
    assert len(confusion) == ROWS
    assert {row["actual"] for row in confusion} == {"glad", "sad"}


def test_the_plot_of_confusion_has_classes_for_every_task_type() -> None:
    content = settings().model_dump(mode="json")
    labels = {
        "link": {"type": "relation", "column": "link", "head": "a", "tail": "b"},
        "many": {"type": "classes", "column": "many"},
        "rating": {"type": "number", "column": "rating"},
    }
    content["datasets"]["notes"] |= {"labels": labels}
    types = {"link": "relation_classification", "many": "multilabel_classification", "rating": "regression"}
    params = parse(content | {"tasks": {name: {"type": type_, "label": name} for name, type_ in types.items()}})
    place = {"head_start": 0, "head_end": 1, "tail_start": 1, "tail_end": 2}
    sets = json.dumps({"classes": ["joy"], "probabilities": {"joy": 0.9}})
    of_task = {
        "link": ([json.dumps({"class": "owns"} | place)] * 2, ["owns", "knows"]),
        "many": (['["joy", "love"]'], [sets]),
        "rating": (["1.0"], ["2.0"]),
    }
    rows = confusion_rows(params, {task: Predictions([], gold, predicted) for task, (gold, predicted) in of_task.items()})
    assert rows.values.tolist() == [
        ["link", "link: owns", "link: knows"],
        ["link", "link: owns", "link: owns"],
        ["many", "many: joy", "many: joy"],
        ["many", "many: love", "many: no class"],
    ]


def test_same_input_same_bytes(finished: Finished, tmp_path: Path) -> None:
    params = settings()
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    again = tmp_path / "again"
    np.random.default_rng().random(7)
    evaluate(params, models, predictions, again)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) == 5
    assert all((out / path).read_bytes() == (again / path).read_bytes() for path in files)


def test_seeds_are_averaged(finished: Finished) -> None:
    params = settings(experiment={"seeds": [1, 2, 3]})
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    group = next(item for item in found["groups"] if (item["task"], item["model"], item["data"]) == ("mood", "joint", "augmented"))
    singles = [found["runs"][f"joint-augmented-{seed}"]["tasks"]["mood"]["metrics"]["macro_f1"]["value"] for seed in (1, 2, 3)]
    assert group["mean"] == pytest.approx(np.mean(singles))
    assert group["sd"] == pytest.approx(np.std(singles, ddof=1))
    assert read(out / "metrics.json")["mood"] == pytest.approx(group["mean"], abs=1e-4)
    assert not any("One seed" in warning for warning in found["warnings"])
    assert any("3 seeds: intervals are wide" in warning for warning in found["warnings"])


def test_intervals_end_where_the_metric_does(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    params = settings(experiment={"seeds": [1, 2]})
    models, predictions, out = finished(params)
    monkeypatch.setitem(ERRORS, ("joint", "augmented"), 1.0)
    write_run(params, "joint-augmented-2", models, predictions)  # two seeds far apart: the interval would go far beyond
    evaluate(params, models, predictions, out)
    groups = [item for item in read(out / "comparisons.json")["groups"] if (item["model"], item["data"]) == ("joint", "augmented")]
    assert {item["task"]: (item["low"], item["high"]) for item in groups} == {"mood": (0, 1), "rating": (-1, 1), "spans": (0, 1)}


def test_sizes_have_groups_and_comparisons_of_their_own_and_the_headline_is_of_all_rows(finished: Finished) -> None:
    params = settings(experiment={"seeds": [1, 2], "sizes": [20, "all"]})
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    assert found["sizes"] == [20, "all"]
    assert {run["size"] for run in found["runs"].values()} == {20, "all"}
    assert len(found["groups"]) == 2 * 9
    assert len(found["comparisons"]) == 2 * 6
    assert [(item["data"], item["size"]) for item in found["overall"]] == [("augmented", 20), ("augmented", "all")]
    groups = {(item["task"], item["model"], item["data"], item["size"]): item for item in found["groups"]}
    of_all, few = (groups["mood", "joint", "augmented", size] for size in ("all", 20))
    assert of_all["values"] != few["values"]
    figures = read(out / "metrics.json")
    assert figures["mood"] == pytest.approx(of_all["mean"], abs=1e-4)
    assert figures["delta_m"] == pytest.approx(found["overall"][1]["delta_m"], abs=1e-4)


def test_the_chosen_metric_is_the_headline(finished: Finished) -> None:
    chosen = {"mood": "f1:sad", "rating": "mse", "spans": "recall:x"}
    tasks = {task: {**spec.model_dump(exclude={"metric"}), "metric": chosen[task]} for task, spec in settings().tasks.items()}
    params = settings(tasks=tasks)
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    assert {task: about["metric"] for task, about in found["tasks"].items()} == chosen
    assert {task: about["higher_is_better"] for task, about in found["tasks"].items()} == {"mood": True, "rating": False, "spans": True}
    assert found["tasks"]["mood"]["titles"]["f1:sad"] == "F1 of sad"
    run = found["runs"]["joint-augmented-1"]["tasks"]
    assert run["mood"]["metrics"]["f1:sad"]["value"] == run["mood"]["per_class"]["sad"]["f1"]
    assert run["spans"]["metrics"]["recall:x"]["value"] == run["spans"]["per_class"]["x"]["recall"]
    verdicts = {(item["kind"], item["task"]): (item["difference"] > 0, item["verdict"]) for item in found["comparisons"]}
    assert verdicts["joint", "rating"] == (False, "ahead")
    assert verdicts["joint", "mood"] == (True, "ahead")
    assert found["overall"][0]["tasks"]["rating"] > 0
    figures = read(out / "metrics.json")
    assert list(figures) == ["delta_m", "mood", "rating", "spans"]  # a mean of errors and shares says nothing
    group = next(item for item in found["groups"] if (item["task"], item["model"], item["data"]) == ("rating", "joint", "augmented"))
    assert figures["rating"] == pytest.approx(group["mean"], abs=1e-4)
    assert group["high"] > 1


def test_an_experiment_of_one_run_has_no_comparison(finished: Finished) -> None:
    params = settings(experiment={"joint": ["plain"], "single_task": []})
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    assert read(out / "comparisons.json")["comparisons"] == []
    assert read(out / "metrics.json").keys() == {"score", *params.tasks}


def test_missing_and_damaged_files_are_named(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    broken = predictions / "joint-plain-1.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(PipelineError, match=r"joint-plain-1\.parquet: cannot be read"):
        evaluate(params, models, predictions, out)
    broken.unlink()
    with pytest.raises(PipelineError, match=r"joint-plain-1\.parquet: cannot be read"):
        evaluate(params, models, predictions, out)


def test_runs_with_other_rows_are_not_compared(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    path = predictions / "joint-plain-1.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(PipelineError, match="task mood: runs joint-augmented-1 and joint-plain-1 predict different test rows"):
        evaluate(params, models, predictions, out)
    pq.write_table(pq.read_table(path).slice(0, 3), path)
    with pytest.raises(DataError, match="no test row for task"):
        evaluate(params, models, predictions, out)


def test_a_damaged_history_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1, "kind": "train"}\n{"step": 2, "ki')
    with pytest.raises(PipelineError, match=r"history\.jsonl:2: not a record"):
        read_history(path)


def test_unlike_versions_of_the_runs_are_the_first_warning(finished: Finished) -> None:
    params = settings()
    models, predictions, out = finished(params)
    for number, run in enumerate(params.runs()):
        (models / run / "run.json").write_text(json.dumps({"versions": {"torch": "1.0" if number else "2.0"}, "precision": "fp32"}))
    evaluate(params, models, predictions, out)
    found = read(out / "comparisons.json")
    assert [group["versions"]["torch"] for group in found["versions"]] == ["1.0", "2.0"]
    assert found["warnings"][0].startswith("Runs trained under different versions are compared, and intervals mix them: torch 1.0 in ")


def test_too_few_resamples_are_said(finished: Finished) -> None:
    params = settings(evaluate={"resamples": 100})
    models, predictions, out = finished(params)
    evaluate(params, models, predictions, out)
    assert any("at least 240" in warning for warning in read(out / "comparisons.json")["warnings"])


def test_recent_test_rows_are_scored_only_where_a_task_has_no_others(tmp_path: Path) -> None:
    grow = {
        "source": {"url": "new.jsonl"},
        "incoming": "incoming",
        "reader": {"format": "jsonl"},
        "labels": {"a": {"type": "class", "column": "a"}, "b": {"type": "class", "column": "b"}},
        "split": {"train": 0.5, "test": 0.5},
    }
    old = {**grow, "source": {"url": "old.jsonl"}, "incoming": None, "labels": {"a": {"type": "class", "column": "a"}}}
    params = parse(
        {
            "seed": 1,
            "datasets": {"old": old, "new": grow},
            "tasks": {name: {"type": "classification", "label": name} for name in ("a", "b")},
            "encoder": {"type": "cnn"},
        }
    )
    rows = [
        {"task": task, "dataset": name, "id": "1", "gold": "x", "prediction": "x"}
        for task, name in (("a", "old"), ("a", "new"), ("b", "new"))
    ]
    run = joint_run(params)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "p.parquet")
    found = read_predictions(tmp_path / "p.parquet", run, {task: params.frozen_of(task) for task in params.tasks})
    assert {task: [key.partition("\x1e")[0] for key in own.keys] for task, own in found.items()} == {"a": ["old"], "b": ["new"]}
