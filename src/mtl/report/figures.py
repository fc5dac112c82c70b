"""Figures of training: curves, balance between tasks, throughput."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mtl.evaluation.tables import by_task, main_scores
from mtl.report import charts
from mtl.report.blocks import Figure, Spec
from mtl.report.findings import PLAIN, SETTING_COLOURS, group_name, main_metric
from mtl.report.inputs import Inputs, Json
from mtl.report.text import score, signed

BINS = 60
"""Points of a curve, at most; more would be noise at this size."""
STEEP = 30
"""Ratio of the highest to the lowest loss from which on a logarithmic scale is used."""
CURVES = 40
"""Runs of a figure, at most, so that the page stays small whatever the number of seeds and sizes."""


def thinned(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """At most ``BINS`` rows for each value of ``by``: means of neighbours. Expects the columns ``step`` and one of numbers."""
    groups = [group for _, group in frame.groupby(by, sort=False)]
    return pd.concat([_thinned(group, by) for group in groups], ignore_index=True) if groups else frame


def _thinned(group: pd.DataFrame, by: str) -> pd.DataFrame:
    size = -(-len(group) // BINS)
    means = group.select_dtypes("number").groupby(pd.RangeIndex(len(group)).to_numpy() // size).mean()
    return means.assign(**{by: group[by].iloc[0]})


def _of_task(inputs: Inputs, frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows of one task in the runs that the page shows, with the name of each run's setting."""
    names = {name: group_name(run) for name, run in inputs.comparisons["runs"].items() if task in run["tasks"]}
    kept = frame[(frame["task"] == task) & frame["run"].isin(list(names)[:CURVES])]
    return kept.drop(columns="task")


def _named(inputs: Inputs, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(setting=[group_name(inputs.comparisons["runs"][run]) for run in frame["run"]])


def _curves(inputs: Inputs, frame: pd.DataFrame, y: str, **options: Any) -> Spec | None:
    """A line for each run, coloured by its setting."""
    return charts.lines(_named(inputs, frame), "step", y, "setting", SETTING_COLOURS, dashed=PLAIN, detail="run", **options)


def _seed(inputs: Inputs, run: str) -> str:
    """Names the seed where there are several."""
    seeds = {other["seed"] for other in inputs.comparisons["runs"].values()}
    return f" of seed {inputs.comparisons['runs'][run]['seed']}" if len(seeds) > 1 else ""


def loss_curves(inputs: Inputs, joint: str) -> list[Figure]:
    """For each task the training loss of all its runs, and in words that of the headline run."""
    losses = by_task(inputs.histories, "loss")
    curves = []
    for task in inputs.comparisons["tasks"]:
        frame = thinned(_of_task(inputs, losses, task), "run")
        values = frame.loc[frame["run"] == joint, "loss"].tolist()
        note = f"joint run{_seed(inputs, joint)}: from {values[0]:.2f} to {values[-1]:.2f}" if values else "not recorded"
        steep = _steep(frame["loss"])
        curves.append(Figure(task, f"{note}{'; logarithmic scale' if steep else ''}", _curves(inputs, frame, "loss", log=steep)))
    return curves


def _steep(values: "pd.Series[float]") -> bool:
    """Whether a curve is read better on a logarithmic scale."""
    return len(values) > 0 and bool(0 < STEEP * values.min() < values.max())


def score_curves(inputs: Inputs, joint: str) -> list[Figure]:
    """For each task the validation score of all its runs, and in words the best of the headline run."""
    tasks = inputs.comparisons["tasks"]
    scores = main_scores(inputs.histories, {task: about["metric"] for task, about in tasks.items()})
    curves = []
    for task, about in tasks.items():
        frame = _of_task(inputs, scores, task)
        mine = frame[frame["run"] == joint]
        best = mine.nlargest(1, "score") if about["higher_is_better"] else mine.nsmallest(1, "score")
        notes = [
            f"joint run{_seed(inputs, joint)}: best at step {step}, {score(value)}"
            for step, value in zip(best["step"], best["score"], strict=True)
        ]
        curves.append(
            Figure(f"{task}: {main_metric(about)}", "".join(notes) or "not recorded", _curves(inputs, frame, "score", points=True))
        )
    return curves


def balance_curves(inputs: Inputs, run: str) -> list[Figure]:
    """How the tasks of a joint run share the encoder: loss, gradient norm and weight, a line for each task."""
    figures = [
        ("loss", "loss", "Training loss", "1 is about the loss of a model that ignores the text"),
        ("gradient_norm", "norm", "Gradient norm on the encoder", "of each task, before balancing"),
        ("weight", "weight", "Balancing weight", "factor of each task's gradient"),
    ]
    return [Figure(title, note, _by_task(inputs, run, key, name)) for key, name, title, note in figures]


def _by_task(inputs: Inputs, run: str, key: str, name: str) -> Spec | None:
    records = [record for record in inputs.histories[run] if record["kind"] == "train"]
    frame = thinned(by_task({run: records}, key, name).drop(columns="run"), "task")
    log = key == "loss" and _steep(frame[name])
    return charts.lines(frame, "step", name, "task", charts.palette(list(inputs.comparisons["tasks"])), zero=True, log=log)


def cosines(inputs: Inputs, run: str) -> Figure | None:
    """The cosine between the encoder gradients of each pair of tasks, where the run sampled it."""
    frame = by_task({run: inputs.histories[run]}, "cosine", "cosine", of="pair").drop(columns="run")
    if frame.empty:
        return None
    frame["pair"] = frame["pair"].str.replace("|", " · ")
    means = frame.groupby("pair", sort=False)["cosine"].mean()
    lowest = str(means.idxmin())
    note = f"cosine above 0: the gradients of two tasks agree; below 0: they conflict. Lowest mean: {lowest}, {signed(means[lowest], 2)}"
    chart = charts.lines(thinned(frame, "pair"), "step", "cosine", "pair", charts.palette(list(means.index)))
    return Figure("Gradient agreement of tasks", note, chart)


def balance_cost(run: Json) -> str | None:
    """What a step costs beside a plain one, where that was timed."""
    cost = run.get("balance_cost")
    if not isinstance(cost, int | float):
        return None
    return f"Balancing took {cost:.2f} times the time of static weights per token in run {run.get('run', '')}."


def throughput(inputs: Inputs) -> list[Figure]:
    """Tokens per second of all runs; and, of runs in fp16, the loss scale and the steps that were skipped."""
    measures = [
        ("tokens_per_second", "tokens per second", "Tokens per second", "mean since the record before", True),
        ("loss_scale", "loss scale", "Loss scale of fp16", "halved at each overflow, doubled after a long run of finite steps", False),
        ("skipped", "skipped", "Skipped steps of fp16", "steps so far without an update, because their gradients overflowed", True),
    ]
    curves = []
    for key, name, title, note, zero in measures:
        frame = thinned(_measured(inputs, key, name), "run")
        if len(frame):
            curves.append(Figure(title, note, _curves(inputs, frame, name, zero=zero)))
    return curves


def _measured(inputs: Inputs, key: str, name: str) -> pd.DataFrame:
    runs = list(inputs.comparisons["runs"])[:CURVES]
    rows = [(run, record["step"], record[key]) for run in runs for record in inputs.histories[run] if record.get(key) is not None]
    return pd.DataFrame(rows, columns=["run", "step", name])


def shares(records: Sequence[Json], tasks: Sequence[str], run: str) -> Figure | None:
    """Each task's mean share of the loss, of the gradient, and of the gradient after balancing, over all training records."""
    train = [record for record in records if record["kind"] == "train"]
    sums = pd.DataFrame(
        {
            "loss": _total(train, tasks, "loss"),
            "gradient": _total(train, tasks, "gradient_norm"),
            "balanced gradient": _total(train, tasks, "gradient_norm", "weight"),
        }
    )
    sums = sums.loc[:, sums.sum() > 0]
    if sums.empty or not len(sums.columns):
        return None
    frame = (sums / sums.sum()).rename_axis("part").reset_index().melt("part", var_name="name", value_name="share")
    chart = charts.stacked(frame, list(sums.columns), charts.palette(list(tasks)))
    return Figure("Gradient shares on the shared encoder", f"mean share of each task in run {run}", chart)


def _total(records: Sequence[Mapping[str, Any]], tasks: Sequence[str], key: str, factor: str = "") -> dict[str, float]:
    """The sum of a measure over all records by task, each times the task's factor where there is one."""
    return {
        task: float(sum(record.get(key, {}).get(task, 0.0) * record.get(factor, {}).get(task, 1.0) for record in records)) for task in tasks
    }
