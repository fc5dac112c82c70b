"""The error browser: wrong predictions of the joint model and of each single-task model, the most confident ones first."""

import json
from collections.abc import Iterable, Sequence

from mtl import plugins
from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.names import RunName
from mtl.report.inputs import Inputs, Json, read_rows
from mtl.report.text import visible
from mtl.tasks.views import Judged

SHOWN = 200
"""Wrong predictions of a task and a model, at most."""
ROWS = 2400
"""Wrong predictions on the page, at most, so that it stays below 5 MB whatever the number of tasks."""


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
        predictions = {model: _rows(params, inputs, run, task) for model, run in by_model.items()}
        type_ = plugins.task_type(inputs.comparisons["tasks"][task]["type"])
        judge = type_.judge(predictions["joint"])
        judged = {model: {(row["dataset"], row["id"]): judge(row) for row in rows} for model, rows in predictions.items()}
        for model, found in judged.items():
            other = next((judged[name] for name in judged if name != model), {})
            wrong = sorted((-item.order, key) for key, item in found.items() if item.severity > 0)
            rows = [_row(found[key], other.get(key)) for _, key in wrong[:limit]]
            told = type_.wrong_rows(len(found), len(wrong), len(rows))
            yield {"task": task, "model": model, "run": by_model[model], "rows": rows, "told": told}


def _rows(params: Params, inputs: Inputs, run: str, task: str) -> list[Json]:
    """The predictions of a run for a task; ``pair`` says whether the text is that of two fields."""
    rows = read_rows(inputs.predictions[run], filters=[("task", "=", task)])
    return [{**row, "pair": len(params.datasets[row["dataset"]].fields) > 1} for row in rows]


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
