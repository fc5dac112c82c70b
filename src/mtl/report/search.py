"""Charts of a search, drawn from its ``summary.json`` (see ``mtl.tuning.summary``)."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from mtl.report import charts
from mtl.report.blocks import Spec
from mtl.report.text import score, setting, short

Json = Mapping[str, Any]


def history(trials: Sequence[Json]) -> Spec | None:
    """The score of each complete trial by its number, and the best one so far."""
    rows = [
        {"trial": trial.get("number", i), "score": trial["score"], "settings": _settings(trial)}
        for i, trial in enumerate(trials)
        if str(trial.get("state", "complete")).lower() == "complete" and isinstance(trial.get("score"), int | float)
    ]
    frame = pd.DataFrame(rows, columns=["trial", "score", "settings"]).sort_values("trial", kind="stable")
    return charts.best_so_far(frame.assign(best=frame["score"].cummax()))


def importance(summary: Json) -> Spec | None:
    """The share of each param in what separates good trials from the others."""
    frame = pd.DataFrame(summary["importance"].items(), columns=["name", "share"]).astype({"share": float})
    return charts.bars(frame.sort_values("share", ascending=False, kind="stable"), ".1%")


def coordinates(summary: Json) -> Spec | None:
    """Parallel coordinates: a line for each complete trial through its values and its score. The best one stands out."""
    trials, space = [trial for trial in summary["trials"] if trial["state"] == "complete"], summary["space"]
    if not trials:
        return None
    scores = [float(trial["score"]) for trial in trials]
    low, high = min(scores), max(scores)
    places = {path: _place(axis, trials, path) for path, axis in space.items()}
    places["score"] = lambda value: (value - low) / (high - low) if high > low else 0.5
    names = {path: _name(path) for path in places}
    rows = [
        {
            "trial": trial["number"],
            "axis": names[path],
            "place": place(value),
            "value": score(value) if path == "score" else setting(value),
            "quality": 1.0 if trial["number"] == summary["best"] else 0.2 + 0.6 * places["score"](trial["score"]),
        }
        for trial in trials
        for path, place in places.items()
        for value in [trial["score"] if path == "score" else trial["params"][path]]
    ]
    marks = [(path, value, short(setting(value))) for path, axis in space.items() for value in _marks(axis, trials, path)]
    marks += [("score", value, score(value)) for value in dict.fromkeys((low, high))]
    labels = pd.DataFrame(
        [(names[path], places[path](value), charts.visible_strings(label)) for path, value, label in marks],
        columns=["axis", "place", "label"],
    )
    return charts.parallel(pd.DataFrame(rows), list(names.values()), labels)


def _settings(trial: Json) -> str:
    return ", ".join(f"{path} {setting(value)}" for path, value in trial["params"].items())


def _name(path: str) -> str:
    return path.removeprefix("train.")


def _place(axis: Json, trials: Sequence[Json], path: str) -> Callable[[Any], float]:
    """Maps a value to 0 to 1 on its axis. The values of the params file may lie outside of the searched ones."""
    if "choices" in axis:
        keys = [_key(value) for value in _marks(axis, trials, path)]
        return lambda value: keys.index(_key(value)) / max(1, len(keys) - 1)
    unit: Callable[[Any], float] = (lambda value: math.log(value) if value > 0 else -math.inf) if axis["log"] else float
    low, high = unit(axis["low"]), unit(axis["high"])
    return lambda value: min(1.03, max(-0.03, (unit(value) - low) / ((high - low) or 1)))


def _marks(axis: Json, trials: Sequence[Json], path: str) -> Sequence[Any]:
    """The ends of a range; or all choices, and the value of the params file where it is none of them."""
    if "choices" not in axis:
        return axis["low"], axis["high"]
    return list({_key(value): value for value in (*axis["choices"], *(trial["params"][path] for trial in trials))}.values())


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
