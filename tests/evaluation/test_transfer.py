"""Groups of tasks: verdicts on test rows, and models chosen by validation scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.evaluation.comparison import Key, Scores
from mtl.evaluation.transfer import Training, _forecast, training_of, transfer

from .test_results import settings

SEEDS = (1, 2, 3, 4, 5)
GAINS = {
    "mood+rating": {"mood": 0.1, "rating": -0.1},
    "mood+spans": {"mood": 0.0, "spans": 0.0},
    "joint": {"mood": 0.05, "rating": 0.01, "spans": 0},
}
"""Above the score 0.6 of the single-task models; also on the validation rows."""


def experiment(**changes: Any) -> Any:
    groups = [["rating", "mood"], ["mood", "spans"]]
    return settings(experiment={"seeds": list(SEEDS), "joint": ["plain"], "single_task": ["plain"], "groups": groups} | changes)


def scores_of(task: str, model: str, gain: float) -> tuple[Key, Scores]:
    draw = np.random.default_rng([len(model), len(task)])
    noise, rows = draw.normal(0, 0.002, len(SEEDS)), np.random.default_rng(len(task)).normal(0, 0.01, 1000)
    values = 0.6 + gain + noise - noise.mean()
    return Key(task, model, "plain"), Scores(SEEDS, values, values[:, None] + rows - rows.mean())


def results(params: Any, model: str = "", validation: float = 0.0, cosines: dict[str, float] | None = None) -> dict[str, Any]:
    """With ``validation`` added to each validation score of a model."""
    scores = dict(scores_of(task, "single", 0.0) for task in params.tasks)
    scores |= dict(scores_of(task, model, gain) for model, gains in GAINS.items() for task, gain in gains.items())
    validated = {}
    for name, run in params.runs().items():
        gains = GAINS.get(run.model, {})
        validated[name] = {task: 0.6 + gains.get(task, 0.0) + validation * (run.model == model) for task in run.tasks}
    return transfer(params, scores, Training(validated, cosines or {}))


def test_each_task_of_a_group_has_a_verdict_against_its_single_task_model() -> None:
    found = {(item["within"], item["task"]): item for item in results(experiment())["comparisons"]}
    assert {key: item["verdict"] for key, item in found.items()} == {
        ("mood+rating", "mood"): "gained",
        ("mood+rating", "rating"): "lost",
        ("mood+spans", "mood"): "no difference shown",
        ("mood+spans", "spans"): "no difference shown",
    }
    assert found["mood+rating", "mood"]["difference"] == pytest.approx(0.1)
    assert all(item["corrected_low"] < item["low"] and item["corrected_high"] > item["high"] for item in found.values())


def test_a_task_learned_after_others_is_compared_and_may_be_chosen() -> None:
    params = experiment(phases=[{"first": ["rating", "spans"], "then": "mood"}])
    model = "rating+spans~mood"
    runs = [run for run in params.runs().values() if run.seed == 1]
    names = [("single" if run.model == task else run.model, task) for run in runs for task in run.tasks]
    scores = dict(scores_of(task, name, 0.2 if name == model else 0.0) for name, task in names)
    validated = {name: dict.fromkeys(run.tasks, 0.8 if run.model == model else 0.6) for name, run in params.runs().items()}
    found = transfer(params, scores, Training(validated, {}))
    verdicts = {(item["within"], item["task"]): item["verdict"] for item in found["comparisons"]}
    assert verdicts.pop((model, "mood")) == "gained"
    assert set(verdicts.values()) == {"no difference shown"}
    assert found["groupings"][-1]["serving"] == {"mood": model, "rating": "joint", "spans": "joint"}


def test_the_comparisons_of_the_target_are_corrected_apart() -> None:
    found = results(experiment(target="rating"))["comparisons"]
    assert [(item["task"] == "rating", item["corrected_confidence"]) for item in found] == [(True, 0.95)] + [(False, 1 - 0.05 / 3)] * 3


def test_for_each_number_of_models_the_best_are_chosen_and_measured() -> None:
    found = results(experiment())
    assert {item["corrected_confidence"] for item in found["comparisons"]} == {1 - 0.05 / 4}
    chosen = [(item["models"], item["chosen"], item["serving"]["mood"], item["serving"]["rating"]) for item in found["groupings"]]
    assert chosen == [(1, ["joint"], "joint", "joint"), (2, ["joint", "mood+rating"], "mood+rating", "joint")]
    assert [round(item["delta_m"], 6) for item in found["groupings"]] == [round(100 * gain / 0.6 / 3, 6) for gain in (0.06, 0.11)]
    assert all(item["low"] < item["delta_m"] < item["high"] for item in found["groupings"])
    assert found["advised"] == 2


def test_more_models_are_advised_only_where_test_rows_show_that_they_are_better() -> None:
    found = results(experiment(), "mood+spans", 0.2)  # chosen by validation scores that the test rows do not confirm
    assert [item["chosen"] for item in found["groupings"]] == [["joint"], ["joint", "mood+spans"]]
    assert [round(item["delta_m"], 1) for item in found["groupings"]] == [3.3, 0.6]
    assert found["advised"] == 1


def test_models_below_single_task_models_are_not_advised() -> None:
    params = experiment(groups=[["mood", "rating"]])
    scores = dict(scores_of(task, "single", 0.0) for task in params.tasks)
    scores |= dict(scores_of(task, "joint", -0.002) for task in params.tasks)
    scores |= dict(scores_of(task, "mood+rating", -0.002) for task in ("mood", "rating"))
    validated = {name: dict.fromkeys(run.tasks, 0.6 if len(run.tasks) == 1 else 0.59) for name, run in params.runs().items()}
    found = transfer(params, scores, Training(validated, {}))
    one, *_, apart = found["groupings"]
    assert (one["chosen"], apart["delta_m"]) == (["joint"], 0)
    assert one["high"] < 0  # though with the correction no larger number of models is shown to be better
    assert found["advised"] == 2


def test_without_validation_scores_nothing_is_chosen() -> None:
    params = experiment()
    scores = dict(scores_of(task, model, 0.0) for task in params.tasks for model in ("single", "joint"))
    scores |= dict(scores_of(task, model, gain) for model, gains in GAINS.items() for task, gain in gains.items())
    found = transfer(params, scores, Training({name: {} for name in params.runs()}, {}))
    assert (found["groupings"], found["advised"]) == ([], None)


def test_too_few_pairs_say_nothing_of_the_forecast() -> None:
    found = results(experiment(groups="pairs"), cosines={"mood+rating": 0.5, "mood+spans": 0.1})["forecast"]
    assert found == {"cosines": {"mood+rating": 0.5, "mood+spans": 0.1}, "cells": 4, "rank_correlation": None}


def test_the_forecast_is_judged_by_ranks_of_relative_gains() -> None:
    gains = {"a+b": (0.1, 0.3), "a+c": (-0.1, 0.0), "b+c": (-0.3, -0.2)}
    items = [
        {"within": pair, "task": task, "difference": gain, "second": 0.5}
        for pair, both in gains.items()
        for task, gain in zip("xy", both, strict=True)
    ]
    cosines = {"a+b": 0.9, "a+c": 0.2, "b+c": -0.8}
    assert _forecast(cosines, items, {"x": 1, "y": 1})["rank_correlation"] == pytest.approx(0.956, abs=0.001)
    assert _forecast(cosines, items, {"x": -1, "y": -1})["rank_correlation"] == pytest.approx(-0.956, abs=0.001)
    assert _forecast(dict.fromkeys(cosines, 0.5), items, {"x": 1, "y": 1})["rank_correlation"] is None


def test_training_is_read_off_the_histories(tmp_path: Path) -> None:
    params = experiment(seeds=[1], groups=[["mood", "rating"]])
    histories: dict[str, list[dict[str, Any]]] = {}
    for name, run in params.runs().items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text('{"best_step": 20}')
        metrics = [{task: {params.tasks[task].main_metric.name: score} for task in run.tasks} for score in (0.1, 0.5, 0.7, 0.9)]
        histories[name] = [{"kind": "validation", "step": 5 * i, "metrics": found} for i, found in zip((1, 3, 4, 5), metrics, strict=True)]
        histories[name] += [{"kind": "train", "step": 1, "cosine": {"mood|rating": cosine}} for cosine in (0.2, 0.4)]
    trained = training_of(params, tmp_path, histories)
    window = params.train.score_window
    assert trained.validation["group_mood+rating-plain-1"] == dict.fromkeys(
        ("mood", "rating"), pytest.approx([0.7, 0.6, 1.3 / 3][window - 1])
    )
    assert trained.cosines == {"mood+rating": pytest.approx(0.3)}
