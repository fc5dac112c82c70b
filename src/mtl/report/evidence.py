"""How much the runs prove: means and deviations over seeds, the budget of updates, and scores against the number of train rows."""

from mtl.config import Params
from mtl.report.findings import group_name, group_style, metric_name
from mtl.report.inputs import Inputs, Json
from mtl.report.svg import Point, Series, line_chart
from mtl.report.text import listed, score, whole


def of_whole(comparisons: Json) -> Json:
    """The results of the runs on all rows: what the page shows outside of the learning curves."""
    lists = ("groups", "comparisons", "overall")
    kept = {name: [item for item in comparisons[name] if item["size"] == "all"] for name in lists}
    runs = {name: run for name, run in comparisons["runs"].items() if run["size"] == "all"}
    return {**comparisons, **kept, "runs": runs}


def budget(params: Params, inputs: Inputs) -> str:
    """How many updates a run may make, and which weights are kept, in words."""
    budgets = sorted({run["budget"] for run in inputs.runs.values() if "budget" in run})
    if not budgets:
        return "The budget of updates was not recorded."
    told = f"Every run, joint or alone, augmented or plain, had a budget of {listed([whole(steps) for steps in budgets])} updates"
    several = len(inputs.comparisons["sizes"]) > 1
    more = ", whatever its number of train rows: the fewer these are, the more often each is gone over" if several else ""
    window = params.train.score_window
    best = "validation score" if window == 1 else f"mean of the last {window} validation scores"
    return f"{told}{more}. Of these the weights with the best {best} are kept."


def settings_table(comparisons: Json) -> list[Json]:
    """A row for each task and setting: mean, deviation over seeds and interval."""
    return [
        {
            **group,
            "name": group_name(group),
            "metric": metric_name(comparisons["tasks"][group["task"]]["metric"]),
            "rows": "all" if group["size"] == "all" else whole(group["size"]),
        }
        for group in comparisons["groups"]
    ]


def learning_curves(params: Params, inputs: Inputs) -> list[Json]:
    """For each task its mean score against the number of labelled train rows, a line for each kind of run; none where there is one size."""
    comparisons = inputs.comparisons
    if len(comparisons["sizes"]) < 2:
        return []
    return [_learning_curve(params, inputs, task, metric_name(about["metric"])) for task, about in comparisons["tasks"].items()]


def _learning_curve(params: Params, inputs: Inputs, task: str, metric: str) -> Json:
    points: dict[tuple[str, str], list[Point]] = {}
    for group in inputs.comparisons["groups"]:
        if group["task"] == task:
            points.setdefault((group_name(group), group_style(group)), []).append((_train_rows(params, inputs, group), group["mean"]))
    lines = [Series(name, style, sorted(found)) for (name, style), found in points.items()]
    title = f"{task}: {metric}"
    return {
        "title": title,
        "finding": _helped(inputs.comparisons, task),
        "figure": line_chart(f"{title} by train rows", lines, "train rows", dots=True),
    }


def _train_rows(params: Params, inputs: Inputs, group: Json) -> float:
    """The rows that the runs of a setting learnt a task from; as many as were asked for where that was not recorded."""
    alike = ("model", "data", "size")
    name = next(
        name
        for name, run in inputs.comparisons["runs"].items()
        if group["task"] in run["tasks"] and all(run[key] == group[key] for key in alike)
    )
    rows = inputs.runs[name].get("rows", {})
    asked = 0 if group["size"] == "all" else group["size"]
    return float(sum(rows.get(dataset, asked) for dataset in params.datasets_of(group["task"])))


def _helped(comparisons: Json, task: str) -> str:
    """For which sizes augmentation was shown to change the score."""
    items = [item for item in comparisons["comparisons"] if (item["task"], item["kind"]) == (task, "augmentation")]
    if not items:
        best = max((group for group in comparisons["groups"] if group["task"] == task), key=lambda group: float(group["mean"]))
        return f"highest: {group_name(best)} of {best['size']} rows, {score(best['mean'])}"
    told = [f"{item['verdict']} with {item['size']} rows ({item['within']})" for item in items if item["verdict"] != "no difference shown"]
    return f"augmentation {listed(told)}" if told else "augmentation: no difference shown at any size"
