"""What the results say, in plain words; every claim comes from ``comparisons.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mtl.names import members_of, phases_of
from mtl.report import charts
from mtl.report.blocks import Figure, Table
from mtl.report.inputs import Json
from mtl.report.text import at_most, counted, ends, listed, percent, score, signed, whole

SIGNS = {"gained": "▲", "lost": "▼", "ahead": "△", "behind": "▽", "no difference shown": "●"}
STYLES = {"gained": "gained", "lost": "lost", "ahead": "gained", "behind": "lost", "no difference shown": "same"}
ASPECTS = {"joint": "Joint training", "augmentation": "Augmentation"}
"""By kind of the comparisons in the summary."""
VERDICT_COLOURS = {"gained": "var(--gained)", "lost": "var(--lost)", "same": "var(--same)"}
"""By style of a verdict."""
DOMINATED, WEAKENED = 0.5, 0.9
"""Shares of the single-task score below which a task counts as dominated, or as weakened, by joint training."""
MODELS = {"joint": "joint", "single": "single-task"}
SETTING_COLOURS = {f"{name}, {data}": f"var(--{model}-{data})" for model, name in MODELS.items() for data in ("augmented", "plain")}
"""By name of a setting (see ``group_name``)."""
PLAIN = [name for name in SETTING_COLOURS if name.endswith("plain")]
"""Settings whose lines are dashed."""


def metric_name(about: Json, name: str | None = None) -> str:
    """A metric of a task as people write it, by default its main one."""
    metric = str(about["metric"] if name is None else name)
    return str(about["titles"].get(metric, metric))


def main_metric(about: Json) -> str:
    """The main metric of a task, and its direction where that is the less usual one."""
    return metric_name(about) + ("" if about["higher_is_better"] else " (lower is better)")


def best_of(groups: Sequence[Json], about: Json) -> tuple[str, Json]:
    """The best setting of a task, and whether that is its ``highest`` or ``lowest`` score."""
    higher = about["higher_is_better"]
    return "highest" if higher else "lowest", (max if higher else min)(groups, key=lambda group: float(group["mean"]))


def claim(item: Json) -> Json:
    """One comparison as words and a small figure's data."""
    excludes = item["verdict"] != "no difference shown"
    interval = " to ".join(ends(item["corrected_low"], item["corrected_high"]))
    against = "the same model on plain data" if item["kind"] == "augmentation" else "the single-task model"
    return {
        **item,
        "aspect": ASPECTS.get(item["kind"], "Group"),
        "sign": SIGNS[item["verdict"]],
        "style": STYLES[item["verdict"]],
        "amount": signed(item["difference"]),
        "interval": interval,
        "excludes": "excludes zero" if excludes else "includes zero",
        "against": against,
        "pair": pair_name(item),
    }


def model_name(model: str) -> str:
    """A model of ``RunName`` as people read it, such as ``entities + topic`` or ``entities + topic, then mood``."""
    if phases := phases_of(model):
        return ", then ".join(map(model_name, phases))
    return "all tasks" if model == "joint" else " + ".join(members_of(model))


def pair_name(item: Json) -> str:
    """Which runs are compared."""
    rows = "" if item["size"] == "all" else f", {item['size']} rows"
    if item["kind"] == "group":
        return f"{model_name(item['within'])} vs single-task"
    if item["kind"] == "joint":
        return f"joint vs single-task, {item['within']} data{rows}"
    return f"augmented vs plain data, {MODELS[item['within']]} model{rows}"


def headline_claims(comparisons: Json) -> list[Json]:
    """The comparisons of the headline joint run, and how augmentation changes it."""
    augmentation = [item for item in comparisons["comparisons"] if (item["kind"], item["within"]) == ("augmentation", "joint")]
    return [claim(item) for item in [*joint_comparisons(comparisons), *augmentation]]


def joint_comparisons(comparisons: Json) -> list[Json]:
    """Joint training against single-task models on the headline's data, or on other data if those were not trained on it."""
    rows = [item for item in comparisons["comparisons"] if item["kind"] == "joint"]
    return [item for item in rows if item["within"] == comparisons["headline"]] or rows


def families(comparisons: Json, every: Sequence[Json]) -> str:
    """Which of these comparisons the correction holds together, as the end of a sentence; empty for a single one."""
    target, confidence = comparisons["target"], percent(comparisons["confidence"])
    own = sum(item["task"] == target for item in every)
    if len(every) < 2:
        return ""
    if not own:
        return f", so that all {len(every)} comparisons hold together with {confidence} confidence"
    parts = [
        f"the {size} comparisons {whose} hold together with {confidence} confidence" if size > 1 else f"the comparison {whose} stands alone"
        for whose, size in {f"of {target}": own, "of the other tasks": len(every) - own}.items()
        if size
    ]
    return f", so that {' and '.join(parts)}"


def over_seeds(comparisons: Json) -> str:
    """What the intervals say of other seeds."""
    every = {len(item["seeds"]) for item in comparisons["comparisons"]} or {len(comparisons["seeds"])}
    if every == {1}:
        return "There is one seed, so the intervals do not include the variance over seeds."
    several = f"The intervals include the variance over the {max(every)} seeds"
    return f"{several} where both sides have them; those of one seed hold for its two models." if 1 in every else f"{several}."


def lead(comparisons: Json) -> list[Json]:
    """A sentence on joint training and one on augmentation."""
    claims = headline_claims(comparisons)
    of_kind = {kind: [item for item in claims if item["kind"] == kind] for kind in ASPECTS}
    return [
        {"kind": kind, "sentence": _sentence(aspect, of_kind[kind], comparisons) + _caution(of_kind[kind])}
        for kind, aspect in ASPECTS.items()
    ]


def _caution(claims: Sequence[Json]) -> str:
    """A warning where a difference may come from the variance over seeds."""
    single = [item["task"] for item in claims if item["verdict"] != "no difference shown" and len(item["seeds"]) == 1]
    if not single:
        return ""
    whose = f" for {listed(single)}" if any(len(item["seeds"]) > 1 for item in claims) else ""
    return f" One seed{whose}: another training run may differ."


def _sentence(aspect: str, claims: Sequence[Json], comparisons: Json) -> str:
    if not claims and aspect == ASPECTS["joint"] and len(comparisons["tasks"]) == 1:
        return f"{aspect}: not compared, because there is only one task."
    if not claims:
        missing = "single-task runs" if aspect == ASPECTS["joint"] else "joint runs on both augmented and plain data"
        return f"{aspect}: not compared. Add {missing} to experiment in params.yaml."
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
    """Δm in words, for augmented and for plain data."""
    sentences = []
    for item in comparisons["overall"]:
        if item["delta_m"] is None:
            sentences.append(f"The mean relative gain Δm on {item['data']} data is undefined: {item['undefined']}.")
            continue
        includes = "excludes" if item["low"] > 0 or item["high"] < 0 else "includes"
        interval = f"{' to '.join(ends(item['low'], item['high'], 1))} %, which {includes} zero"
        sentences.append(
            f"Averaged over tasks, joint training on {item['data']} data changes the score by Δm = {signed(item['delta_m'], 1)} % "
            f"relative to single-task training ({percent(comparisons['confidence'])} interval {interval})."
        )
    return sentences


def cards(comparisons: Json) -> list[Json]:
    """A card for each task: its score in the joint run, and its comparisons."""
    claims = _drawn(headline_claims(comparisons), comparisons)
    return [
        _card(task, about, comparisons, [item for item in claims if item["task"] == task]) for task, about in comparisons["tasks"].items()
    ]


def _card(task: str, about: Json, comparisons: Json, claims: Sequence[Json]) -> Json:
    setting = (task, "joint", comparisons["headline"])
    group = next(group for group in comparisons["groups"] if (group["task"], group["model"], group["data"]) == setting)
    return {
        "task": task,
        "metric": main_metric(about),
        "score": score(group["mean"]),
        "interval": f"{score(group['low'])} to {score(group['high'])}",
        "rows": about["rows"],
        "claims": claims,
    }


def _drawn(claims: Sequence[Json], comparisons: Json) -> list[Json]:
    """Claims with a chart each, on the scales of their tasks."""
    reach = _reach(claims, comparisons)
    return [
        {**item, "chart": charts.intervals(_differences([item]), VERDICT_COLOURS, named=False, reach=reach[item["task"]])}
        for item in claims
    ]


def _reach(claims: Sequence[Json], comparisons: Json) -> dict[str, float]:
    """By task how far the scale of its differences goes on both sides of zero: one scale for all shares, one for each other metric."""
    ends = ("low", "high", "corrected_low", "corrected_high")
    largest = {
        task: max((abs(item[end]) for item in claims for end in ends if item["task"] == task), default=0.0) for task in comparisons["tasks"]
    }
    shares = {task: size for task, size in largest.items() if comparisons["tasks"][task]["higher_is_better"] and size <= 1}
    common = dict.fromkeys(shares, max([0.01, *shares.values()]))
    return {task: 1.08 * (size or 1.0) for task, size in (largest | common).items()}


def _differences(claims: Sequence[Json]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [f"{item['task']}: {item['pair']}" for item in claims],
            "style": [item["style"] for item in claims],
            "value": [item["difference"] for item in claims],
            "low": [item["low"] for item in claims],
            "high": [item["high"] for item in claims],
            "corrected low": [item["corrected_low"] for item in claims],
            "corrected high": [item["corrected_high"] for item in claims],
        }
    )


def differences(comparisons: Json) -> list[Figure]:
    """For each task a figure of all its comparisons; those of all shares on one scale."""
    claims = all_claims(comparisons)
    reach = _reach(claims, comparisons)
    figures = []
    for task in comparisons["tasks"]:
        mine = [item for item in claims if item["task"] == task]
        if mine:
            frame = _differences(mine).assign(name=[item["pair"] for item in mine])
            excluding = sum(item["verdict"] != "no difference shown" for item in mine)
            chart = charts.intervals(frame, VERDICT_COLOURS, reach=reach[task])
            figures.append(
                Figure(task, f"{excluding} of {counted(len(mine), 'interval')} {'excludes' if excluding == 1 else 'exclude'} zero", chart)
            )
    return figures


def difference_table(comparisons: Json) -> Table:
    """Every comparison with both intervals and its verdict."""
    claims = all_claims(comparisons)
    frame = pd.DataFrame(
        {
            "task": [item["task"] for item in claims],
            "comparison": [item["pair"] for item in claims],
            "first": [item["first"] for item in claims],
            "second": [item["second"] for item in claims],
            "difference": [item["difference"] for item in claims],
            "sd": pd.Series([item["sd"] for item in claims], dtype=float),
            "corrected interval": [item["interval"] for item in claims],
            f"{percent(comparisons['confidence'])} interval": [" to ".join(ends(item["low"], item["high"])) for item in claims],
            "verdict": [f"{item['sign']} {item['verdict']}" for item in claims],
        }
    ).dropna(axis="columns", how="all")
    return Table("All comparisons", "", frame, {"difference": signed}, style="fold pairwise differences")


def scores(comparisons: Json) -> list[Figure]:
    """For each task the scores of its settings with their intervals."""
    return [_scores(task, about, comparisons) for task, about in comparisons["tasks"].items()]


def _scores(task: str, about: Json, comparisons: Json) -> Figure:
    groups = [group for group in comparisons["groups"] if group["task"] == task]
    frame = pd.DataFrame(groups)[["mean", "low", "high"]].rename(columns={"mean": "value"})
    frame["name"] = frame["style"] = [group_name(group) for group in groups]
    extreme, best = best_of(groups, about)
    note = f"{main_metric(about)}; {extreme}: {group_name(best)}, {score(best['mean'])}"
    return Figure(task, note, charts.intervals(frame, SETTING_COLOURS))


def score_table(comparisons: Json) -> Table:
    """The experiment as a table: settings down, tasks across."""
    groups = pd.DataFrame(comparisons["groups"])
    cells = [
        f"{score(group['mean'])} ({score(group['low'])} to {score(group['high'])}{_deviation(group)})" for group in comparisons["groups"]
    ]
    groups["run"], groups["cell"] = [group_name(group) for group in comparisons["groups"]], cells
    frame = groups.pivot(index="run", columns="task", values="cell").loc[list(dict.fromkeys(groups["run"])), list(comparisons["tasks"])]
    return Table("Scores of every setting", "", frame.reset_index(), dict.fromkeys(frame.columns, str), style="fold matrix")


def _deviation(group: Json) -> str:
    return "" if group["sd"] is None else f", sd {score(group['sd'])}"


def group_name(group: Json) -> str:
    """A setting: ``joint, augmented``, ``single-task, plain`` and so on. Its runs differ in their seed only."""
    return f"{MODELS[group['model']]}, {group['data']}"


def balance(comparisons: Json) -> Json:
    """Whether other tasks dominate a task in joint training: its joint score as a share of its single-task score.

    Where lower is better, that is the single-task score as a share of the joint one.
    """
    rows = joint_comparisons(comparisons)
    shares = {item["task"]: _share(item, comparisons["tasks"][item["task"]]["higher_is_better"]) for item in rows}
    known = {task: share for task, share in shares.items() if share is not None}
    verdicts = {item["task"]: item["verdict"] for item in rows}
    without = [task for task, share in shares.items() if share is None]
    verb, ratios = ("score", "no ratios are") if len(without) > 1 else ("scores", "no ratio is")
    undefined = f" {listed(without)} {verb} 0 in single-task training, so {ratios} shown." if without else ""
    finding = (_dominated(known, verdicts) + undefined).lstrip()
    return {"finding": finding, "style": "lost" if _alarm(known) else "same", "figure": _kept(rows, known)}


def _share(item: Json, higher_is_better: bool) -> float | None:
    joint, single = item["first"], item["second"]
    part, whole = (joint, single) if higher_is_better else (single, joint)
    return float(part / whole) if whole > 0 else None


def _kept(rows: Sequence[Json], shares: dict[str, float]) -> Figure:
    known = [item for item in rows if item["task"] in shares]
    frame = pd.DataFrame(
        {
            "name": [item["task"] for item in known],
            "share": [shares[item["task"]] for item in known],
            "joint": [item["first"] for item in known],
            "single-task": [item["second"] for item in known],
        }
    )
    chart = charts.bars(frame, ".1%", mark=1.0, tooltip=("joint", "single-task"))
    return Figure("Joint score as a share of the single-task score", "dashed line: 100 %, as good as training the task on its own", chart)


def _dominated(shares: dict[str, float], verdicts: dict[str, str]) -> str:
    if not verdicts:
        return "Add single-task runs to experiment in params.yaml to see whether a task is dominated."
    if not shares:
        return ""
    dominated = [f"{task} ({at_most(share)})" for task, share in shares.items() if share < DOMINATED]
    weakened = [f"{task} keeps {at_most(share)} ({verdicts[task]})" for task, share in shares.items() if DOMINATED <= share < WEAKENED]
    if dominated:
        return f"Dominated in joint training: {listed(dominated)} of the single-task score."
    if weakened:
        return f"No task is dominated, but {listed(weakened)} of its single-task score."
    least = min(shares, key=lambda task: shares[task])
    others = "each" if len(shares) == len(verdicts) else "every other task"
    return f"No task is dominated: {others} keeps at least {at_most(shares[least])} of its single-task score (lowest: {least})."


def _alarm(shares: dict[str, float]) -> bool:
    return any(share < DOMINATED for share in shares.values())


def metric_tables(comparisons: Json) -> list[Table]:
    """For each task a table: runs down, metrics across, each with its interval."""
    return [_metric_table(task, about, comparisons) for task, about in comparisons["tasks"].items()]


def _metric_table(task: str, about: Json, comparisons: Json) -> Table:
    runs = {name: run["tasks"][task]["metrics"] for name, run in comparisons["runs"].items() if task in run["tasks"]}
    cells = {
        name: {metric: f"{score(cell['value'])} ({score(cell['low'])}–{score(cell['high'])})" for metric, cell in metrics.items()}
        for name, metrics in runs.items()
    }
    frame = pd.DataFrame.from_dict(cells, orient="index")
    frame = frame[sorted(frame.columns, key=lambda name: name != about["metric"])].rename(columns=lambda name: metric_name(about, name))
    note = f"{about['type'].replace('_', ' ')}, {counted(about['rows'], 'test row')}"
    return Table(task, note, frame.rename_axis("run").reset_index(), dict.fromkeys(frame.columns, str), style="")


def raw_text(comparisons: Json) -> Table | None:
    """For each run and task about tokens, its score on raw text beside that on tokens; None where no task is about tokens."""
    rows = [
        {
            "task": task,
            "run": name,
            "metric": main_metric(comparisons["tasks"][task]),
            "on tokens": about["raw_text"]["tokens"],
            "on raw text": about["raw_text"]["raw_text"],
            "difference": about["raw_text"]["difference"],
            f"{percent(comparisons['confidence'])} interval": " to ".join(ends(about["raw_text"]["low"], about["raw_text"]["high"])),
        }
        for name, run in comparisons["runs"].items()
        for task, about in run["tasks"].items()
        if "raw_text" in about
    ]
    return Table("Scores on raw text", "", pd.DataFrame(rows), {"difference": signed}) if rows else None


def calibration(comparisons: Json, runs: Mapping[str, Json]) -> Table | None:
    """For each run and task whose confidences have a temperature, the calibration error without and with it; None where no task has one.

    Args:
        runs: ``run.json`` by run.
    """
    rows = [
        {
            "task": task,
            "run": name,
            "temperature": runs[name].get("temperatures", {}).get(task, 1.0),
            "error before": about["calibration"]["before"],
            "error after": about["calibration"]["after"],
            "confidences": about["calibration"]["confidences"],
        }
        for name, run in comparisons["runs"].items()
        for task, about in run["tasks"].items()
        if "calibration" in about
    ]
    return Table("Calibration", "", pd.DataFrame(rows)) if rows else None


def unlabelled(runs: Mapping[str, Json]) -> Table | None:
    """For each run and task that learned from rows without labels, how many there are and how often they were followed; None without any.

    Args:
        runs: ``run.json`` by run.
    """
    rows = [
        {"task": task, "run": name, "rows without a label": about["rows"], "passes": about["passes"], "followed": about["followed"]}
        for name, run in runs.items()
        for task, about in run.get("unlabelled", {}).items()
    ]
    formats = {"rows without a label": whole, "passes": lambda number: f"{number:.1f}", "followed": percent}
    return Table("Rows without labels", "", pd.DataFrame(rows), formats) if rows else None


def all_claims(comparisons: Json) -> list[dict[str, Any]]:
    """Every comparison in words."""
    return [claim(item) for item in comparisons["comparisons"]]
