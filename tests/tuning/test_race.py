"""Which models stay in a race: scores that were made up, and one race on the small project."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

import mtl.config
from mtl.config import Params
from mtl.errors import ParamsError, TrainingError
from mtl.pipeline.race import Race
from mtl.training.run import train
from mtl.tuning.race import decide, left_out, read_results, run_one, scores_of, write_outcome
from training.conftest import settings

SEEDS = (4, 2, 7)
MOOD = {"mood": (0.70, 0.71, 0.69), "mood+rating": (0.80, 0.80, 0.80), "names+mood": (0.78, 0.81, 0.80), "joint": (0.70, 0.71, 0.70)}
"""Scores of the task mood by seed: together with rating it is always best, with names it is not clear."""


def experiment(**changes: Any) -> Params:
    groups = [["rating", "mood"], ["mood", "names"]]
    content = settings().model_dump(mode="json")
    section = {"seeds": SEEDS, "joint": ["plain"], "single_task": ["plain"], "groups": groups} | changes
    return mtl.config.parse(content | {"experiment": section})


def made_up(race: Race, mood: Mapping[str, tuple[float, ...]] = MOOD, other: float = 0.5) -> dict[str, dict[int, dict[str, float]]]:
    """Scores of all runs; those of other tasks are the same for every model."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for run in race.runs.values():
        values = {task: mood[run.model][SEEDS.index(run.seed)] if task == "mood" else other for task in run.tasks}
        found.setdefault(run.model, {})[run.seed] = values
    return found


def test_seeds_come_one_after_the_other_and_a_second_phase_after_its_first(tmp_path: Path) -> None:
    race = Race(experiment(phases=[{"first": ["names"], "then": "mood"}]), tmp_path)
    assert [run.seed for run in race.runs.values()] == [seed for seed in SEEDS for _ in range(7)]
    assert race.before("joint-plain-4") == []
    assert race.before("phases_names~mood-plain-4") == [str(race.result("single_names-plain-4"))]
    assert set(race.before("single_mood-plain-7")) == {str(race.result(name)) for name in race.runs if name.endswith("-2")}
    assert len(race.before_seed(7)) == 14
    with_target = Race(experiment(target="mood", phases=[{"first": ["names"], "then": "mood"}]), tmp_path)
    assert {run.model for run in with_target.runs.values()} == {"joint", "mood", "names", "mood+rating", "names+mood", "names~mood"}
    more = Race(experiment(seeds=[*SEEDS, 9]), tmp_path)
    same = Race(experiment(), tmp_path)
    assert set(same.results()) < set(more.results())
    assert same.work != race.work
    other_order = Race(experiment(seeds=[2, 4, 7]), tmp_path)  # what was spared after other seeds is judged again
    assert set(same.results()).isdisjoint(other_order.results())


def test_a_model_is_out_of_a_task_once_the_interval_says_that_another_is_better(tmp_path: Path) -> None:
    race = Race(experiment(), tmp_path)
    out = left_out(race, made_up(race), SEEDS)
    assert set(out["mood"]) == {"mood", "joint"}
    assert [(about.better, about.seeds) for about in out["mood"].values()] == [("mood+rating", 2), ("mood+rating", 2)]
    about = out["mood"]["mood"]
    assert about.low < 0.095 < about.high  # of .10 and .09
    assert out["names"] == out["rating"] == {}
    assert left_out(race, made_up(race), SEEDS[:1])["mood"] == {}


def test_of_two_models_the_interval_is_that_of_the_paired_test(tmp_path: Path) -> None:
    race = Race(experiment(joint=["augmented"], groups=[["mood", "rating"]]), tmp_path)
    scores = made_up(race, {"mood": (0.70, 0.715, 0.69), "mood+rating": (0.80, 0.81, 0.80)})
    about = left_out(race, scores, SEEDS[:2])["mood"]["mood"]
    expected = stats.ttest_rel([0.80, 0.81], [0.70, 0.715]).confidence_interval(0.95)
    assert (about.low, about.high) == pytest.approx((expected.low, expected.high))


def test_where_lower_is_better_the_lowest_stays(tmp_path: Path) -> None:
    content = experiment().model_dump(mode="json")
    content["tasks"]["rating"]["metric"] = "rmse"
    race = Race(mtl.config.parse(content), tmp_path)
    scores = made_up(race)
    for seed in SEEDS:
        scores["rating"][seed]["rating"] = 0.9 + seed / 1000
    assert set(left_out(race, scores, SEEDS)["rating"]) == {"rating"}


def raced(race: Race, scores: Mapping[str, Mapping[int, Mapping[str, float]]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the race with these scores in the place of training; returns the runs that were trained."""
    trained: list[str] = []
    monkeypatch.setattr("mtl.tuning.race.scores_of", lambda race, run, folder: scores[run.model][run.seed])
    for name in race.runs:
        run_one(race, name, lambda name=name: trained.append(name) or Path(name))  # type: ignore[misc]
    return trained


def test_seeds_are_spent_where_the_best_is_unclear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(experiment(target="mood", phases=[{"first": ["names"], "then": "mood"}]), tmp_path)
    scores = made_up(race, MOOD | {"names~mood": (0.81, 0.79, 0.79)})
    trained = raced(race, scores, monkeypatch)
    spared = {"joint-plain-7", "single_mood-plain-7"}  # the phase is unclear and needs its first
    assert set(race.runs) - set(trained) == spared
    assert {name for name, result in read_results(race, race.runs).items() if "reason" in result} == spared
    words = write_outcome(race)
    assert words.startswith("16 of 18 runs trained, 2 spared, of which the command below trains 2.")
    assert "Best on validation rows: train mood with rating" in words
    table = pd.read_csv(tmp_path / "data/race/race.csv", index_col="model")
    assert table.loc["joint", "outcome"] == "out after 2 seeds: mood+rating is better by 0.059 to 0.131"
    assert (table.loc["mood+rating", "gain in percent"], table.loc["joint", "seeds"]) == (13.5, 2)


def test_the_choice_counts_every_seed(tmp_path: Path) -> None:
    race = Race(experiment(target="mood"), tmp_path)
    scores = made_up(race, MOOD | {"mood+rating": (0.82, 0.80, 0.80), "names+mood": (0.80, 0.81, 0.99)})
    results = {name: {"scores": scores[run.model][run.seed]} for name, run in race.runs.items()}
    assert decide(race, results).serving == {"mood": "names+mood"}


def test_equal_differences_and_a_model_without_rivals_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(experiment(joint=["augmented"], groups=[["mood", "rating"]]), tmp_path)
    scores = made_up(race, {"mood": (0.5, 0.5, 0.5), "mood+rating": (0.6, 0.6, 0.6)})
    trained = raced(race, scores, monkeypatch)
    assert set(race.runs) - set(trained) == {"single_names-plain-7"}  # its only model
    assert "train mood with rating" in write_outcome(race)


def test_the_outcome_is_a_params_file_with_the_chosen_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(experiment(), tmp_path)
    raced(race, made_up(race), monkeypatch)
    words = write_outcome(race)
    assert "Best on validation rows: " in words
    assert "train mood with rating" in words
    best = mtl.config.load(tmp_path / "data/race/best.yaml")
    assert best.groups() == (("mood", "rating"),)
    assert best.model_copy(update={"experiment": race.params.experiment}) == race.params


def test_what_cannot_be_raced_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"experiment\.groups: has no group beside the joint and single-task models: a race needs one"):
        Race(experiment(groups=[]), tmp_path).results()
    with pytest.raises(ParamsError, match=r"experiment\.seeds: a race needs 3 seeds or more"):
        Race(experiment(seeds=[1, 2]), tmp_path).results()


def test_scores_are_those_by_which_a_run_kept_its_weights(project: Path, tmp_path: Path) -> None:
    params, out = settings(epochs=1, eval_every=4), tmp_path
    run = next(run for run in params.runs().values() if run.model == "joint")
    train(params, run, project / "examples", project / "shards", None, out)
    race = Race(params, out)
    found = scores_of(race, run, out)
    assert set(found) == set(params.tasks)
    lines = (out / "history.jsonl").read_text()
    (out / "history.jsonl").write_text(lines.replace('"mood"', '"gone"'))
    with pytest.raises(TrainingError, match="task 'mood': no validation row has its label"):
        scores_of(race, run, out)
