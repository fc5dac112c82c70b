"""The error browser: wrong predictions of the joint model and of each single-task model, the worst or most confident ones first."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import NamedTuple

from mtl import plugins
from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.names import RunName
from mtl.report.inputs import Inputs, Json, Rows
from mtl.report.text import visible
from mtl.tasks.views import Judge, Judged

SHOWN = 200
"""Wrong predictions of a task and a model, at most."""
ROWS = 2400
"""Wrong predictions on the page, at most, so that it stays below 5 MB whatever the number of tasks."""

Key = tuple[str, str]
"""A row's dataset and id."""


def browser(params: Params, inputs: Inputs) -> Json:
    """Groups of wrong predictions by task and model, and the choices of the filters."""
    groups = list(_groups(params, inputs))
    tasks = list(inputs.comparisons["tasks"])
    return {
        "groups": groups,
        "tasks": tasks,
        "first": next((group["task"] for group in groups if group["rows"]), tasks[0]),
        "models": list(dict.fromkeys(group["model"] for group in groups)),
        "gold": _choices(groups, 0),
        "predicted": _choices(groups, 1),
    }


def _groups(params: Params, inputs: Inputs) -> Iterable[Json]:
    joint = joint_run(params)
    runs = {task: {"joint": joint.name, "single": str(RunName(task, joint.data, joint.seed))} for task in inputs.comparisons["tasks"]}
    known = {task: {model: run for model, run in by_model.items() if run in inputs.predictions} for task, by_model in runs.items()}
    limit = max(1, min(SHOWN, ROWS // sum(map(len, known.values()))))
    for task, by_model in known.items():
        rows = {model: Rows(inputs.predictions[run], filters=[("task", "=", task)]) for model, run in by_model.items()}
        type_ = plugins.task_type(inputs.comparisons["tasks"][task]["type"])
        judge = _judge(params, type_.judge(rows["joint"]))
        for model, own in rows.items():
            worst = _worst(own, judge, limit)
            other = next((rows[name] for name in rows if name != model), ())
            beside = {_key(row): judge(row) for row in other if _key(row) in worst.listed}
            listed = [_row(item, beside.get(key)) for key, item in worst.listed.items()]
            told = type_.wrong_rows(worst.rows, worst.wrong, len(listed))
            yield {"task": task, "model": model, "run": by_model[model], "rows": listed, "told": told}


class _Worst(NamedTuple):
    """The wrong predictions of a model for a task."""

    rows: int
    """Of all predictions."""
    wrong: int
    listed: dict[Key, Judged]
    """The first ones by their order."""


def _worst(rows: Iterable[Json], judge: Judge, limit: int) -> _Worst:
    """Judge all rows, and keep only those that are listed."""
    counts: Counter[bool] = Counter()

    def wrong() -> Iterator[tuple[float, Key, Judged]]:
        for row in rows:
            item = judge(row)
            counts[item.severity > 0] += 1
            if item.severity > 0:
                yield -item.order, _key(row), item

    listed = {key: item for _, key, item in nsmallest(limit, wrong())}
    return _Worst(counts.total(), counts[True], listed)


def _key(row: Json) -> Key:
    return row["dataset"], row["id"]


def _judge(params: Params, judge: Judge) -> Judge:
    """Judges a row that also says, as ``pair``, whether its text is that of two fields."""
    return lambda row: judge({**row, "pair": len(params.datasets[row["dataset"]].fields) > 1})


def _row(item: Judged, other: Judged | None) -> Json:
    return {
        **item._asdict(),
        "pairs": json.dumps([[visible(gold), visible(predicted)] for gold, predicted in item.pairs], ensure_ascii=False),
        "better": other is not None and other.severity < item.severity,
        "other": None if other is None else other.prediction if other.severity else "right",
    }


def _choices(groups: Sequence[Json], side: int) -> list[tuple[str, str]]:
    """(value, its tasks as JSON) of a filter, in the order of the alphabet."""
    tasks: dict[str, dict[str, None]] = {}
    for group in groups:
        for row in group["rows"]:
            for pair in json.loads(row["pairs"]):
                tasks.setdefault(pair[side], {})[visible(group["task"])] = None
    return [(value, json.dumps(list(names), ensure_ascii=False)) for value, names in sorted(tasks.items())]
