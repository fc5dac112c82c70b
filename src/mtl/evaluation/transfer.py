"""Which tasks gain from which: groups of tasks, and tasks learned after others, against single-task models, and the best models for every
number of them.

They are compared on test rows. Their comparisons are a family of their own, corrected together, so that another group does not change the
verdicts on the joint model. Models are chosen by their validation scores, and what the choice gains is measured on test rows: the best of
many on the rows that it was chosen by owes much to chance.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from mtl.config import Params, Run
from mtl.evaluation.bootstrap import Array
from mtl.evaluation.comparison import Key, Pair, Scores, common_seeds, compared, corrected_confidence, delta_m, of_seeds, relative_gain
from mtl.evaluation.grouping import best_models, serving
from mtl.evaluation.intervals import over_seeds
from mtl.names import RunName, group_of

Validation = Mapping[str, Mapping[str, float]]
"""The main metric of each task by run, on the validation rows."""
Histories = Mapping[str, Sequence[Mapping[str, Any]]]
"""Records of training by run."""
LEAST_CELLS = 6
"""Of a rank correlation."""
Sides = dict[str, tuple[Scores, Scores]]
"""By task the model that serves it and the single-task model."""


class Training(NamedTuple):
    """What the training of the runs says."""

    validation: Validation
    cosines: Mapping[str, float]
    """By pair of tasks (as in ``group_of``) the mean cosine of their gradients on the shared encoder over the joint runs."""


def training_of(params: Params, models: Path, histories: Histories) -> Training:
    """Read off the histories, and ``run.json`` of the model folders."""
    return Training(_validation(params, models, histories), _cosines(params, histories))


def _validation(params: Params, models: Path, histories: Histories) -> Validation:
    return {name: validation_scores(params, run, models / name, histories[name]) for name, run in params.runs().items()}


def validation_scores(params: Params, run: Run, folder: Path, history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The scores by which a run kept its weights: means over the last ``train.score_window`` validations before them.

    Args:
        params: the settings.
        run: whose tasks are scored; one without validation rows is left out.
        folder: of its model.
        history: its records.
    """
    best = json.loads((folder / "run.json").read_text(encoding="utf-8"))["best_step"]
    records = [record for record in history if record["kind"] == "validation" and record["step"] <= best]
    window = [record["metrics"] for record in records[-params.train.score_window :]]
    metrics = {task: params.tasks[task].main_metric.name for task in run.tasks}
    kept = {task: [record[task][metric] for record in window if task in record] for task, metric in metrics.items()}
    return {task: fmean(values) for task, values in kept.items() if values}


def _cosines(params: Params, histories: Histories) -> dict[str, float]:
    joint = [run.name for run in params.runs().values() if (run.model, run.data, run.size) == ("joint", params.compared_data, "all")]
    records = [record["cosine"] for name in joint for record in histories[name] if record.get("cosine")]
    by_pair = {group_of(both): "|".join(sorted(both)) for both in combinations(params.tasks, 2)}
    measured = {pair: [record[key] for record in records if key in record] for pair, key in by_pair.items()}
    return {pair: fmean(values) for pair, values in measured.items() if values}


def _forecast(cosines: Mapping[str, float], comparisons: Sequence[Mapping[str, Any]], signs: Mapping[str, int]) -> dict[str, Any]:
    """How well cosines predict the gains of pairs: Spearman's rank correlation with the relative gain of each task of each pair."""
    both = [
        (cosines[item["within"]], signs[item["task"]] * item["difference"] / item["second"])
        for item in comparisons
        if item["within"] in cosines and item["second"] > 0
    ]
    ranks = pd.DataFrame(both).rank()
    correlation = ranks[0].corr(ranks[1]) if len(both) >= LEAST_CELLS and (ranks.nunique() > 1).all() else None
    return {"cosines": dict(cosines), "cells": len(both), "rank_correlation": None if correlation is None else float(correlation)}


def transfer(params: Params, scores: Mapping[Key, Scores], trained: Training) -> dict[str, Any]:
    """What the report says about groups.

    Args:
        params: the settings, which have groups or phases.
        scores: of all settings.
        trained: see ``training_of``.

    Returns:
        ``comparisons``: see ``comparison.compare``; ``kind`` is ``group`` and ``within`` is the model (see ``RunName``).
        ``groupings``: for each number of models those chosen, see ``_grouping``. ``advised``: the number of models of one of them.
        ``forecast``: what one joint run says of the pairs, see ``_forecast``.
    """
    data, confidence = params.compared_data, params.evaluate.confidence
    keys = [key for key in scores if (key.data, key.size) == (data, "all")]
    pairs = [Pair("group", key.model, key, key._replace(model="single")) for key in keys if key.model not in ("joint", "single")]
    gains = _gains(params, trained.validation)
    groupings = [_grouping(params, scores, gains, budget) for budget in range(1, len(params.tasks) + 1)]
    known = {tuple(item["chosen"]): item for item in reversed(groupings) if item["chosen"]}
    comparisons = compared(pairs, scores, confidence, params.experiment.target)
    return {
        "data": data,
        "comparisons": comparisons,
        "forecast": _forecast(trained.cosines, comparisons, {task: spec.main_metric.sign for task, spec in params.tasks.items()}),
        "groupings": sorted(known.values(), key=lambda item: item["models"]),
        "advised": _advised(params, scores, [item for item in known.values() if item["delta_m"] is not None]),
    }


def _gains(params: Params, validation: Validation) -> dict[str, dict[str, float]]:
    """By model and task the relative gain over the single-task model on the validation rows, of the mean over seeds; 0 for itself."""
    data = params.compared_data
    models = {run.model: run.tasks for run in params.runs().values() if (run.data, run.size) == (data, "all")}

    def mean(model: str, task: str) -> float | None:
        names = [str(RunName(model, data, seed)) for seed in params.experiment.seeds]
        values = [validation[name].get(task) for name in names if name in validation]
        return None if None in values else fmean(value for value in values if value is not None)

    gains: dict[str, dict[str, float]] = {}
    for model, tasks in models.items():
        sides = {task: (mean(model, task), mean(task, task)) for task in tasks}
        gains[model] = {
            task: params.tasks[task].main_metric.relative_gain(own, single)
            for task, (own, single) in sides.items()
            if own is not None and single is not None
        }
    return gains


def _grouping(params: Params, scores: Mapping[Key, Scores], gains: Mapping[str, Mapping[str, float]], budget: int) -> dict[str, Any]:
    """The best choice of at most so many models.

    Returns:
        ``models`` (how many), ``chosen`` (as in ``RunName``), ``serving`` (model by task), ``validation_gain`` (mean relative gain in
        percent, by which they were chosen), and as in ``comparison.overall`` their gain on the test rows: ``delta_m``, ``low``, ``high``,
        ``tasks`` and ``undefined``.
    """
    tasks = list(params.tasks)
    chosen = best_models(gains, tasks, budget)
    served = serving(gains, chosen, tasks) if chosen else {}
    measured = delta_m(_sides(params, scores, served), params.evaluate.confidence) if chosen else {}
    return {
        "models": len(chosen),
        "chosen": list(chosen),
        "serving": served,
        "validation_gain": 100 * fmean(gains[model][task] for task, model in served.items()) if chosen else None,
        **measured,
    }


def _sides(params: Params, scores: Mapping[Key, Scores], served: Mapping[str, str]) -> Sides:
    def key(task: str, model: str) -> Key:
        return Key(task, "single" if model == task else model, params.compared_data)

    seeds = common_seeds(side for at, side in scores.items() if (at.data, at.size) == (params.compared_data, "all"))
    return {task: (of_seeds(scores[key(task, model)], seeds), of_seeds(scores[key(task, task)], seeds)) for task, model in served.items()}


def _advised(params: Params, scores: Mapping[Key, Scores], groupings: Sequence[Mapping[str, Any]]) -> int | None:
    """The fewest models that are not below single-task models by their interval, such that no larger number of them is shown to be better;
    None where nothing can be said."""
    parts: dict[int, tuple[Array, Array]] = {item["models"]: relative_gain(_sides(params, scores, item["serving"])) for item in groupings}
    corrected = corrected_confidence(params.evaluate.confidence, len(parts) * (len(parts) - 1) // 2)
    sound = {item["models"] for item in groupings if item["high"] >= 0} or set(parts)
    for models, (values, draws) in sorted((models, part) for models, part in parts.items() if models in sound):
        others = [(v - values, d - draws) for number, (v, d) in parts.items() if number > models]
        if all(over_seeds(v, d, corrected)[0] <= 0 for v, d in others):
            return models
    return None
