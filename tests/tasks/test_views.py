"""How the error browser judges predictions: what became of entities, how far off numbers are, which class stands for which."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.spans import Entity, entities
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression, bands
from mtl.tasks.token_classification import TokenClassification, overlapping
from mtl.tasks.views import LONGEST, Judged, Mark, cut, written


def _judged_tags(row: dict[str, Any]) -> Judged:
    return TokenClassification.judge([row])(row)


TOKENS = ["Ann", "Lee", "met", "Bo", "in", "New", "York"]


def tags(*spans: tuple[str, int, int]) -> list[str]:
    result = ["O"] * len(TOKENS)
    for name, start, end in spans:
        result[start:end] = [f"B-{name}"] + [f"I-{name}"] * (end - start - 1)
    return result


def row(gold: Any, prediction: Any, text: Any = TOKENS) -> dict[str, Any]:
    told = [json.dumps(value) if isinstance(value, list) else value for value in (text, gold, prediction)]
    return dict(zip(("text", "gold", "prediction"), told, strict=True), confidence=0.9)


ANN, BO, YORK = ("person", 0, 2), ("person", 3, 4), ("place", 5, 7)
FAULTS = {
    "right": ([ANN], [ANN], [], ["person"]),
    "missed": ([ANN, BO], [ANN], [("person", "no entity")], ["person", "missed person"]),
    "spurious": ([], [YORK], [("no entity", "place")], ["spurious place"]),
    "wrong type": ([YORK], [("band", 5, 7)], [("place", "band")], ["place predicted as band"]),
    "wrong ends": ([YORK], [("place", 6, 7)], [("place", "place")], ["place “New York” predicted as place “York”"]),
    "one found as two": (
        [ANN],
        [("person", 0, 1), ("band", 1, 2)],
        [("person", "person"), ("person", "band")],
        ["person “Ann Lee” predicted as person “Ann” and band “Lee”"],
    ),
    "next to each other": ([("person", 0, 1), ("person", 1, 2)], [], [("person", "no entity")] * 2, ["missed person", "missed person"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_became_of_entities(name: str) -> None:
    gold, predicted, pairs, told = FAULTS[name]
    result = _judged_tags(row(tags(*gold), tags(*predicted)))
    assert result.pairs == pairs
    assert [mark.note for mark in result.marks if mark.status] == told
    assert " ".join(mark.text for mark in result.marks) == " ".join(TOKENS)
    assert (result.severity == 0) == (not pairs)


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]), min_size=7, max_size=7), st.data())
def test_no_word_is_lost_and_wrong_entities_are_told_apart(gold: list[str], data: st.DataObject) -> None:
    predicted = data.draw(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b"]), min_size=7, max_size=7))
    result = _judged_tags(row(gold, predicted))
    assert " ".join(mark.text for mark in result.marks) == " ".join(TOKENS)
    assert (result.severity == 0) == (entities(gold) == entities(predicted))


def test_entities_that_touch_through_a_third_are_one_mistake() -> None:
    assert overlapping([Entity("a", 0, 3), Entity("a", 3, 6)], [Entity("a", 2, 4)]) == [([("a", 0, 3), ("a", 3, 6)], [("a", 2, 4)])]


def test_of_a_long_row_the_surroundings_of_mistakes_are_shown() -> None:
    tokens = [f"w{i}" for i in range(300)]
    gold = ["O"] * 150 + ["B-a"] + ["O"] * 149
    shown = " ".join(mark.text for mark in _judged_tags(row(gold, ["O"] * 300, tokens)).marks)
    assert shown == " ".join(["…", *tokens[130:171], "…"])
    assert len(cut("x" * 5000)) < 800


def test_numbers_are_as_wrong_as_they_are_far_off() -> None:
    result = Regression.judge([{"gold": "-4.0"}, {"gold": "4.0"}])(row("1.0", "-0.5", "text"))
    assert (result.severity, result.certainty, result.pairs) == (1.5, "off by −1.50", [("0 to 2", "too low")])
    assert [bands([-4.0, 4.0])(value) for value in (-5, 4)] == ["below −4", "from 4"]
    assert Classification.judge([])(row("glad", "glad", "text")).severity == 0


def test_both_texts_of_a_pair_are_shown_with_their_names() -> None:
    texts = {"premise": "a " * LONGEST, "hypothesis": '{"premise": "b"} | hypothesis: c'}
    marks = written({"text": json.dumps(texts), "pair": True})
    assert [(mark.status, mark.note) for mark in marks] == [("field", "premise"), ("field", "hypothesis")]
    assert marks[0].text == cut(texts["premise"])
    assert marks[1].text == texts["hypothesis"]
    assert written({"text": '{"a": "b"}'}) == [Mark('{"a": "b"}')]  # a text that looks like a pair
