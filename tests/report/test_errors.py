"""The error browser: what is wrong, in what order, and how many."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.report import errors
from mtl.report.errors import bands, browser, judge_class, judge_number, judge_tags, overlapping
from mtl.report.inputs import load

TOKENS = ["Ann", "Lee", "met", "Bo", "in", "New", "York"]


def tags(*spans: tuple[str, int, int]) -> list[str]:
    found = ["O"] * len(TOKENS)
    for kind, start, end in spans:
        found[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return found


def row(gold: Any, prediction: Any, text: Any = TOKENS) -> dict[str, Any]:
    told = [json.dumps(value) if isinstance(value, list) else value for value in (text, gold, prediction)]
    return dict(zip(("text", "gold", "prediction"), told, strict=True), confidence=0.9)


ANN, BO, YORK = ("person", 0, 2), ("person", 3, 4), ("place", 5, 7)
FAULTS = {
    "right": ([ANN], [ANN], [], ["person"]),
    "missed": ([ANN, BO], [ANN], [("person", "no entity")], ["person", "missed person"]),
    "spurious": ([], [YORK], [("no entity", "place")], ["spurious place"]),
    "wrong type": ([YORK], [("band", 5, 7)], [("place", "band")], ["place taken for band"]),
    "wrong ends": ([YORK], [("place", 6, 7)], [("place", "place")], ["place “New York” found as place “York”"]),
    "one found as two": (
        [ANN],
        [("person", 0, 1), ("band", 1, 2)],
        [("person", "person"), ("person", "band")],
        ["person “Ann Lee” found as person “Ann” and band “Lee”"],
    ),
    "next to each other": ([("person", 0, 1), ("person", 1, 2)], [], [("person", "no entity")] * 2, ["missed person", "missed person"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_became_of_entities(name: str) -> None:
    gold, predicted, pairs, told = FAULTS[name]
    found = judge_tags(row(tags(*gold), tags(*predicted)))
    assert found.pairs == pairs
    assert [mark.told for mark in found.marks if mark.kind] == told
    assert " ".join(mark.text for mark in found.marks) == " ".join(TOKENS)
    assert (found.severity == 0) == (not pairs)


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), min_size=7, max_size=7), st.data())
def test_no_word_is_lost_and_wrong_entities_are_told_apart(gold: list[str], data: st.DataObject) -> None:
    predicted = data.draw(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b"]), min_size=7, max_size=7))
    found = judge_tags(row(gold, predicted))
    assert " ".join(mark.text for mark in found.marks) == " ".join(TOKENS)
    assert (found.severity == 0) == (errors.entities(gold) == errors.entities(predicted))


def test_entities_that_touch_through_a_third_are_one_mistake() -> None:
    assert overlapping([("a", 0, 3), ("a", 3, 6)], [("a", 2, 4)]) == [([("a", 0, 3), ("a", 3, 6)], [("a", 2, 4)])]


def test_of_a_long_row_the_surroundings_of_mistakes_are_shown() -> None:
    tokens = [f"w{i}" for i in range(300)]
    gold = ["O"] * 150 + ["B-a"] + ["O"] * 149
    shown = " ".join(mark.text for mark in judge_tags(row(gold, ["O"] * 300, tokens)).marks)
    assert shown == " ".join(["…", *tokens[130:171], "…"])
    assert len(errors.cut("x" * 5000)) < 800


def test_numbers_are_as_wrong_as_they_are_far_off() -> None:
    found = judge_number(row("1.0", "-0.5", "text"), bands([-4.0, 4.0]))
    assert (found.severity, found.certainty, found.pairs) == (1.5, "off by −1.50", [("0 to 2", "too low")])
    assert [bands([-4.0, 4.0])(value) for value in (-5, 4)] == ["below −4", "from 4"]
    assert judge_class(row("glad", "glad", "text")).severity == 0


def test_the_most_confident_come_first_and_their_number_is_said(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "SHOWN", 3)
    found = browser(finished.params, load(finished.params, finished.data))
    groups = {(group["task"], group["model"]): group for group in found["groups"]}
    assert set(groups) == {(task, model) for task in finished.params.tasks for model in ("joint", "single")}
    confidences = [row["order"] for row in groups["sentiment", "joint"]["rows"]]
    assert confidences == sorted(confidences, reverse=True)
    assert re.fullmatch(r"\d+ of 80 rows wrong; here the 3 most confident", groups["sentiment", "joint"]["told"])
    assert groups["intensity", "single"]["told"] == "the 3 of 80 rows that are furthest off"


def test_a_task_with_mistakes_comes_into_view_first(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = list(finished.params.tasks)
    assert browser(finished.params, load(finished.params, finished.data))["first"] == tasks[0]
    judge = errors.judge_of
    right = lambda kind, *args: lambda row: judge(kind, *args)(row)._replace(severity=0)  # noqa: E731
    kind = finished.params.tasks[tasks[0]].type
    monkeypatch.setattr(errors, "judge_of", lambda found, *args: (right if found == kind else judge)(found, *args))
    found = browser(finished.params, load(finished.params, finished.data))
    assert found["first"] == next(task for task in tasks if finished.params.tasks[task].type != kind)


def test_what_the_other_model_says_stands_beside(finished: Any) -> None:
    found = browser(finished.params, load(finished.params, finished.data))
    joint = next(group for group in found["groups"] if (group["task"], group["model"]) == ("sentiment", "joint"))
    assert {row["other"] for row in joint["rows"]} == {"right", "positive", "negative"}
    assert all(row["better"] == (row["other"] == "right") for row in joint["rows"])
    assert ("positive", '["sentiment"]') in found["gold"]
