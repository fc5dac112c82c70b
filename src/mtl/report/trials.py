"""Results of a search over settings, from ``data/tune/summary.json``.

The file holds ``trials``, a list of ``{"number", "params": {dotted path: value}, "score", "state"}``, and ``best``, a trial or the number
of one. Other keys are ignored.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mtl.report.blocks import Figure, Table
from mtl.report.inputs import Json
from mtl.report.search import history
from mtl.report.text import counted, score, setting, whole

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
    shown = [*scored, *rest][:SHOWN]
    note = f"the best {whole(SHOWN)} of {counted(len(trials), 'trial')}" if len(trials) > SHOWN else "all trials, the best first"
    return {
        "table": Table("Trials", note, _table(shown, paths, number)),
        "finding": _finding(trials, scored),
        "figure": Figure("Best score so far", "line: best score so far; dots: the trials", history(trials)),
    }


def _scored(trial: Json) -> bool:
    value = trial.get("score")
    ended = str(trial.get("state", "complete")).lower() == "complete"  # what was ended early has a score of its last validation at best
    return ended and isinstance(value, int | float) and math.isfinite(value)


def _table(trials: Sequence[Json], paths: Sequence[str], best: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "trial": [_name(trial, best) for trial in trials],
            "score": pd.Series([trial["score"] if _scored(trial) else None for trial in trials], dtype=float),
            "state": [str(trial.get("state", "–")).lower() for trial in trials],
        }
    )
    return frame.assign(**{path: [setting(trial["params"].get(path)) for trial in trials] for path in paths})


def _name(trial: Json, best: Any) -> str:
    number = trial.get("number")
    return f"{'–' if number is None else number}{' (best)' if best is not None and number == best else ''}"


def _finding(trials: Sequence[Json], scored: Sequence[Json]) -> str:
    text = f"{counted(len(trials), 'trial')}, {whole(len(scored))} with a validation score"
    return f"{text}; the best reached {score(scored[0]['score'])}." if scored else f"{text}."
