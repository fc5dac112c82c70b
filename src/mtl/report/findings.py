"""What the results say, in plain words; every claim is taken from ``comparisons.json`` alone."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from mtl.report.inputs import Json
from mtl.report.svg import Whisker, span, whisker
from mtl.report.text import at_most, ends, listed, percent, score, signed

SIGNS = {"gained": "▲", "lost": "▼", "ahead": "△", "behind": "▽", "no difference shown": "●"}
STYLES = {"gained": "gained", "lost": "lost", "ahead": "gained", "behind": "lost", "no difference shown": "same"}
ASPECTS = {"joint": "Joint training", "augmentation": "Augmentation"}
DROWNED, WEAKENED = 0.5, 0.9
"""Shares of the score alone below which a task counts as dominated, or as weakened, by joint training."""


def metric_name(name: str) -> str:
    """A metric as people write it."""
    return {
        "f1": "entity F1",
        "macro_f1": "macro-F1",
        "pearson": "Pearson r",
        "spearman": "Spearman ρ",
        "mse": "mean squared error",
    }.get(name, name)


def claim(item: Json) -> Json:
    """One comparison as words and a small figure's data."""
    excludes = item["verdict"] != "no difference shown"
    interval = " to ".join(ends(item["corrected_low"], item["corrected_high"]))
    against = "the task trained alone" if item["kind"] == "joint" else "the same model on plain data"
    return {
        **item,
        "aspect": ASPECTS[item["kind"]],
        "sign": SIGNS[item["verdict"]],
        "style": STYLES[item["verdict"]],
        "amount": signed(item["difference"]),
        "interval": interval,
        "excludes": "excludes zero" if excludes else "includes zero",
        "against": against,
        "pair": pair_name(item),
    }


def pair_name(item: Json) -> str:
    """Which runs are compared."""
    rows = "" if item["size"] == "all" else f", {item['size']} rows"
    if item["kind"] == "joint":
        return f"joint against alone, {item['within']} data{rows}"
    return f"augmented against plain data, {item['within']} model{rows}"


def headline_claims(comparisons: Json) -> list[Json]:
    """The comparisons of the joint run that the headline figures are of, and how augmentation changes it."""
    augmentation = [item for item in comparisons["comparisons"] if (item["kind"], item["within"]) == ("augmentation", "joint")]
    return [claim(item) for item in [*joint_comparisons(comparisons), *augmentation]]


def joint_comparisons(comparisons: Json) -> list[Json]:
    """Joint training against the tasks alone, on the data of the headline; on others if the tasks alone were not trained on those."""
    found = [item for item in comparisons["comparisons"] if item["kind"] == "joint"]
    return [item for item in found if item["within"] == comparisons["headline"]] or found


def lead(comparisons: Json) -> list[Json]:
    """A sentence on joint training and one on augmentation."""
    claims = headline_claims(comparisons)
    of_kind = {kind: [item for item in claims if item["kind"] == kind] for kind in ASPECTS}
    return [
        {"kind": kind, "sentence": _sentence(aspect, of_kind[kind], comparisons) + _caution(of_kind[kind])}
        for kind, aspect in ASPECTS.items()
    ]


def _caution(claims: Sequence[Json]) -> str:
    """A difference between two single runs may be the luck of one of them."""
    shown = any(item["verdict"] != "no difference shown" and len(item["seeds"]) == 1 for item in claims)
    return " From one seed, so the variance over training seeds is not ruled out." if shown else ""


def _sentence(aspect: str, claims: Sequence[Json], comparisons: Json) -> str:
    if not claims and aspect == ASPECTS["joint"] and len(comparisons["tasks"]) == 1:
        return f"{aspect}: not compared; there is one task only."
    if not claims:
        missing = "a run of each task alone" if aspect == ASPECTS["joint"] else "a joint run on plain data beside the augmented one"
        return f"{aspect}: not compared; that needs {missing} (experiment in params.yaml)."
    if claims[0]["kind"] == "joint" and claims[0]["within"] != comparisons["headline"]:
        aspect += f" on {claims[0]['within']} data"
    by_verdict = {verdict: [item["task"] for item in claims if item["verdict"] == verdict] for verdict in SIGNS}
    same = by_verdict.pop("no difference shown")
    if len(same) == len(claims):
        return f"{aspect}: no difference shown for {_all(claims)}; every interval includes zero."
    parts = [f"{listed(tasks)} {verdict}" for verdict, tasks in by_verdict.items() if tasks]
    parts += [f"no difference shown for {listed(same)}"] if same else []
    return f"{aspect}: {'; '.join(parts)}."


def _all(claims: Sequence[Json]) -> str:
    return f"any of the {len(claims)} tasks" if len(claims) > 1 else claims[0]["task"]


def overall(comparisons: Json) -> list[str]:
    """What Δm says, for each kind of data."""
    found = []
    for item in comparisons["overall"]:
        if item["delta_m"] is None:
            found.append(f"The mean relative gain Δm on {item['data']} data has no value: {item['undefined']}.")
            continue
        includes = "excludes" if item["low"] > 0 or item["high"] < 0 else "includes"
        interval = f"{' to '.join(ends(item['low'], item['high'], 1))} %, which {includes} zero"
        found.append(
            f"Averaged over tasks, joint training on {item['data']} data changes the score by Δm = {signed(item['delta_m'], 1)} % "
            f"relative to each task alone ({percent(comparisons['confidence'])} interval {interval})."
        )
    return found


def cards(comparisons: Json) -> list[Json]:
    """A card for each task: its score in the joint run, and what brought it there."""
    claims = _drawn(headline_claims(comparisons))
    return [
        _card(task, about, comparisons, [item for item in claims if item["task"] == task]) for task, about in comparisons["tasks"].items()
    ]


def _card(task: str, about: Json, comparisons: Json, claims: Sequence[Json]) -> Json:
    wanted = (task, "joint", comparisons["headline"])
    group = next(group for group in comparisons["groups"] if (group["task"], group["model"], group["data"]) == wanted)
    return {
        "task": task,
        "metric": metric_name(about["metric"]),
        "score": score(group["mean"]),
        "interval": f"{score(group['low'])} to {score(group['high'])}",
        "rows": about["rows"],
        "claims": claims,
    }


def _drawn(claims: Sequence[Json]) -> list[Json]:
    """Claims with a figure each, all on one scale around zero."""
    reach = max([0.01, *(abs(item[end]) for item in claims for end in ("low", "high", "corrected_low", "corrected_high"))]) * 1.08
    return [
        {**item, "figure": whisker(f"{item['aspect']}: {item['amount']}", _difference(item), -reach, reach), "reach": reach}
        for item in claims
    ]


def _difference(item: Json) -> Whisker:
    """A difference as a row of a figure."""
    ends = item["low"], item["high"], item["corrected_low"], item["corrected_high"]
    return Whisker("", STYLES[item["verdict"]], item["difference"], *ends)


def matrix(comparisons: Json) -> Json:
    """The experiment as a table: kinds of run down, tasks across; the scores of a task are drawn on one scale."""
    kinds = dict.fromkeys((group["model"], group["data"]) for group in comparisons["groups"])
    groups = {(group["task"], group["model"], group["data"]): group for group in comparisons["groups"]}
    tasks = {
        task: _column(about, [group for group in comparisons["groups"] if group["task"] == task])
        for task, about in comparisons["tasks"].items()
    }
    rows = [
        {
            "name": f"{model}, {data}",
            "style": f"{model} {data}",
            "cells": [
                _cell(groups[task, model, data], column) if (task, model, data) in groups else None for task, column in tasks.items()
            ],
        }
        for model, data in kinds
    ]
    return {"tasks": [{"task": task, **column} for task, column in tasks.items()], "rows": rows}


def _column(about: Json, groups: Sequence[Json]) -> Json:
    low, high = span(group[end] for group in groups for end in ("low", "high"))
    return {"metric": metric_name(about["metric"]), "low": low, "high": high, "best": max(group["mean"] for group in groups)}


def _cell(group: Json, column: Json) -> Json:
    row = Whisker(group_name(group), group_style(group), group["mean"], group["low"], group["high"])
    title = f"{group['task']}, {group_name(group)}: {score(group['mean'])}"
    return {
        "score": score(group["mean"]),
        "interval": f"{score(group['low'])} to {score(group['high'])}",
        "sd": group["sd"],
        "highest": group["mean"] == column["best"],
        "figure": whisker(title, row, column["low"], column["high"]),
    }


def group_name(group: Json) -> str:
    """Such as ``joint, augmented``."""
    return f"{group['model']}, {group['data']}"


def group_style(group: Json) -> str:
    """The class that colours a kind of run everywhere on the page."""
    return f"{group['model']} {group['data']}"


def balance(comparisons: Json) -> Json:
    """Whether joint training starved a task: its joint score as a share of its score alone."""
    rows = joint_comparisons(comparisons)
    shares = {item["task"]: item["first"] / item["second"] if item["second"] > 0 else None for item in rows}
    known = {task: share for task, share in shares.items() if share is not None}
    verdicts = {item["task"]: item["verdict"] for item in rows}
    without = [task for task, share in shares.items() if share is None]
    told = f" Alone, {listed(without)} scored nothing that joint training could take." if without else ""
    return {"rows": rows, "shares": shares, "finding": (_dominated(known, verdicts) + told).lstrip(), "style": _alarm(known)}


def _dominated(shares: dict[str, float], verdicts: dict[str, str]) -> str:
    if not verdicts:
        return "Whether a task is dominated cannot be told: there are no runs of the tasks alone to compare with."
    if not shares:
        return ""
    dominated = [f"{task} ({at_most(share)})" for task, share in shares.items() if share < DROWNED]
    weakened = [f"{task} keeps {at_most(share)} ({verdicts[task]})" for task, share in shares.items() if DROWNED <= share < WEAKENED]
    if dominated:
        return f"Dominated by joint training: {listed(dominated)} of the score alone."
    if weakened:
        return f"No task is dominated; of its score alone {listed(weakened)}."
    least = min(shares, key=lambda task: shares[task])
    others = "each" if len(shares) == len(verdicts) else "every other one"
    return f"No task is dominated: {others} keeps at least {at_most(shares[least])} of its score alone ({least} keeps least)."


def _alarm(shares: dict[str, float]) -> str:
    return "lost" if any(share < DROWNED for share in shares.values()) else "same"


def metric_tables(comparisons: Json) -> list[Json]:
    """For each task a table: runs down, metrics across, each with its interval."""
    found = []
    for task, about in comparisons["tasks"].items():
        runs = {name: run["tasks"][task] for name, run in comparisons["runs"].items() if task in run["tasks"]}
        names = list(dict.fromkeys(metric for run in runs.values() for metric in run["metrics"]))
        names.sort(key=lambda name: name != about["metric"])
        rows = [{"run": run, "cells": [content["metrics"].get(name) for name in names]} for run, content in runs.items()]
        found.append(
            {"task": task, "type": about["type"], "rows": about["rows"], "metrics": [metric_name(name) for name in names], "runs": rows}
        )
    return found


def legend(comparisons: Json) -> Markup:
    """The kinds of run with their marks."""
    kinds = dict.fromkeys((group["model"], group["data"]) for group in comparisons["groups"])
    entry = Markup(
        '<span class="key"><svg viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">'
        '<line class="line {0}" x1="0" y1="6" x2="26" y2="6"/><circle class="dot {0}" cx="13" cy="6" r="4.5"/></svg>{1}</span>'
    )
    return Markup(" ").join(entry.format(f"{model} {data}", f"{model}, {data}") for model, data in kinds)


def all_claims(comparisons: Json) -> list[dict[str, Any]]:
    """Every comparison as words and a figure."""
    return _drawn([claim(item) for item in comparisons["comparisons"]])
