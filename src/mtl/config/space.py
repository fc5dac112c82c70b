"""The space of a search: params by their dotted paths, the values that each may take, and the settings that a choice of them makes.

This module is as light as ``mtl.config``: the Snakefile loads it to know how many trials there are.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mtl.config.loading import parse
from mtl.config.params import Params
from mtl.config.tune import Range, Tune
from mtl.config.urls import redacted
from mtl.errors import Issue, ParamsError

SEARCHED = ("augment.*", "encoder", "encoder.*", "tasks.*.*", "train.*")
NOT_SEARCHED = ("tasks.*.type", "tasks.*.label", "tasks.*.datasets", "tasks.*.metric", "train.score", "train.score_window")
"""Params of the above that decide what is learnt or what a score means, and not how well it is learnt."""
TRIALS = 20
MAX_TRIALS = 10_000

Values = dict[str, Any]
"""Dotted path to value."""


def issues(params: Params) -> list[Issue]:
    """What is wrong with the section ``tune``: params that there are not, values that they do not take, a grid without an end."""
    if params.tune is None:
        return []
    found = [issue for path in params.tune.space for issue in _axis_issues(params, params.tune, path)]
    for task in params.tasks:
        datasets = [params.datasets[name] for name in params.datasets_of(task)]
        if not any("validation" in dataset.splits for dataset in datasets):
            found.append(Issue(f"tasks.{task}", "no validation rows, by which tune judges a trial: give split a share of validation"))
    if params.tune.method == "grid" and params.tune.trials is not None:
        found.append(Issue("tune.trials", "a grid has as many trials as points; leave it out, or choose method random"))
    if not found and params.tune.method == "grid" and (size := math.prod(map(_size, params.tune.space.values()))) >= MAX_TRIALS:
        found.append(Issue("tune.space", f"the grid has {size:.0f} points, more than {MAX_TRIALS}; choose fewer, or method random"))
    return found


def _size(axis: Any) -> float:
    """Points of an axis of a grid, not made yet: they may be too many to."""
    if not isinstance(axis, Range):
        return len(axis)
    return axis.points or 2 if axis.step is None else (axis.high - axis.low) / axis.step + 1


def candidate(params: Params, values: Mapping[str, Any]) -> Params:
    """The settings with other values at some paths.

    Raises:
        ParamsError: they do not go together.
    """
    content = params.model_dump(mode="json")
    for path, value in values.items():
        parent, key = _place(content, path)
        parent[key] = value
    return parse(content, source="trial")


def present(params: Params) -> Values:
    """The values at the searched paths as they stand; a choice that comes to the same is given as it is written there."""
    content = params.model_dump(mode="json")
    found = {}
    for path, axis in _space(params).items():
        parent, key = _place(content, path)
        same = () if isinstance(axis, Range) else (choice for choice in axis if candidate(params, {path: choice}) == params)
        found[path] = next(iter(same), parent[key])
    return found


def whole(params: Params, path: str) -> bool:
    """Whether the numbers of a range are whole: both its ends are, and the param takes no number between two such."""
    axis = _space(params)[path]
    if not isinstance(axis, Range) or isinstance(axis.low, float) or isinstance(axis.high, float) or isinstance(axis.step, float):
        return False
    try:
        candidate(params, {path: axis.low + 0.5})
    except ParamsError:
        return True
    return axis.step is not None


def contains(params: Params, path: str, value: Any) -> bool:
    """Whether a value is one that the search may try at a path."""
    axis = _space(params)[path]
    if not isinstance(axis, Range):
        return value in axis
    if isinstance(value, bool) or not isinstance(value, int | float) or not axis.low <= value <= axis.high:
        return False
    steps = (value - axis.low) / (axis.step or 1)
    return (axis.step is None and not whole(params, path)) or math.isclose(steps, round(steps), abs_tol=1e-9)


def points(params: Params) -> Iterator[Values]:
    """The points of a grid, the last path varying fastest; the settings as they stand are left out."""
    axes, now = _grid(params), present(params)
    return (point for values in itertools.product(*axes.values()) if (point := dict(zip(axes, values, strict=True))) != now)


def count(params: Params) -> int:
    """Trials in all, that of the settings as they stand included."""
    tune = params.tune
    assert tune is not None
    return 1 + sum(1 for _ in points(params)) if tune.method == "grid" else tune.trials or TRIALS


def _space(params: Params) -> Mapping[str, Any]:
    assert params.tune is not None
    return params.tune.space


def _grid(params: Params) -> dict[str, list[Any]]:
    return {path: _grid_values(params, path) for path in _space(params)}


def _grid_values(params: Params, path: str) -> list[Any]:
    axis = _space(params)[path]
    if not isinstance(axis, Range):
        return list(axis)
    low, high = axis.low, axis.high
    if axis.step is not None:
        return [low + i * axis.step for i in range(1 + math.floor((high - low) / axis.step + 1e-9))]
    last = (axis.points or 2) - 1
    shares = [i / last for i in range(last + 1)]
    values = [low * (high / low) ** share if axis.log else low + share * (high - low) for share in shares]
    rounded = whole(params, path)
    # Twelve digits: 0.1 + 0.2 is not a value that a person would have written, and the present settings are compared with it.
    return list(dict.fromkeys(round(value) if rounded else float(f"{value:.12g}") for value in values))


def _place(content: Any, path: str) -> tuple[Any, str]:
    """The mapping that holds a path's value, and the key in it.

    Raises:
        ParamsError: there is no such param.
    """
    *parents, key = path.split(".")
    node, walked = content, "params"
    for step in [*parents, key]:
        if not isinstance(node, dict) or step not in node:
            choices = f"; choose from: {', '.join(node)}" if isinstance(node, dict) and node else ", which holds no params"
            raise ParamsError("params", [Issue(path, f"{step!r} is not a param of {walked}{choices}")])
        parent, node, walked = node, node[step], step if walked == "params" else f"{walked}.{step}"
    return parent, key


def _axis_issues(params: Params, tune: Tune, path: str) -> Iterator[Issue]:
    """What is wrong with one searched path."""
    key, axis = f"tune.space.{path}", tune.space[path]
    if not any(fnmatchcase(path, kind) for kind in SEARCHED) or any(fnmatchcase(path, kind) for kind in NOT_SEARCHED):
        yield Issue(key, "cannot be searched; choose params of augment, encoder, train (but its score), or weights and the like of tasks")
        return
    if outer := [other for other in tune.space if path.startswith(f"{other}.")]:
        yield Issue(key, f"lies within {outer[0]}, which is searched too; leave one of them out")
    if path.startswith("augment.") and "augmented" not in params.experiment.joint:
        yield Issue(key, "has no effect: experiment.joint has no augmented run")
    if isinstance(axis, Range):
        if tune.method == "grid" and axis.step is None and axis.points is None:
            yield Issue(key, "a grid needs points or step, or a list of choices")
        if tune.method != "grid" and axis.points is not None:
            yield Issue(f"{key}.points", "is for a grid; leave it out, or choose method grid")
    elif any(axis[i] in axis[:i] for i in range(len(axis))):
        yield Issue(key, "has a choice twice")
    yield from _value_issues(params, path)


def _value_issues(params: Params, path: str) -> Iterator[Issue]:
    """What the settings say to the ends of a range, or to each choice; the first of them, since the others are likely to be the same."""
    axis = _space(params)[path]
    for value in (axis.low, axis.high) if isinstance(axis, Range) else axis:
        try:
            candidate(params, {path: value})
        except ParamsError as error:
            for issue in error.issues:
                message = issue.message if issue.key == path else redacted(f"{value!r} makes an issue at {issue.key}: {issue.message}")
                yield Issue(f"tune.space.{path}", message)
            return
