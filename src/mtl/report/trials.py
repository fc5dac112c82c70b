"""Results of a search over settings, from ``data/tune/summary.json``.

The file holds ``trials``, a list of ``{"number", "params": {dotted path: value}, "score", "state"}``, and ``best``, a trial or the number
of one. Anything else in it is passed over.
"""

import math
from collections.abc import Sequence
from typing import Any

from mtl.report.inputs import Json
from mtl.report.svg import Series, line_chart
from mtl.report.text import score, setting, whole

SHOWN = 50
"""Trials in the table, at most: the best ones."""


def results(summary: Json) -> Json | None:
    """The trials, best first, and the best score so far; None where there was no search."""
    trials = [trial for trial in summary.get("trials", []) if isinstance(trial, dict) and isinstance(trial.get("params"), dict)]
    if not trials:
        return None
    scored = sorted((trial for trial in trials if _scored(trial)), key=lambda trial: (-trial["score"], trial.get("number", 0)))
    rest = [trial for trial in trials if not _scored(trial)]
    paths = list(dict.fromkeys(path for trial in trials for path in trial["params"]))
    best = summary.get("best")
    number = best.get("number") if isinstance(best, dict) else best
    return {
        "paths": paths,
        "rows": [_row(trial, paths, number) for trial in [*scored, *rest][:SHOWN]],
        "finding": _finding(trials, scored),
        "shown": min(SHOWN, len(trials)),
        "total": len(trials),
        "figure": line_chart("Best score so far", _so_far(trials), "trial", dots=True),
    }


def _scored(trial: Json) -> bool:
    value = trial.get("score")
    ended = str(trial.get("state", "complete")).lower() == "complete"  # what was ended early has a score of its last validation at best
    return ended and isinstance(value, int | float) and math.isfinite(value)


def _row(trial: Json, paths: Sequence[str], best: Any) -> Json:
    return {
        "number": trial.get("number", "–"),
        "best": best is not None and trial.get("number") == best,
        "score": score(trial["score"]) if _scored(trial) else "–",
        "state": str(trial.get("state", "–")).lower(),
        "values": [setting(trial["params"].get(path)) for path in paths],
    }


def _finding(trials: Sequence[Json], scored: Sequence[Json]) -> str:
    told = f"{whole(len(trials))} trials, {whole(len(scored))} of them with a score on the validation split"
    return f"{told}; the best reached {score(scored[0]['score'])}." if scored else f"{told}."


def _so_far(trials: Sequence[Json]) -> list[Series]:
    """Each trial's score, and the greatest up to it, in the order of the search."""
    found = [(float(trial.get("number", i)), float(trial["score"])) for i, trial in enumerate(trials) if _scored(trial)]
    found.sort()
    best = [(number, max(value for _, value in found[: i + 1])) for i, (number, _) in enumerate(found)]
    return [Series("trial", "rest", found), Series("best so far", "task0", best)] if found else []
