"""Which tasks should share a model: what each gains from another, and the best models for every number of them, in words."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mtl.config import Params
from mtl.names import group_of, members_of, phases_of
from mtl.report import charts, savings
from mtl.report.blocks import Figure, Table
from mtl.report.findings import SIGNS, VERDICT_COLOURS, claim, families, main_metric
from mtl.report.inputs import Inputs, Json
from mtl.report.text import counted, ends, listed, percent, signed, size

COSINE = "cosine"
FEW = 3
"""Comparisons of one verdict that the summary names, at most."""


def section(params: Params, inputs: Inputs) -> Json | None:
    """Everything that the section shows; None where no groups were trained."""
    found = inputs.comparisons.get("transfer")
    if not found:
        return None
    claims = [claim(item) for item in found["comparisons"]]
    advised = next((item for item in found["groupings"] if item["models"] == found["advised"]), None)
    advice = _advice(advised, list(params.tasks))
    return {
        "summary": _summary(claims, advice),
        "advice": advice,
        "reasons": _reasons(params, inputs, advised) if advised else [],
        "matrix": _matrix(params, inputs.comparisons, claims),
        "groupings": _groupings(params, inputs, found["groupings"]),
        "groups": _groups(inputs.comparisons, claims, found["forecast"]),
        "models": [item["chosen"] for item in found["groupings"]],
    }


def in_words(serving: Mapping[str, str], tasks: Sequence[str]) -> str:
    """A choice of models, such as ``train a with b; keep c apart``."""
    served = {model: [task for task in tasks if serving[task] == model] for model in dict.fromkeys(serving.values())}
    sentences = []
    for model, own in served.items():
        if phases := phases_of(model):
            sentences.append(f"train {listed(own)} after {listed(members_of(phases[0]))}")
            continue
        trained = list(tasks) if model == "joint" else members_of(model)
        others = [task for task in trained if task not in own]
        if model == "joint" and not others:
            sentences.append("train all tasks together")
        elif len(trained) > 1:
            learned = f"train {own[0]} with {listed([*own[1:], *others])}"
            sentences.append(f"{learned}, and use that model for {listed(own)} only" if others else learned)
    apart = [model for model in served if model in tasks]
    return "; ".join([*sentences, *([f"keep {listed(apart)} apart"] if apart else [])])


def _summary(claims: Sequence[Json], advice: str) -> str:
    """The differences that are shown, and the advice."""
    named = {verdict: [item for item in claims if item["verdict"] == verdict] for verdict in SIGNS if verdict != "no difference shown"}
    parts = [f"{_which(items, len(claims))} {verdict}" for verdict, items in named.items() if items]
    shown = f"{'; '.join(parts) or 'no difference shown for any task'}. " if claims else ""
    return f"Shared training: {shown}{advice}"


def _which(items: Sequence[Json], of: int) -> str:
    """Tasks with what they were trained with, or how many where there are many."""
    if len(items) > FEW:
        return f"{len(items)} of {of} comparisons"
    return listed([f"{item['task']} {_company(item)}" for item in items])


def _company(item: Json) -> str:
    """What a task of a comparison was trained with or after."""
    if phases := phases_of(item["within"]):
        return f"after {listed(members_of(phases[0]))}"
    return f"with {listed([task for task in members_of(item['within']) if task != item['task']])}"


def _advice(advised: Json | None, tasks: Sequence[str]) -> str:
    if advised is None:
        return "No choice of models can be advised: a score was not recorded, or single-task models score 0."
    words = in_words(advised["serving"], tasks)
    return f"{words[0].upper()}{words[1:]}."


def _reasons(params: Params, inputs: Inputs, advised: Json) -> list[str]:
    """Why these models are advised, and what they save."""
    interval = f"{percent(inputs.comparisons['confidence'])} interval {_interval(advised)}"
    shown = ", so no difference is shown" if advised["low"] <= 0 <= advised["high"] else ""
    gain = f"{signed(advised['delta_m'], 1)} % relative to single-task models ({interval}){shown}."
    more = "" if advised["models"] == len(params.tasks) else " No larger number of models is shown to score better."
    costs = savings.costs(inputs.runs, params, advised["chosen"]), savings.costs(inputs.runs, params, list(params.tasks))
    disk = [cost.get("on disk") for cost in costs]
    saved = [f"On disk: {size(disk[0])} instead of {size(disk[1])}."] if disk[0] and disk[1] and disk[0] < disk[1] else []
    return [f"{counted(advised['models'], 'model')}: {gain}{more}", *saved]


def _interval(item: Json) -> str:
    return f"{' to '.join(ends(item['low'], item['high'], 1))} %"


def _matrix(params: Params, comparisons: Json, claims: Sequence[Json]) -> Figure | None:
    """What each task gains from each other one, of the pairs that were trained. Two tasks in all are the joint model."""
    whole = list(params.tasks)
    joint = [
        item
        for item in comparisons["comparisons"]
        if (item["kind"], item["within"], item["size"]) == ("joint", params.compared_data, "all")
    ]
    pairs = [{**claim(item), "within": group_of(whole)} for item in joint] if len(whole) == 2 else claims
    cells = [(item, members_of(item["within"])) for item in pairs if not phases_of(item["within"])]
    rows = [_cell(item, next(task for task in members if task != item["task"])) for item, members in cells if len(members) == 2]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    largest = frame.groupby("task")["size"].transform("max")
    strength = frame.pop("size") / largest.where(largest > 0, 1.0)
    frame["strength"] = strength.where(frame["style"] != "same", 0.1).round(6)  # the size of what is not shown says nothing
    chart = charts.gains(frame, [task for task in whole if task in {*frame["task"], *frame["with"]}], VERDICT_COLOURS)
    lower = [task for task, about in comparisons["tasks"].items() if not about["higher_is_better"]]
    note = f"Difference from the single-task model on {params.compared_data} data, with its corrected interval and verdict. " + (
        f"Lower is better for {listed(lower)}. " if lower else ""
    )
    return Figure("What the task of a row gains when trained with the task of a column", f"{note}Read along a row.", chart, wide=True)


def _cell(item: Json, other: str) -> Json:
    return {
        "task": item["task"],
        "with": other,
        "style": item["style"],
        "size": abs(item["difference"]),
        "amount": item["amount"],
        "interval": item["interval"],
        "verdict": f"{item['sign']} {item['verdict']}",
    }


def _groupings(params: Params, inputs: Inputs, groupings: Sequence[Json]) -> Table | None:
    """The best choice for each number of models."""
    if not groupings:
        return None
    rows = [
        {
            "models": item["models"],
            "choice": in_words(item["serving"], list(params.tasks)),
            "gain on validation": f"{signed(item['validation_gain'], 1)} %",
            "gain on test": "–" if item["delta_m"] is None else f"{signed(item['delta_m'], 1)} % ({_interval(item)})",
        }
        for item in groupings
    ]
    interval = f"{percent(inputs.comparisons['confidence'])} interval"
    note = (
        "Gain: mean over tasks, relative to the single-task models. The models of each number have the largest gain on validation rows; "
        f"that on test rows has its {interval}. Numbers that bring no more are left out."
    )
    return Table("The best choice for each number of models", note, pd.DataFrame(rows))


def _groups(comparisons: Json, claims: Sequence[Json], forecast: Json) -> Table | None:
    """Every task of every group, and of every second phase, against its single-task model."""
    if not claims:
        return None
    frame = pd.DataFrame(
        {
            "task": [item["task"] for item in claims],
            "trained": [_company(item) for item in claims],
            "metric": [main_metric(comparisons["tasks"][item["task"]]) for item in claims],
            "score": [item["first"] for item in claims],
            "single-task": [item["second"] for item in claims],
            "difference": [item["difference"] for item in claims],
            "corrected interval": [item["interval"] for item in claims],
            "verdict": [f"{item['sign']} {item['verdict']}" for item in claims],
            COSINE: pd.Series([forecast["cosines"].get(item["within"]) for item in claims], dtype=float),
        }
    ).dropna(axis="columns", how="all")
    note = f"Intervals have the {comparisons['correction']} correction{families(comparisons, claims)}, apart from those of the summary."
    formats = {"difference": signed, COSINE: lambda cosine: signed(cosine, 2)}
    return Table(
        "Every group and second phase" if any(phases_of(item["within"]) for item in claims) else "Every group",
        note + (_forecast(forecast) if COSINE in frame else ""),
        frame,
        {name: formats[name] for name in formats if name in frame},
    )


def _forecast(forecast: Json) -> str:
    """What the cosines of one joint run are worth."""
    words = " Cosine: of the gradients of two tasks in the joint run, the cheap forecast of what they gain from each other. "
    if forecast["rank_correlation"] is None:
        return words + "There are too few pairs to say how well it forecasts; the advice does not use it."
    rank = f"Its rank correlation with the {counted(forecast['cells'], 'measured gain')} is {signed(forecast['rank_correlation'], 2)}"
    return f"{words}{rank}; the advice does not use it."
