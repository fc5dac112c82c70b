"""What tasks add to the report: the views that task types name, by ``VIEWS``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mtl import plugins
from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.names import RunName
from mtl.report import charts
from mtl.report.blocks import Block, Figure, Matrix, Table, error_link
from mtl.report.inputs import Inputs, Json, Rows
from mtl.report.text import counted, percent, score
from mtl.tasks.base import TaskType


@dataclass(frozen=True)
class TaskResults:
    """One task in the headline joint run and, where there is one, in the single-task run of the same data and seed."""

    task: str
    type: type[TaskType]
    scores: Mapping[str, Json]
    """By model, ``joint`` and perhaps ``single-task``: what ``comparisons.json`` holds of the task in that run."""
    predictions: Callable[[], pd.DataFrame]
    """Reads the test rows of the joint run: columns ``gold`` and ``prediction``, as text."""


View = Callable[[TaskResults], list[Block]]


def task_blocks(params: Params, inputs: Inputs) -> dict[str, list[Block]]:
    """The blocks of each task that has any."""
    blocks = {task: blocks_of(_results(params, inputs, task)) for task in inputs.comparisons["tasks"]}
    return {task: listed for task, listed in blocks.items() if listed}


def blocks_of(results: TaskResults) -> list[Block]:
    """The blocks of one task, in the order of its views."""
    return [block for view in results.type.views for block in VIEWS[view](results)]


def _results(params: Params, inputs: Inputs, task: str) -> TaskResults:
    joint = joint_run(params)
    runs = {"joint": joint.name, "single-task": str(RunName(task, joint.data, joint.seed))}
    recorded = inputs.comparisons["runs"]

    def predictions() -> pd.DataFrame:
        rows = Rows(inputs.predictions[joint.name], ["gold", "prediction"], [("task", "=", task)])
        return pd.DataFrame(rows, columns=["gold", "prediction"])

    type_ = plugins.task_type(inputs.comparisons["tasks"][task]["type"])
    return TaskResults(task, type_, {model: recorded[run]["tasks"][task] for model, run in runs.items() if run in recorded}, predictions)


# --- classes and entity types ---------------------------------------------------------------------------------------

DRAWN = 20
"""Classes or entity types in a chart, at most: the most frequent ones."""
SMALL = 12
"""Classes of a confusion matrix with numbers, at most; a larger one is a heatmap."""
PAIRS = 300
"""Most confused pairs that are listed."""
SEARCHED = "fold pairwise searchable"
"""Style of a table in which a name is looked for."""
MODEL_COLOURS = {"joint": "var(--joint-augmented)", "single-task": "var(--single-augmented)"}


def per_class(results: TaskResults) -> list[Block]:
    """F1 of each class or entity type in both models, as a chart and as a table; nothing for two classes with a confusion matrix."""
    frame, noun = _score_frame(results), results.type.noun
    matrix = results.scores["joint"].get("confusion")
    few = matrix is not None and len(matrix["classes"]) < 3  # of two classes the confusion matrix says it all
    if frame.empty or few:
        return []
    drawn = frame["name"].drop_duplicates().head(DRAWN).tolist()
    total = frame["name"].nunique()
    chart = charts.dots(frame[frame["name"].isin(drawn)][["name", "model", "F1", "rows"]], MODEL_COLOURS, drawn)
    title = f"F1 by {noun}"
    return [
        Figure(title, _extremes(frame, drawn, total), chart),
        Table(
            f"Scores by {noun}",
            f"precision, recall and F1 of the joint model, most frequent {noun} first",
            _score_table(frame, noun),
            style=SEARCHED if total > SMALL else "fold pairwise",
        ),
    ]


def _score_frame(results: TaskResults) -> pd.DataFrame:
    """Columns ``name``, ``model``, ``rows`` (of the gold labels) and the scores; the most frequent class comes first."""
    rows = [
        {
            "name": name,
            "model": model,
            "rows": int(scored["support"]),
            **{key: scored[key] for key in ("precision", "recall")},
            "F1": scored["f1"],
        }
        for model, scores in results.scores.items()
        for name, scored in scores["per_class"].items()
    ]
    frame = pd.DataFrame(rows, columns=["name", "model", "rows", "precision", "recall", "F1"])
    return frame.sort_values(["rows", "name"], ascending=[False, True], kind="stable")


def _score_table(frame: pd.DataFrame, noun: str) -> pd.DataFrame:
    """The joint model's scores, and the single-task F1 beside them."""
    table = frame[frame["model"] == "joint"].drop(columns="model").rename(columns={"name": noun, "F1": "joint F1"})
    single = frame[frame["model"] == "single-task"].set_index("name")["F1"]
    return table.assign(**{"single-task F1": table[noun].map(single)}) if len(single) else table


def _extremes(frame: pd.DataFrame, drawn: Sequence[str], total: int) -> str:
    joint = frame[(frame["model"] == "joint") & frame["name"].isin(drawn)].set_index("name")["F1"]
    ends = dict.fromkeys([str(joint.idxmax()), str(joint.idxmin())])
    note = ", ".join(f"{name} {score(float(joint[name]))}" for name in ends)
    return note if total == len(drawn) else f"{note}; the {len(drawn)} most frequent of {total}"


def confusion(results: TaskResults) -> list[Block]:
    """The confusion matrix of the joint model; of many classes as a heatmap below the most confused pairs."""
    matrix = results.scores["joint"].get("confusion")
    if matrix is None:
        return []
    classes, counts = matrix["classes"], matrix["counts"]
    gold_rows = matrix.get("gold") or [sum(row) for row in counts]
    frame = _pairs(classes, counts, gold_rows)
    wrong = frame[~frame["right"]].sort_values("count", ascending=False, kind="stable")
    title, several = "Confusion matrix", "; a row counts for each missed class with each added one" if "gold" in matrix else ""
    if len(classes) <= SMALL:
        return [Matrix(title, _confused(wrong) + several, results.task, classes, counts, gold_rows)]
    top = wrong.head(PAIRS)
    table = pd.DataFrame({"gold": top["gold"], "predicted": top["predicted"], "rows": top["count"], "share of gold": top["share"]})
    links = [error_link(results.task, gold, predicted) for gold, predicted in zip(top["gold"], top["predicted"], strict=True)]
    note = counted(len(wrong), "confused pair")
    note = f"the {len(top)} most frequent of {note}" if len(top) < len(wrong) else f"{note}, the most frequent one first"
    pairs = Table("Most confused pairs", note, table, {"share of gold": percent}, SEARCHED, links, wide=True)
    return [pairs, Figure(title, _confused(wrong) + several, charts.heatmap(frame, classes), wide=True)]


def _pairs(classes: Sequence[str], counts: Sequence[Sequence[int]], gold_rows: Sequence[int]) -> pd.DataFrame:
    """Columns ``gold``, ``predicted``, ``count``, ``share`` of the gold class, and ``right``; only pairs that occur."""
    rows = [
        (gold, predicted, count, count / total, gold == predicted)
        for gold, row, total in zip(classes, counts, gold_rows, strict=True)
        for predicted, count in zip(classes, row, strict=True)
        if count
    ]
    return pd.DataFrame(rows, columns=["gold", "predicted", "count", "share", "right"]).astype({"right": bool})


def _confused(wrong: pd.DataFrame) -> str:
    """The most frequent mistake."""
    if wrong.empty:
        return "no mistakes"
    most = wrong.iloc[0]
    return f"most frequent mistake: {percent(most['share'])} of {most['gold']} predicted as {most['predicted']}"


# --- numbers --------------------------------------------------------------------------------------------------------

CLOUD = 500
"""Rows of a scatter plot, at most."""


def scatter(results: TaskResults) -> list[Block]:
    """Gold numbers against predicted ones."""
    frame = results.predictions().astype(float)
    drawn = frame.iloc[:: -(-len(frame) // CLOUD) or 1]
    return [Figure("Gold and predicted numbers", _spread(frame), charts.scatter(drawn))]


def _spread(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "no rows"
    near = float(((frame["gold"] - frame["prediction"]).abs() <= 1).mean())
    return f"{percent(near)} of predictions are within 1 of the gold number"


VIEWS: dict[str, View] = {"confusion": confusion, "per_class": per_class, "scatter": scatter}
"""By the names that ``TaskType.views`` uses."""
