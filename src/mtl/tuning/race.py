"""A race between the models that may serve each task: seed by seed, those that validation shows to be worse than the best are left out.

Runs of later seeds are spent where it is unclear which model is best (racing: Maron & Moore 1994; Birattari et al. 2002). Everything is
judged on validation rows, so the test rows are still new to what is chosen. A model is left out of a task when the interval of its
difference from the best one is below 0: over training seeds, on these validation rows, and not corrected for many looks.
The runs are those of the experiment, which finds them trained.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from mtl.config import Params, Run
from mtl.config.loading import as_yaml, parse
from mtl.errors import TrainingError
from mtl.evaluation.grouping import best_models, serving
from mtl.evaluation.results import read_history
from mtl.evaluation.tables import harmless
from mtl.evaluation.transfer import validation_scores
from mtl.files import write_json, write_text
from mtl.names import members_of, phases_of
from mtl.pipeline.race import Race, starts_of
from mtl.report.text import counted
from mtl.report.transfer import in_words

Scores = Mapping[str, Mapping[int, Mapping[str, float]]]
"""By model and seed the validation score of each of its tasks."""
RESOLUTION = 1e-9
"""Rounding errors of scores are below this."""


class Out(NamedTuple):
    """Why a model is left out of the race for a task."""

    seeds: int
    """After how many."""
    better: str
    """The model that is better."""
    low: float
    high: float
    """By how much."""


def run_one(race: Race, name: str, train: Callable[[], Path]) -> str:
    """Train a run of the race, unless it can be spared, and write its result; returns what was done.

    Args:
        race: the race.
        name: of the run.
        train: trains the run unless it is trained already; returns its folder.

    Raises:
        TrainingError: it cannot be trained, or a task has no validation rows.
    """
    if reason := spared(race, name, read_results(race, race.before_seed(race.runs[name].seed))):
        write_json(race.result(name), {"reason": reason})
        return f"spared {name}: {reason}"
    scores = scores_of(race, race.runs[name], train())
    write_json(race.result(name), {"scores": scores})
    return f"raced {name}: {', '.join(f'{task} {score:.4f}' for task, score in scores.items())}"


def read_results(race: Race, runs: Iterable[str]) -> dict[str, Any]:
    """By run what came of it."""
    return {name: json.loads(race.result(name).read_text(encoding="utf-8")) for name in runs}


def scores_of(race: Race, run: Run, folder: Path) -> dict[str, float]:
    """The validation scores of a trained run.

    Raises:
        TrainingError: a task that is raced for has no validation rows.
    """
    scores = validation_scores(race.params, run, folder, read_history(folder / "history.jsonl"))
    if missing := _models(race).keys() & set(run.tasks) - scores.keys():
        raise TrainingError(f"task {min(missing)!r}: no validation row has its label, so no run can be judged by it")
    return scores


def spared(race: Race, name: str, results: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why a run need not be trained; None if it must be.

    Args:
        race: the race.
        name: of the run.
        results: of the runs of earlier seeds, see ``Race.result``.
    """
    model, seeds = race.runs[name].model, race.earlier(race.runs[name].seed)
    left = models_left(race, left_out(race, _scores(race, results), seeds))
    unclear = {one for models in left.values() if len(models) > 1 for one in models}
    if len(seeds) < 2 or model in unclear | starts_of(unclear):
        return None
    return f"after {counted(len(seeds), 'seed')} it is clear for each of its tasks whether this model is the best"


def left_out(race: Race, scores: Scores, seeds: Sequence[int]) -> dict[str, dict[str, Out]]:
    """By task the models that are worse than the best one after these seeds; a model that once is left out stays so."""
    out: dict[str, dict[str, Out]] = {task: {} for task in _models(race)}
    for count in range(2, len(seeds) + 1):
        for task, left in models_left(race, out).items():
            if len(left) > 1:
                out[task] |= _worse(race.params, task, {model: [scores[model][seed][task] for seed in seeds[:count]] for model in left})
    return out


def models_left(race: Race, out: Mapping[str, Mapping[str, Out]]) -> dict[str, list[str]]:
    """By task the models that are not left out."""
    return {task: [model for model in models if model not in out[task]] for task, models in _models(race).items()}


def _worse(params: Params, task: str, values: Mapping[str, Sequence[float]]) -> dict[str, Out]:
    """Those of some models whose difference from the best one is below 0, by t over seeds.

    Scores are taken for sums of what the model and what the seed brings, and of a rest of the same variance for all models (a two-way
    layout, as Friedman's test in an F-race has it). Few seeds then say more than by the differences of two models. Of two models it is the
    paired test. A rest of 0 says nothing of the variance.
    """
    scores = params.tasks[task].main_metric.sign * np.array(list(values.values()))
    count, seeds = scores.shape
    means = scores.mean(1)
    rest = scores - means[:, None] - scores.mean(0) + scores.mean()
    degrees = (count - 1) * (seeds - 1)
    error = np.sqrt(2 * np.square(rest).sum() / degrees / seeds)
    half = float(special.stdtrit(degrees, (1 + params.evaluate.confidence) / 2) * error)
    models, best = list(values), int(means.argmax())
    gaps = means[best] - means
    is_worse = gaps > half if error > RESOLUTION else np.zeros(count, dtype=np.bool_)
    return {models[i]: Out(seeds, models[best], float(gaps[i] - half), float(gaps[i] + half)) for i in np.flatnonzero(is_worse)}


def _models(race: Race) -> dict[str, list[str]]:
    """By task that is raced for the models that have it."""
    target = race.params.experiment.target
    tasks = race.params.tasks if target is None else [target]
    return {task: list(dict.fromkeys(run.model for run in race.runs.values() if task in run.tasks)) for task in tasks}


def _scores(race: Race, results: Mapping[str, Mapping[str, Any]]) -> Scores:
    scores: dict[str, dict[int, Mapping[str, float]]] = {run.model: {} for run in race.runs.values()}
    for name, result in results.items():
        if "scores" in result:
            scores[race.runs[name].model][race.runs[name].seed] = result["scores"]
    return scores


# --- outcome ----------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a race shows."""

    scores: Scores
    gains: Mapping[str, Mapping[str, float]]
    """By model and task, see ``_gains``."""
    out: Mapping[str, Mapping[str, Out]]
    """By task the models that were left out."""
    serving: Mapping[str, str]
    """By task the chosen model: of those in the race the one with the largest gain, and no more models than that takes."""


def decide(race: Race, results: Mapping[str, Mapping[str, Any]]) -> Outcome:
    """The outcome of a race by the results of its runs."""
    scores = _scores(race, results)
    out, gains = left_out(race, scores, race.params.experiment.seeds), _gains(race, scores)
    left = models_left(race, out)
    running = {model: {task: gain for task, gain in own.items() if model in left[task]} for model, own in gains.items()}
    return Outcome(scores, gains, out, serving(running, best_models(running, list(left), len(left)), list(left)))


def write_outcome(race: Race) -> str:
    """Write ``race.csv``, a row for each task of each model, and ``best.yaml``, the settings with the chosen groups and phases only.

    Returns:
        The outcome in words.
    """
    results = read_results(race, race.runs)
    outcome = decide(race, results)
    write_text(race.out / "race.csv", _table(race.params, outcome))
    best = with_chosen(race.params, set(outcome.serving.values()))
    write_text(race.out / "best.yaml", as_yaml(best, "The groups and phases that validation rows speak for."))
    spared = {name for name, result in results.items() if "reason" in result}
    return "\n".join(
        [
            f"{len(results) - len(spared)} of {counted(len(results), 'run')} trained, {len(spared)} spared, "
            f"of which the command below trains {len(spared & best.runs().keys())}.",
            f"Best on validation rows: {in_words(outcome.serving, list(outcome.serving))}.",
            f"  {race.out / 'race.csv'}",
            f"  snakemake --cores all --configfile {race.out / 'best.yaml'}",
        ]
    )


def _gains(race: Race, scores: Scores) -> dict[str, dict[str, float]]:
    """By model and task the relative gain of its mean score over that of the single-task model. Models still in the race have the same
    seeds."""
    gains: dict[str, dict[str, float]] = {}
    for task, own in _models(race).items():
        for model in own:
            first, second = (fmean(values[task] for values in scores[side].values()) for side in (model, task))
            gains.setdefault(model, {})[task] = race.params.tasks[task].main_metric.relative_gain(first, second)
    return gains


def _table(params: Params, outcome: Outcome) -> str:
    rows = [
        {
            "task": task,
            "model": model,
            "metric": params.tasks[task].main_metric.name,
            "seeds": len(outcome.scores[model]),
            "validation score": round(fmean(by_task[task] for by_task in outcome.scores[model].values()), 4),
            "gain in percent": round(100 * gains[task], 1),
            "outcome": "chosen" if outcome.serving[task] == model else _in_the_race(out.get(model)),
        }
        for task, out in outcome.out.items()
        for model, gains in outcome.gains.items()
        if task in gains
    ]
    return harmless(pd.DataFrame(rows)).to_csv(index=False, lineterminator="\n")


def _in_the_race(out: Out | None) -> str:
    if out is None:
        return "not shown to be worse"
    return f"out after {counted(out.seeds, 'seed')}: {out.better} is better by {out.low:.3f} to {out.high:.3f}"


def with_chosen(params: Params, chosen: Iterable[str]) -> Params:
    """The settings with the groups and phases among these models, and no others."""
    phases = [{"first": members_of(both[0]), "then": both[1]} for both in map(phases_of, sorted(chosen)) if both]
    groups = [members_of(model) for model in sorted(chosen) if len(members_of(model)) > 1 and not phases_of(model)]
    content = params.model_dump(mode="json")
    content["experiment"] |= {"groups": groups, "phases": phases}
    return parse(content)
