"""How strong the evidence is: means and deviations over seeds, the budget of updates, and scores against the number of train rows."""

import pandas as pd

from mtl.config import Params
from mtl.report import charts
from mtl.report.blocks import Figure, Table
from mtl.report.findings import MODELS, PLAIN, SETTING_COLOURS, best_of, group_name, main_metric
from mtl.report.inputs import Inputs, Json
from mtl.report.text import listed, percent, score, whole


def of_whole(comparisons: Json) -> Json:
    """The results of the runs on all rows: what the page shows outside of the learning curves."""
    lists = ("groups", "comparisons", "overall")
    kept = {name: [item for item in comparisons[name] if item["size"] == "all"] for name in lists}
    runs = {name: run for name, run in comparisons["runs"].items() if run["size"] == "all"}
    return {**comparisons, **kept, "runs": runs}


def without_groups(comparisons: Json) -> Json:
    """The results of joint and single-task runs: what the page shows outside of the section on groups of tasks."""
    groups = [item for item in comparisons["groups"] if item["model"] in MODELS]
    runs = {name: run for name, run in comparisons["runs"].items() if run["model"] in MODELS}
    return {**comparisons, "groups": groups, "runs": runs}


def budget(params: Params, inputs: Inputs) -> str:
    """How many updates a run may make, and which weights are kept, in words."""
    budgets = sorted({run["budget"] for run in inputs.runs.values() if "budget" in run})
    if not budgets:
        return "The budget of updates was not recorded."
    several = len(inputs.comparisons["sizes"]) > 1
    more = ", whatever its number of train rows. Runs on fewer rows repeat them more often" if several else ""
    window = params.train.score_window
    best = "validation score" if window == 1 else f"mean of the last {window} validation scores"
    steps = listed([whole(steps) for steps in budgets])
    return f"Every run has a budget of {steps} updates{more}. A run keeps the weights with the best {best}."


def settings_table(comparisons: Json) -> Table:
    """A row for each task and setting: mean, deviation over seeds and interval."""
    groups = comparisons["groups"]
    interval = f"{percent(comparisons['confidence'])} interval"
    frame = pd.DataFrame(
        {
            "task": [group["task"] for group in groups],
            "setting": [group_name(group) for group in groups],
            "train rows": ["all" if group["size"] == "all" else whole(group["size"]) for group in groups],
            "seeds": [len(group["seeds"]) for group in groups],
            "metric": [main_metric(comparisons["tasks"][group["task"]]) for group in groups],
            "mean": [group["mean"] for group in groups],
            "sd": pd.Series([group["sd"] for group in groups], dtype=float),
            interval: [f"{score(group['low'])} to {score(group['high'])}" for group in groups],
        }
    )
    return Table("Mean and standard deviation of every setting", "", frame.dropna(axis="columns", how="all"))


def learning_curves(params: Params, inputs: Inputs) -> list[Figure]:
    """For each task its mean score against the number of labelled train rows, a line for each setting; none where there is one size."""
    comparisons = inputs.comparisons
    if len(comparisons["sizes"]) < 2:
        return []
    return [_learning_curve(params, inputs, task, main_metric(about)) for task, about in comparisons["tasks"].items()]


def _learning_curve(params: Params, inputs: Inputs, task: str, metric: str) -> Figure:
    groups = [group for group in inputs.comparisons["groups"] if group["task"] == task]
    frame = pd.DataFrame(
        {
            "train rows": [_train_rows(params, inputs, group) for group in groups],
            "score": [group["mean"] for group in groups],
            "setting": [group_name(group) for group in groups],
        }
    )
    chart = charts.lines(frame, "train rows", "score", "setting", SETTING_COLOURS, dashed=PLAIN, points=True)
    return Figure(f"{task}: {metric} by train rows", _helped(inputs.comparisons, task), chart)


def _train_rows(params: Params, inputs: Inputs, group: Json) -> float:
    """The train rows of a task in the runs of a setting; the requested number where the runs did not record it."""
    alike = ("model", "data", "size")
    name = next(
        name
        for name, run in inputs.comparisons["runs"].items()
        if group["task"] in run["tasks"] and all(run[key] == group[key] for key in alike)
    )
    rows = inputs.runs[name].get("rows", {})
    requested = 0 if group["size"] == "all" else group["size"]
    return float(sum(rows.get(dataset, requested) for dataset in params.datasets_of(group["task"])))


def _helped(comparisons: Json, task: str) -> str:
    """The sizes at which augmentation changes the score."""
    items = [item for item in comparisons["comparisons"] if (item["task"], item["kind"]) == (task, "augmentation")]
    if not items:
        extreme, best = best_of([group for group in comparisons["groups"] if group["task"] == task], comparisons["tasks"][task])
        return f"{extreme}: {group_name(best)}, {best['size']} rows, {score(best['mean'])}"
    changes = [
        f"{item['verdict']} with {item['size']} rows ({item['within']})" for item in items if item["verdict"] != "no difference shown"
    ]
    return f"augmentation {listed(changes)}" if changes else "augmentation: no difference shown at any size"
