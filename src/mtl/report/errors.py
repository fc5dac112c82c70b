"""The error browser: wrong predictions of the joint model and of each task's own model, the most confident ones first."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mtl.config import Params
from mtl.evaluation.results import joint_run
from mtl.report.inputs import Inputs, Json, read_rows
from mtl.report.text import listed, number, signed, ticks, visible, whole
from mtl.tasks.token_classification import Entity, entities

SHOWN = 200
"""Wrong predictions of a task and a model, at most."""
ROWS = 2400
"""Wrong predictions of the page, at most, so that it stays below 5 MB whatever the number of tasks."""
LONGEST = 700
"""Characters of a text that are shown."""
AROUND = 20
"""Tokens shown on both sides of a wrong entity, where a row is longer than ``WHOLE``."""
WHOLE = 80
OUTSIDE = "no entity"


class Mark(NamedTuple):
    """A stretch of text. ``kind`` is empty for plain text, else what became of an entity; ``told`` says so in words."""

    text: str
    kind: str = ""
    told: str = ""


class Wrong(NamedTuple):
    """One wrong prediction."""

    marks: list[Mark]
    gold: str
    prediction: str
    pairs: list[tuple[str, str]]
    """What was gold, and what was predicted instead: what the filters ask for."""
    severity: float
    """How wrong: 1 for a class, the number of wrong entities, the distance of a number."""
    certainty: str
    """Confidence, or how far off, as it is shown."""
    order: float
    """The greatest come first."""


Judge = Callable[[Json], Wrong]


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
    runs = {task: {"joint": joint.name, "single": f"single_{task}-{joint.data}-{joint.seed}"} for task in inputs.comparisons["tasks"]}
    known = {task: {model: run for model, run in by_model.items() if run in inputs.predictions} for task, by_model in runs.items()}
    limit = max(1, min(SHOWN, ROWS // sum(map(len, known.values()))))
    for task, by_model in known.items():
        predictions = {model: read_rows(inputs.predictions[run], filters=[("task", "=", task)]) for model, run in by_model.items()}
        kind = inputs.comparisons["tasks"][task]["type"]
        judge = judge_of(kind, predictions["joint"])
        judged = {model: {(row["dataset"], row["id"]): judge(row) for row in rows} for model, rows in predictions.items()}
        for model, found in judged.items():
            other = next((judged[name] for name in judged if name != model), {})
            wrong = sorted((-item.order, key) for key, item in found.items() if item.severity > 0)
            rows = [_row(found[key], other.get(key)) for _, key in wrong[:limit]]
            told = _told(kind, len(found), len(wrong), len(rows))
            yield {"task": task, "model": model, "run": by_model[model], "rows": rows, "told": told}


def _told(kind: str, rows: int, wrong: int, shown: int) -> str:
    """How many there are, and how many of them are here."""
    if kind == "regression":
        return f"the {whole(shown)} of {whole(rows)} rows that are furthest off"
    told = f"{whole(wrong)} of {whole(rows)} rows wrong"
    return f"{told}; here the {whole(shown)} most confident" if shown < wrong else f"{told}; all are here"


def _row(item: Wrong, other: Wrong | None) -> Json:
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


# --- what is wrong, by task type ------------------------------------------------------------------------------------


def judge_of(kind: str, rows: Sequence[Json]) -> Judge:
    """What tells how wrong an prediction of a task type is."""
    if kind == "token_classification":
        return judge_tags
    if kind == "regression":
        band = bands([float(row["gold"]) for row in rows])
        return lambda row: judge_number(row, band)
    return judge_class


def judge_class(row: Json) -> Wrong:
    """One class against another."""
    wrong = row["gold"] != row["prediction"]
    pairs = [(row["gold"], row["prediction"])] if wrong else []
    return Wrong(
        [Mark(cut(row["text"]))], row["gold"], row["prediction"], pairs, float(wrong), f"{row['confidence']:.3f}", row["confidence"]
    )


SIDES = ("too high", "too low")


def judge_number(row: Json, band: Callable[[float], str]) -> Wrong:
    """A number against another. Regression has no confidence; the distance stands in its place."""
    gold, prediction = float(row["gold"]), float(row["prediction"])
    off = prediction - gold
    pairs = [(band(gold), SIDES[off < 0])] if off else []
    return Wrong([Mark(cut(row["text"]))], _plain(gold), _plain(prediction), pairs, abs(off), f"off by {signed(off, 2)}", abs(off))


def bands(values: Sequence[float]) -> Callable[[float], str]:
    """Names of the stretches between a few round numbers."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    marks = ticks(low, high) if high > low else [low]

    def name(value: float) -> str:
        below = [mark for mark in marks if mark <= value]
        above = [mark for mark in marks if mark > value]
        if below and above:
            return f"{number(below[-1])} to {number(above[0])}"
        return f"from {number(below[-1])}" if below else f"below {number(above[0])}"

    return name


def judge_tags(row: Json) -> Wrong:
    """Entities against entities."""
    tokens = json.loads(row["text"])
    gold, predicted = entities(json.loads(row["gold"])), entities(json.loads(row["prediction"]))
    clusters = overlapping([*set(gold) - set(predicted)], [*set(predicted) - set(gold)])
    marks = [((start, end), Mark(" ".join(tokens[start:end]), "right", kind)) for kind, start, end in {*gold} & {*predicted}]
    marks += [_cluster(tokens, *cluster) for cluster in clusters]
    pairs = [pair for a, b in clusters for pair in _pairs(a, b)]
    faults = Counter(mark.told for _, mark in sorted(marks) if mark.kind != "right")
    told = listed([f"{severity} ×{times}" if times > 1 else severity for severity, times in faults.items()] or ["right"])
    return Wrong(
        stretches(tokens, sorted(marks)), _types(gold), told, pairs, float(len(clusters)), f"{row['confidence']:.3f}", row["confidence"]
    )


def overlapping(gold: Sequence[Entity], predicted: Sequence[Entity]) -> list[tuple[list[Entity], list[Entity]]]:
    """Wrong entities that share tokens, brought together: (gold ones, predicted ones), in the order of the text."""
    found: list[tuple[list[Entity], list[Entity]]] = []
    end = 0
    for start, stop, side, kind in sorted(
        (start, stop, side, kind) for side, spans in enumerate((gold, predicted)) for kind, start, stop in spans
    ):
        if start >= end:
            found.append(([], []))
        found[-1][side].append((kind, start, stop))
        end = max(end, stop)
    return found


def _cluster(tokens: Sequence[str], gold: list[Entity], predicted: list[Entity]) -> tuple[tuple[int, int], Mark]:
    start, end = min(first for _, first, _ in gold + predicted), max(after for _, _, after in gold + predicted)
    return (start, end), Mark(" ".join(tokens[start:end]), *_severity(tokens, gold, predicted))


def _severity(tokens: Sequence[str], gold: list[Entity], predicted: list[Entity]) -> tuple[str, str]:
    """Its kind, and in words."""
    if not predicted:
        return "missed", f"missed {gold[0][0]}"
    if not gold:
        return "spurious", f"spurious {predicted[0][0]}"
    if len(gold) == len(predicted) == 1 and gold[0][1:] == predicted[0][1:]:
        return "type", f"{gold[0][0]} taken for {predicted[0][0]}"
    was, found = (listed([f"{kind} “{' '.join(tokens[start:end])}”" for kind, start, end in side]) for side in (gold, predicted))
    return "bounds", f"{was} found as {found}"


def _pairs(gold: list[Entity], predicted: list[Entity]) -> list[tuple[str, str]]:
    return [(a, b) for a in [kind for kind, _, _ in gold] or [OUTSIDE] for b in [kind for kind, _, _ in predicted] or [OUTSIDE]]


def stretches(tokens: Sequence[str], marks: Sequence[tuple[tuple[int, int], Mark]]) -> list[Mark]:
    """The whole row as plain and marked text; of a long row what is near its wrong entities."""
    wrong = [place for place, mark in marks if mark.kind != "right"] or [(0, 0)]
    near = [len(tokens) <= WHOLE or any(a - AROUND <= i < b + AROUND for a, b in wrong) for i in range(len(tokens))]
    found, at = [], 0
    for (start, end), mark in [*marks, ((len(tokens), len(tokens)), Mark(""))]:
        found.append(Mark(_near(tokens, near, at, start)))
        if any(near[start:end]):
            found.append(mark)
        at = end
    return [mark for mark in found if mark.text]


def _near(tokens: Sequence[str], near: Sequence[bool], start: int, end: int) -> str:
    """The tokens that are shown, with one ellipsis for each stretch that is not."""
    shown = [token if kept else "" for token, kept in zip(tokens[start:end], near[start:end], strict=True)]
    words = [word or "…" for i, word in enumerate(shown) if word or i == 0 or shown[i - 1]]
    return " ".join(words)


def _types(spans: Sequence[Entity]) -> str:
    return listed(list(dict.fromkeys(kind for kind, _, _ in spans))) if spans else OUTSIDE


def cut(text: str) -> str:
    """A text of bearable length."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
