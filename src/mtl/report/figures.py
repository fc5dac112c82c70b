"""Figures of training and of predictions: curves, balance, confusion, entity types, numbers."""

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.report.findings import group_name, group_style, metric_name
from mtl.report.inputs import Inputs, Json, read_rows
from mtl.report.svg import Point, Series, dumbbells, line_chart, scatter
from mtl.report.text import percent, score, signed

BINS = 60
"""Points of a curve, at most; more would be noise at this size."""
CLOUD = 500
"""Rows of a scatter plot, at most."""
TYPES = 20
"""Entity types or classes in a figure, at most: the most frequent ones."""


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most ``BINS`` points: means of runs of neighbours."""
    size = -(-len(points) // BINS) if points else 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _series(inputs: Inputs, task: str, value: Callable[[Json], float | None], thin: bool) -> dict[str, Series]:
    """By name a line for each run of a task, from the records that have the value."""
    lines = {}
    for name, run in inputs.comparisons["runs"].items():
        if task in run["tasks"]:
            points = [(float(record["step"]), found) for record in inputs.histories[name] if (found := value(record)) is not None]
            lines[name] = Series(group_name(run), group_style(run), thinned(points) if thin else points)
    return {name: line for name, line in lines.items() if line.points}


def _seed(inputs: Inputs, run: str) -> str:
    """Which of several runs of a kind is meant."""
    seeds = {other["seed"] for other in inputs.comparisons["runs"].values()}
    return f" of seed {inputs.comparisons['runs'][run]['seed']}" if len(seeds) > 1 else ""


def loss_curves(inputs: Inputs, joint: str) -> list[Json]:
    """For each task the training loss of all its runs, and in words that of one."""
    found = []
    for task in inputs.comparisons["tasks"]:
        lines = _series(inputs, task, lambda record: record.get("loss", {}).get(task), thin=True)  # noqa: B023 - used at once
        points = lines[joint].points if joint in lines else []
        ends = f"from {points[0][1]:.2f} to {points[-1][1]:.2f} in the joint run{_seed(inputs, joint)}" if points else "not recorded"
        found.append({"title": task, "finding": ends, "figure": line_chart(f"{task}: training loss", list(lines.values()), "step")})
    return found


def score_curves(inputs: Inputs, joint: str) -> list[Json]:
    """For each task the validation score of all its runs, and in words that of one."""
    found = []
    for task, about in inputs.comparisons["tasks"].items():
        metric = about["metric"]
        lines = _series(inputs, task, lambda record: record.get("metrics", {}).get(task, {}).get(metric), thin=False)  # noqa: B023
        best = max(lines[joint].points, key=lambda point: point[1]) if joint in lines else None
        told = f"joint run{_seed(inputs, joint)} best at step {best[0]:g}: {score(best[1])}" if best else "not recorded"
        figure = line_chart(f"{task}: {metric_name(metric)} on validation", list(lines.values()), "step", dots=True)
        found.append({"title": f"{task}: {metric_name(metric)}", "finding": told, "figure": figure})
    return found


def balance_curves(inputs: Inputs, run: str) -> list[Json]:
    """How the tasks of a joint run share the encoder: loss, gradient norm and weight, a line for each task."""
    records = [record for record in inputs.histories[run] if record["kind"] == "train"]
    figures = [
        ("loss", "Training loss", "about 1 is what a guess without reading the text scores"),
        ("gradient_norm", "Gradient norm on the encoder", "what each task would pull with, left to itself"),
        ("weight", "Balancing weight", "what each task's pull is multiplied by"),
    ]
    return [
        {
            "title": title,
            "finding": told,
            "figure": line_chart(f"{title} by task, run {run}", _by_task(records, key, inputs), "step", zero=True),
        }
        for key, title, told in figures
    ]


def _by_task(records: Sequence[Json], key: str, inputs: Inputs) -> list[Series]:
    lines = []
    for i, task in enumerate(inputs.comparisons["tasks"]):
        points = [(float(record["step"]), float(record[key][task])) for record in records if task in record.get(key, {})]
        lines.append(Series(task, f"task{i % 6}", thinned(points)))
    return [line for line in lines if line.points]


def cosines(inputs: Inputs, run: str) -> Json | None:
    """The cosine between the encoder gradients of each pair of tasks, where the run sampled it."""
    found: dict[str, list[Point]] = {}
    for record in inputs.histories[run]:
        for pair, value in record.get("cosine", {}).items():
            found.setdefault(pair.replace("|", " · "), []).append((float(record["step"]), float(value)))
    if not found:
        return None
    lines = [Series(pair, f"task{i % 6}", thinned(points)) for i, (pair, points) in enumerate(found.items())]
    means = {pair: sum(value for _, value in points) / len(points) for pair, points in found.items()}
    least = min(means, key=lambda pair: means[pair])
    told = f"above 0 two tasks pull one way, below 0 against each other; lowest mean: {least}, {signed(means[least], 2)}"
    return {
        "title": "Agreement of gradients",
        "finding": told,
        "figure": line_chart(f"Cosine between gradients of tasks, run {run}", lines, "step"),
        "keys": [(line.name, line.style, signed(means[line.name], 2)) for line in lines],
    }


def balance_cost(run: Json) -> str | None:
    """What a step costs beside a plain one, where that was timed."""
    cost = run.get("balance_cost")
    if not isinstance(cost, int | float):
        return None
    return f"Balancing took {cost:.2f} times the time of static weights for each token of run {run.get('run', '')}."


def throughput(inputs: Inputs) -> list[Json]:
    """Tokens per second of all runs; and, of runs in fp16, the loss scale and the steps that were skipped."""
    measures: list[tuple[str, str, str, bool]] = [
        ("tokens_per_second", "Tokens per second", "over each stretch between two records", True),
        ("loss_scale", "Loss scale of fp16", "halved at each overflow, doubled after a long stretch without one", False),
        ("skipped", "Skipped steps of fp16", "steps so far whose gradients overflowed, which made no update", True),
    ]
    found = []
    for key, title, told, zero in measures:
        lines = [_measured(inputs, name, run, key) for name, run in inputs.comparisons["runs"].items()]
        lines = [line for line in lines if line.points]
        if lines:
            found.append({"title": title, "finding": told, "figure": line_chart(title, lines, "step", zero=zero)})
    return found


def _measured(inputs: Inputs, name: str, run: Json, key: str) -> Series:
    points = [(float(record["step"]), float(record[key])) for record in inputs.histories[name] if record.get(key) is not None]
    return Series(group_name(run), group_style(run), thinned(points))


def shares(records: Iterable[Json], tasks: Sequence[str]) -> list[Json]:
    """Each task's mean share of the loss, of the gradient, and of the gradient after balancing, over all training records."""
    records = [record for record in records if record["kind"] == "train"]
    measures: list[tuple[str, Callable[[Json, str], float]]] = [
        ("of the loss", lambda record, task: record.get("loss", {}).get(task, 0.0)),
        ("of the gradient", lambda record, task: record.get("gradient_norm", {}).get(task, 0.0)),
        (
            "of the gradient, balanced",
            lambda record, task: record.get("gradient_norm", {}).get(task, 0.0) * record.get("weight", {}).get(task, 1.0),
        ),
    ]
    found = [(name, {task: sum(measure(record, task) for record in records) for task in tasks}) for name, measure in measures]
    return [
        {"name": name, "parts": [(task, i % 6, value / sum(checksums.values())) for i, (task, value) in enumerate(checksums.items())]}
        for name, checksums in found
        if sum(checksums.values()) > 0
    ]


def confusions(params: Params, inputs: Inputs) -> list[Json]:
    """For each classification task of the joint run a matrix of actual (rows) against predicted classes (columns)."""
    run = inputs.comparisons["runs"][joint_run(params).name]
    found = []
    for task, content in run["tasks"].items():
        if "confusion" in content:
            classes, counts = content["confusion"]["classes"], content["confusion"]["counts"]
            rows = [_confusion_row(name, i, row) for i, (name, row) in enumerate(zip(classes, counts, strict=True))]
            found.append({"task": task, "classes": classes, "rows": rows, "finding": _confused(classes, counts)})
    return found


def _confusion_row(name: str, right: int, counts: Sequence[int]) -> Json:
    total = sum(counts)
    cells = [{"count": count, "share": count / total if total else 0.0, "right": i == right} for i, count in enumerate(counts)]
    return {"name": name, "cells": cells, "total": total}


def _confused(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """The most frequent mistake."""
    wrong = [(counts[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
    most = max(wrong, default=(0, 0, 0))
    if most[0] == 0:
        return "no mistakes"
    count, i, j = most
    return f"most frequent mistake: {percent(count / sum(counts[i]))} of {classes[i]} taken for {classes[j]}"


def types(params: Params, inputs: Inputs) -> list[Json]:
    """For each task with classes or entity types their F1 in the headline joint run and, where there is one, in the run alone."""
    joint = joint_run(params)
    found = []
    for task, about in inputs.comparisons["tasks"].items():
        sides = {"joint": joint.name, "single": f"single_{task}-{joint.data}-{joint.seed}"}
        runs = {side: inputs.comparisons["runs"][run]["tasks"][task]["per_class"] for side, run in sides.items() if run in inputs.runs}
        if not runs["joint"] or (about["type"] == "classification" and len(runs["joint"]) < 3):
            continue  # of two classes the confusion matrix says it all
        names = sorted(runs["joint"], key=lambda name: (-runs["joint"][name]["support"], name))
        shown = names[:TYPES]
        rows = [_type_row(name, runs) for name in shown]
        what = "entity type" if about["type"] == "token_classification" else "class"
        styles = {side: f"{side} {joint.data}" for side in runs}
        figure = dumbbells(f"{task}: F1 by {what}", rows, styles)
        found.append({"title": f"{task}: F1 by {what}", "finding": _extremes(shown, runs["joint"], len(names)), "figure": figure})
    return found


def _type_row(name: str, runs: dict[str, Json]) -> tuple[str, str, dict[str, float]]:
    values = {side: float(by_type[name]["f1"]) for side, by_type in runs.items() if name in by_type}
    return name, f"n = {runs['joint'][name]['support']:g}", values


def _extremes(names: Sequence[str], scores: Json, total: int) -> str:
    best, worst = (choose(names, key=lambda name: float(scores[name]["f1"])) for choose in (max, min))
    told = (
        f"{best} {score(scores[best]['f1'])}, {worst} {score(scores[worst]['f1'])}"
        if best != worst
        else f"{best} {score(scores[best]['f1'])}"
    )
    return told if total == len(names) else f"{told}; the {len(names)} most frequent of {total}"


def scatters(params: Params, inputs: Inputs) -> list[Json]:
    """For each regression task gold against prediction of the headline joint run."""
    run = joint_run(params).name
    found = []
    for task, about in inputs.comparisons["tasks"].items():
        if about["type"] == "regression":
            rows = read_rows(inputs.predictions[run], ["gold", "prediction"], [("task", "=", task)])
            points = [(float(row["gold"]), float(row["prediction"])) for row in rows]
            drawn = points[:: -(-len(points) // CLOUD) or 1]
            figure = scatter(f"{task}: gold and prediction", drawn, "gold", "prediction")
            found.append({"title": task, "finding": _spread(points), "figure": figure})
    return found


def _spread(points: Sequence[Point]) -> str:
    if not points:
        return "no rows"
    near = sum(abs(x - y) <= 1 for x, y in points) / len(points)
    return f"{percent(near)} of predictions are within 1 of the gold number"


def stacked(parts: Sequence[tuple[str, float]]) -> Markup:
    """A bar of parts whose shares sum to 1 or less; each is (style, share)."""
    cells = Markup("").join(Markup('<i class="{}" style="width:{}%"></i>').format(style, f"{100 * share:.2f}") for style, share in parts)
    return Markup('<span class="bar" aria-hidden="true">{}</span>').format(cells)
