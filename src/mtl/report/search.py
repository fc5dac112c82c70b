"""Figures of a search, drawn from its ``summary.json`` (see ``mtl.tuning.summary``)."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from mtl.report import svg
from mtl.report.text import percent, score, setting, short, visible

Json = Mapping[str, Any]
BEST, OTHER = "task0", "rest"
"""Classes of the style sheet."""


def history(summary: Json) -> Markup:
    """Score of each trial that came to its end by its number, and the best one so far as a line."""
    trials = _complete(summary)
    left, right, top, bottom = 48, svg.WIDTH - 12, 10, 176
    x = svg.scale(*svg.span((trial["number"] for trial in trials), 0.02), left, right)
    low, high = svg.span(trial["score"] for trial in trials)
    y = svg.scale(low, high, bottom, top)
    parts = [f'<line class="grid" x1="{left}" y1="{y(mark):.1f}" x2="{right}" y2="{y(mark):.1f}"/>' for mark in svg.ticks(low, high)]
    parts += [svg.text(svg.number(mark), left - 6, y(mark) + 4, "muted end") for mark in svg.ticks(low, high)]
    parts += [svg.text(svg.number(trials[i]["number"]), x(trials[i]["number"]), bottom + 16, "muted middle") for i in {0, len(trials) - 1}]
    parts.append(svg.text("trial", right, bottom + 30, "muted end"))
    best = [max(trial["score"] for trial in trials[: i + 1]) for i in range(len(trials))]
    parts.append(_line([(x(trial["number"]), y(value)) for trial, value in zip(trials, best, strict=True)], BEST, "the best so far"))
    parts += [_dot(x(trial["number"]), y(trial["score"]), trial, summary) for trial in trials]
    return svg.frame("Scores of the trials", bottom + 36, parts)


def importance(summary: Json) -> Markup:
    """How much of what tells good trials from the others lies in each param, as bars."""
    found = sorted(summary["importance"].items(), key=lambda item: -float(item[1]))
    if not found:
        return svg.empty("Importance of the params")
    left, right, pitch = 176, svg.WIDTH - 50, 26
    x = svg.scale(0, max(value for _, value in found) or 1, left, right)
    parts = []
    for i, (path, value) in enumerate(found):
        y = 6 + pitch * i
        parts.append(svg.text(short(path, 27), left - 8, y + 15, "name end"))
        parts.append(f'<line class="line {BEST}" x1="{left}" y1="{y + 11}" x2="{x(value):.1f}" y2="{y + 11}" stroke-width="10"/>')
        parts.append(svg.text(percent(value), x(value) + 10, y + 15, "value"))
    return svg.frame("Importance of the params", 12 + pitch * len(found), parts)


def coordinates(summary: Json) -> Markup:
    """Parallel coordinates: a line for each trial that came to its end through its values and its score; the best one stands out."""
    trials, space = _complete(summary), summary["space"]
    pitch, top, bottom, margin = 150, 34, 214, 70
    width = 2 * margin + pitch * len(space)
    axes = [*space, "score"]
    low, high = svg.span((trial["score"] for trial in trials), 0)
    places: dict[str, Callable[[Any], float]] = {path: _axis(axis, trials, path, top, bottom) for path, axis in space.items()}
    places["score"] = svg.scale(low, high, bottom, top)
    parts = []
    for i, path in enumerate(axes):
        x = margin + pitch * i
        parts.append(f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>')
        parts.append(svg.text(short(path.removeprefix("train."), 24), x, 14, "name middle"))
        if path == "score":
            parts += [svg.text(score(value), x + 8, places[path](value) + 4, "muted") for value in (low, high)]
        else:
            marks = _marks(space[path], trials, path)
            parts += [svg.text(short(setting(value), 14), x - 6, places[path](value) + 4, "muted end") for value in marks]
    for trial in sorted(trials, key=lambda trial: float(trial["score"])):
        values = {**trial["params"], "score": trial["score"]}
        points = [(margin + pitch * i, places[path](values[path])) for i, path in enumerate(axes)]
        best = trial["number"] == summary["best"]
        parts.append(_line(points, BEST if best else OTHER, _title(trial), 1 if best else 0.25 + 0.6 * _share(trial["score"], low, high)))
    return svg.frame("Values and scores of the trials", bottom + 16, parts, width)


def _complete(summary: Json) -> list[Json]:
    return [trial for trial in summary["trials"] if trial["state"] == "complete"]


def _axis(axis: Json, trials: Sequence[Json], path: str, top: float, bottom: float) -> Callable[[Any], float]:
    """The height of a value; the settings as they stand may lie outside of the searched values."""
    if "choices" in axis:
        there = [_key(value) for value in _marks(axis, trials, path)]
        place = svg.scale(0, max(1, len(there) - 1), bottom, top)
        return lambda value: place(there.index(_key(value)))
    unit: Callable[[Any], float] = (lambda value: math.log(value) if value > 0 else -math.inf) if axis["log"] else float
    place = svg.scale(unit(axis["low"]), unit(axis["high"]), bottom, top)
    return lambda value: min(bottom + 8, max(top - 8, place(unit(value))))


def _marks(axis: Json, trials: Sequence[Json], path: str) -> Sequence[Any]:
    """The ends of a range; or all choices, and the settings as they stand where these are none of them."""
    if "choices" not in axis:
        return axis["low"], axis["high"]
    return list({_key(value): value for value in (*axis["choices"], *(trial["params"][path] for trial in trials))}.values())


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 1.0


def _title(trial: Json) -> str:
    values = ", ".join(f"{path} {setting(value)}" for path, value in trial["params"].items())
    return f"trial {trial['number']}: {score(trial['score'])}; {values}"


def _dot(x: float, y: float, trial: Json, summary: Json) -> str:
    style, radius = (BEST, 5) if trial["number"] == summary["best"] else (OTHER, 3.5)
    title = escape(visible(_title(trial)))
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{title}</title></circle>'


def _line(points: Sequence[svg.Point], style: str, title: str, opacity: float = 1) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line {style}" points="{path}" opacity="{opacity:.2f}"><title>{escape(visible(title))}</title></polyline>'
