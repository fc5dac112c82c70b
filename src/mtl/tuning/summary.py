"""The results of a search below ``data/tune/``: ``summary.json``, the best params file, a table and a page of figures."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from mtl.config import Params, space
from mtl.config.loading import as_yaml
from mtl.errors import PipelineError
from mtl.evaluation.results import joint_run
from mtl.evaluation.tables import harmless
from mtl.files import write_text
from mtl.pipeline.search import Search
from mtl.report import search as charts
from mtl.report.blocks import Figure, Table
from mtl.report.render import environment, read
from mtl.report.text import percent, score, setting
from mtl.tasks.base import FLOOR
from mtl.tuning.objective import main_metrics
from mtl.tuning.study import Study
from mtl.tuning.trial import finished


def write_summary(params: Params, search: Search) -> str:
    """Write the results of a search; returns the best trial in words.

    ``summary.json``: method, pruning, seed and run; ``space`` as in the params file; ``metrics`` and ``reference`` score by task (of trial
    0, the present settings); ``trials`` by number, each with state (complete, pruned, failed), score, scores by ``tasks``, ``params``
    by path, ``validations`` as [step, score], ``reason`` and ``seconds``; ``best``, the number of the best one; ``importance`` by path.

    Raises:
        PipelineError: a trial is not over.
    """
    study = Study(params, search.study)
    trials = finished(study)[: space.count(params)]
    if len(trials) < space.count(params):
        for number in set(range(space.count(params))) - {trial["number"] for trial in trials}:
            search.trial(number).unlink(missing_ok=True)  # its lines of the study were damaged: let the command run it again
        raise PipelineError(f"{len(trials)} of {space.count(params)} trials are over; run: snakemake --cores all tune")
    summary = _summary(params, study, trials)
    best = trials[summary["best"]]
    write_text(search.out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")  # in the order of the params file
    write_text(search.out / "best.yaml", _best_file(params, summary, best))
    write_text(search.out / "trials.csv", _table(summary))
    write_text(search.out / "tune.html", _page(summary))
    return _words(summary, best, search.out)


def _summary(params: Params, study: Study, trials: list[dict[str, Any]]) -> dict[str, Any]:
    tune = params.tune
    assert tune is not None
    complete = [trial for trial in trials if trial["state"] == "complete"]
    return {
        "method": tune.method,
        "pruning": study.pruning,
        "seed": params.seed,
        "run": joint_run(params).name,
        "floor": FLOOR,
        "space": {path: _axis(params, path) for path in tune.space},
        "metrics": main_metrics(params),
        "reference": trials[0]["tasks"],
        "trials": trials,
        "best": max(complete, key=lambda trial: float(trial["score"]))["number"],
        "importance": _importance(params, study),
    }


def _axis(params: Params, path: str) -> dict[str, Any]:
    assert params.tune is not None
    axis = params.tune.space[path]
    return {"choices": list(axis)} if isinstance(axis, tuple) else {**axis.model_dump(), "whole": space.whole(params, path)}


def _importance(params: Params, study: Study) -> dict[str, float]:
    """How much each param separates the better trials from the others, as shares (PED-ANOVA, Watanabe, Bansal & Hutter 2023)."""
    assert params.tune is not None
    complete = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    if len(complete) < 4:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 5 / len(complete))))
    importances = get_param_importances(study.optuna, evaluator=evaluator, params=list(params.tune.space))
    return {path: float(value) for path, value in importances.items()}


def _best_file(params: Params, summary: dict[str, Any], best: dict[str, Any]) -> str:
    """The params file of the best trial, with every param."""
    note = f"number {best['number']}: {best['score']:.4f} times the validation score of trial 0"
    return as_yaml(space.candidate(params, best["params"]), f"The best of {len(summary['trials'])} trials, {note}.")


def _table(summary: dict[str, Any]) -> str:
    """All trials as comma-separated values; a choice that is a mapping as JSON."""
    rows = [
        {
            **{key: trial[key] for key in ("number", "state", "score")},
            **{task: trial["tasks"].get(task) for task in summary["reference"]},
            **{path: _cell(trial["params"][path]) for path in summary["space"]},
            "seconds": trial["seconds"],
        }
        for trial in summary["trials"]
    ]
    return harmless(pd.DataFrame(rows, dtype=object)).to_csv(index=False, lineterminator="\n")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _page(summary: dict[str, Any]) -> str:
    template = environment().from_string(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        summary,
        title="Search",
        style=Markup(read("style.css")),
        scripts=[Markup(read("tables.js"))],
        finding=_finding(summary),
        figures=_figures(summary),
        table_of_trials=_trials(summary),
    )


def _figures(summary: dict[str, Any]) -> list[Figure]:
    return [
        Figure("Scores of the trials", "line: best score so far", charts.history(summary["trials"])),
        Figure("Importance of the params", "share in what separates the better trials from the others", charts.importance(summary)),
        Figure("Values and scores", "a line for each trial; the best one is blue", charts.coordinates(summary), wide=True),
    ]


def _trials(summary: dict[str, Any]) -> Table:
    """All trials with their scores, values and outcome."""
    rows = [
        {
            "trial": trial["number"],
            "score": trial["score"],
            **{f"{task} ({metric})": trial["tasks"].get(task) for task, metric in summary["metrics"].items()},
            **{path: setting(trial["params"][path]) for path in summary["space"]},
            "outcome": "best" if trial["number"] == summary["best"] else trial["reason"] or trial["state"],
        }
        for trial in summary["trials"]
    ]
    scores = ["score", *(f"{task} ({metric})" for task, metric in summary["metrics"].items())]
    return Table("Trials", "", pd.DataFrame(rows), dict.fromkeys(scores, score))


def _finding(summary: dict[str, Any]) -> str:
    """The outcome in one sentence."""
    best = summary["trials"][summary["best"]]
    if summary["best"] == 0:
        count = len(summary["trials"])
        return f"No trial beats the present settings on validation rows ({count} {'trial' if count == 1 else 'trials'})."
    gain = percent(best["score"] - 1, 1)
    return f"Trial {best['number']} of {len(summary['trials'])} is the best on validation rows: {gain} better than the present settings."


def _words(summary: dict[str, Any], best: dict[str, Any], out: Path) -> str:
    values = ", ".join(f"{path}: {_cell(value)}" for path, value in best["params"].items())
    lines = [_finding(summary), f"  {values}", f"  {out / 'tune.html'}", f"  snakemake --cores all --configfile {out / 'best.yaml'}"]
    return "\n".join(lines)
